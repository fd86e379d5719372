# SPDX-License-Identifier: Apache-2.0
"""The operators' commands, as an operator calls them."""
import dataclasses
import json
import os
import subprocess
import typing as ty

from tools.sandbox import config
from tools.sandbox import hosts
from tools.sandbox import infrastructure
from tools.sandbox import process
from tools.sandbox import shell


@dataclasses.dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    complaint: str


def manage(host: hosts.ComputeHost, *words: str) -> Done:
    """Run ``armvm-manage`` on a compute host."""
    return _on(host, 'armvm-manage', *words)


def check_upgrade(host: hosts.ComputeHost | None) -> Done:
    """Run ``armvm-status upgrade check``.

    :param host: a compute host; None for the controller.
    """
    words = ('upgrade', 'check', '--json')
    if host is not None:
        return _on(host, 'armvm-status', *words)
    return _run(config.BIN / 'armvm-status', '--config-file',
                config.ETC / 'nova' / 'nova.conf', *words)


def _on(host: hosts.ComputeHost, command: str, *words: str) -> Done:
    return _run(*host.inside(config.BIN / command, '--config-file',
                             host.host.directory / 'nova.conf', *words))


def _run(*words: str | os.PathLike) -> Done:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300,
                          env=infrastructure.path_environment())
    return Done(done.returncode, done.stdout, done.stderr.strip())


def openstack(*words: str | os.PathLike) -> ty.Any:
    """Run ``openstack ... -f json`` as the tenant; return what it shows.

    :raises SandboxError: it could not be done.
    """
    return json.loads(process.run(
        config.BIN / 'openstack', *words, '-f', 'json', log='commands',
        environment=shell.environment({}, config.TENANT,
                                      config.credentials()['password'])))


def audit(*options: str) -> tuple[int, list[dict]]:
    """Run ``armvm-manage nvram audit``; return its status and findings.

    :raises SandboxError: it could not be done.
    """
    done = subprocess.run(
        [config.BIN / 'armvm-manage', '--config-file',
         config.ETC / 'nova' / 'nova.conf', 'nvram', 'audit', '-f', 'json',
         *options], capture_output=True, text=True, timeout=120,
        env=infrastructure.path_environment())
    if done.returncode not in (0, 3):
        raise process.SandboxError(f'armvm-manage failed: {done.stderr}')
    return done.returncode, json.loads(done.stdout)


def placement_audit() -> None:
    """Run ``nova-manage placement audit --delete``.

    Migrations that were interrupted keep what they have claimed on a host.

    :raises SandboxError: it could not be done.
    """
    done = subprocess.run(
        [config.BIN / 'nova-manage', '--config-file',
         config.ETC / 'nova' / 'nova.conf', 'placement', 'audit', '--delete'],
        capture_output=True, text=True, timeout=120,
        env=infrastructure.path_environment())
    # 4: there was something, and it is deleted.
    if done.returncode not in (0, 4):
        raise process.SandboxError(f'nova-manage failed: {done.stderr}')
