# SPDX-License-Identifier: Apache-2.0
"""The network between the services and the compute hosts.

A bridge of the machine, and for each compute host a cable from it into the
host's own network namespace. The cable goes with the namespace, which goes
with the last process in it.
"""
import pathlib

from tools.sandbox import config
from tools.sandbox import infrastructure
from tools.sandbox import process

_BITS = 24


def _ip(*words: str, inside: int | None = None) -> None:
    """Run ip(8), in the network namespace of a process if one is given."""
    enter = ('nsenter', '-t', str(inside), '-n') if inside else ()
    process.run(*enter, 'ip', *words, log='network',
                environment=infrastructure.path_environment())


def _is_there(name: str) -> bool:
    return pathlib.Path('/sys/class/net', name).exists()


def start() -> None:
    """Make the bridge on which the services listen.

    :raises SandboxError: what is kept on disk has another address.
    """
    _check_kept()
    if not _is_there(config.BRIDGE):
        _ip('link', 'add', config.BRIDGE, 'type', 'bridge')
    _ip('address', 'replace', f'{config.ADDRESS}/{_BITS}', 'dev',
        config.BRIDGE)
    _ip('link', 'set', config.BRIDGE, 'up')


def _check_kept() -> None:
    """Ceph's and Keystone's data have the address in them."""
    kept = config.STATE / 'address'
    if not kept.exists() and not (config.STATE / 'ceph').exists():
        kept.write_text(config.ADDRESS)
    if not kept.exists() or kept.read_text() != config.ADDRESS:
        raise process.SandboxError(
            f'{config.STATE} was made for other addresses than '
            f'{config.ADDRESS}; "python3 -m tools.sandbox down --purge" '
            'deletes its data')


def connect(host: config.Host, pid: int, anew: bool) -> None:
    """Lay a host's cable; what is there already stays as it is.

    :param pid: of a process in the host's namespaces.
    :param anew: the namespaces were made just now.
    """
    here = f'{config.BRIDGE}-{host.number}'
    if anew and _is_there(here):
        # Of namespaces that are about to go.
        _ip('link', 'delete', here)
    if not _is_there(here):
        _ip('link', 'add', here, 'type', 'veth', 'peer', 'name', 'eth0',
            'netns', str(pid))
    _ip('link', 'set', here, 'master', config.BRIDGE, 'up')
    _ip('link', 'set', 'lo', 'up', inside=pid)
    _ip('address', 'replace', f'{host.address}/{_BITS}', 'dev', 'eth0',
        inside=pid)
    _ip('link', 'set', 'eth0', 'up', inside=pid)


def stop() -> None:
    """Remove the bridge."""
    if _is_there(config.BRIDGE):
        _ip('link', 'delete', config.BRIDGE)
