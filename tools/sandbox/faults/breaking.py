# SPDX-License-Identifier: Apache-2.0
"""The faults: what breaks, for how long, and how it comes back."""
from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import os
import signal

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox import hosts
from tools.sandbox import infrastructure
from tools.sandbox import process
from tools.sandbox import services

OURS = (config.ARMVM, config.ARMVM_2)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Where a fault strikes.

    :ivar hosts: those on which an operation waits at a gate.
    :ivar servers: ids of the servers whose operations wait.
    """

    hosts: Sequence[config.Host]
    servers: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault.

    :ivar seconds: for how long what waited goes on without what is broken.
    :ivar patience: seconds without a change after which an operation is stuck
        when everything is back.
    """

    strike: Callable[[Scene], None]
    heal: Callable[[Scene], None] = lambda scene: None
    seconds: float = 0
    patience: float = 30


def _computes(scene: Scene) -> list[process.Daemon]:
    return [hosts.ComputeHost(host).compute() for host in scene.hosts]


def _kill_computes(scene: Scene) -> None:
    for daemon in _computes(scene):
        pid = daemon.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            process.wait_for(lambda: daemon.pid() is None, 20,
                             f'the end of {daemon.name}')


def _start_computes(scene: Scene) -> None:
    for daemon in _computes(scene):
        daemon.start()


def _restart_libvirtd(scene: Scene) -> None:
    for host in scene.hosts:
        hosts.ComputeHost(host).restart_libvirtd()


def _kill_guests(scene: Scene) -> None:
    for host in map(hosts.ComputeHost, OURS):
        if not host.is_up():
            # An evacuation: its guests have ended with it.
            continue
        running = host.virsh('list', '--uuid').split()
        for server_id in set(running).intersection(scene.servers):
            with contextlib.suppress(process.SandboxError, OSError):
                # It may have ended in between.
                os.kill(host.qemu_pid(server_id), signal.SIGKILL)


def _flash_services(scene: Scene) -> list[process.Daemon]:
    return [hosts.ComputeHost(host).flash_service() for host in scene.hosts]


def kill_flash_services(scene: Scene) -> None:
    """End the flash services without a warning."""
    for daemon in _flash_services(scene):
        daemon.send(signal.SIGKILL)


def stop_flash_services(scene: Scene) -> None:
    """End the flash services as an operator does."""
    for daemon in _flash_services(scene):
        daemon.stop()


def start_flash_services(scene: Scene) -> None:
    """Start them, as the supervisor of a host does."""
    for host in scene.hosts:
        hosts.ComputeHost(host).start_flash_service()


def _signal_ceph(sign: int) -> None:
    for pid in ceph.pids():
        os.kill(pid, sign)


def _without(service: str) -> Fault:
    return Fault(lambda scene: services.stop(service),
                 lambda scene: services.start(service), seconds=20)


FAULTS: dict[str, Fault] = {
    'none': Fault(lambda scene: None),
    'nova-compute-killed': Fault(_kill_computes, _start_computes),
    'cinder-api-gone': _without('cinder-api'),
    'cinder-volume-gone': _without('cinder-volume'),
    'rabbitmq-restarted': Fault(
        lambda scene: infrastructure.restart_rabbitmq(),
        # Who waits for an answer that was lost does so for a minute
        # (rpc_response_timeout).
        patience=75),
    'libvirtd-restarted': Fault(_restart_libvirtd),
    'qemu-killed': Fault(_kill_guests),
    'flash-service-killed': Fault(kill_flash_services, start_flash_services,
                                  seconds=2),
    'flash-service-stopped': Fault(stop_flash_services, start_flash_services,
                                   seconds=60, patience=75),
    'ceph-unreachable': Fault(lambda scene: _signal_ceph(signal.SIGSTOP),
                              lambda scene: _signal_ceph(signal.SIGCONT),
                              seconds=60),
}
