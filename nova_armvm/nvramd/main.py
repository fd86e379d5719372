# SPDX-License-Identifier: Apache-2.0
"""The command armvm-nvramd: prepare the host, then become nbdkit.

nbdkit has the Python of the distribution inside it. Where that is of the same
version as the one that runs this command, it gets the latter's packages as
well (a virtual environment's), else this package alone and the rest from the
distribution: modules in C fit one version only.
"""
import argparse
from collections.abc import Sequence
import fcntl
import grp
import importlib.metadata
import logging
import os
import site
import subprocess
import sys

import nova_armvm
from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import logs

LOG = logging.getLogger(__name__)

STATE = '/var/lib/nova/armvm/nvramd'
_SUPPORTED = (3, 11)
_PACKAGES = 'nbdkit and its Python plugin (Debian: nbdkit-plugin-python)'

#: Stores are blocks of 256 KiB that come and go: have glibc give them back.
_MALLOC = {'MALLOC_ARENA_MAX': '2', 'MALLOC_MMAP_THRESHOLD_': '131072'}


class CannotStart(Exception):
    """The host lacks something."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='armvm-nvramd', description='Flash service for the UEFI '
        'variables of the ARM servers on this compute host.')
    parser.add_argument(
        '--directory', default=flash_protocol.DIRECTORY, metavar='DIR',
        help='directory of the sockets and of the flashes in memory, on '
        'tmpfs (default: %(default)s)')
    parser.add_argument(
        '--state', default=STATE, metavar='DIR', help='directory of the '
        'records that survive a restart (default: %(default)s)')
    parser.add_argument(
        '--group', default='kvm', help='group that QEMU runs with (default: '
        '%(default)s)')
    parser.add_argument('--log-level', default='INFO',
                        choices=sorted(logs.LEVELS))
    parser.add_argument('--version', action='version', version=_version())
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version('nova-armvm')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service; returns only if that is not possible."""
    options = _parser().parse_args(arguments)
    logs.prepare(options.log_level)
    directory = os.path.abspath(options.directory)
    try:
        gid = _group(options.group)
        make_directories(directory, options.state, gid)
        lock(directory)
        _check_tmpfs(directory)
        search_path = python_path(embedded_version(), directory)
    except (CannotStart, OSError) as error:
        LOG.error('Failed to start: %s', error)
        return 1
    # The socket is for the owner and, later, for the group.
    os.umask(0o117)
    os.execvpe('nbdkit', command(directory, options, gid), {
        **_MALLOC, **os.environ, 'PYTHONPATH': os.pathsep.join(search_path)})


def command(directory: str, options: argparse.Namespace,
            gid: int | None) -> list[str]:
    """Return the command line of nbdkit."""
    plugin = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                          'plugin.py')
    return ['nbdkit', '--foreground', '--threads', '1', '--unix',
            os.path.join(directory, flash_protocol.NBD_SOCKET), 'python',
            plugin, f'directory={directory}',
            f'state={os.path.abspath(options.state)}',
            f'gid={"" if gid is None else gid}',
            f'log_level={options.log_level}']


def _group(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        LOG.warning('Failed to find group %s: QEMU can connect only if it '
                    'runs as the same user', name)
        return None


def make_directories(directory: str, state: str, gid: int | None) -> None:
    """Make the directories, and correct the modes of those that are there.

    :param gid: of QEMU's group, None if there is none.
    :raises OSError: if that is not possible.
    """
    os.makedirs(state, mode=0o700, exist_ok=True)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    for name in flash_protocol.CONTROL_DIRECTORY, 'flash':
        path = os.path.join(directory, name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        os.chmod(path, 0o700)
    if gid is not None:
        os.chown(directory, -1, gid)
    os.chmod(directory, 0o750)


def lock(directory: str) -> None:
    """Be the only service in a directory for as long as the process lives.

    Then remove the socket of a dead one, to which nbdkit would not bind.

    :raises CannotStart: if there is another one.
    """
    # Not closed by exec: nbdkit holds the lock on.
    handle = os.open(os.path.join(directory, 'lock'),
                     os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.pread(handle, 32, 0).decode('ascii', errors='replace')
        raise CannotStart(f'another service (process {pid.strip()}) uses '
                          f'{directory}') from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f'{os.getpid()}\n'.encode('ascii'), 0)
    try:
        os.unlink(os.path.join(directory, flash_protocol.NBD_SOCKET))
    except FileNotFoundError:
        return


def _check_tmpfs(directory: str) -> None:
    """Warn if flashes would be written to a disk."""
    with open('/proc/self/mounts', encoding='utf-8') as stream:
        mounts = [line.split()[1:3] for line in stream]
    path = os.path.realpath(directory)
    _place, kind = max(
        ((place, kind) for place, kind in mounts
         if path == place or path.startswith(place.rstrip('/') + '/')),
        key=lambda mount: len(mount[0]), default=('', 'nothing'))
    if kind != 'tmpfs':
        LOG.warning('Found %s on %s, not on tmpfs: the writes of guests to '
                    'their flashes go to a disk, and old ones are found after '
                    'a boot', directory, kind)


def embedded_version() -> tuple[int, int]:
    """Return the version of the Python in nbdkit.

    :raises CannotStart: if nbdkit or its plugin is not there, or too old.
    """
    try:
        dump = subprocess.run(['nbdkit', 'python', '--dump-plugin'],
                              capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotStart(f'nbdkit does not run: install {_PACKAGES}'
                          ) from error
    facts = dict(line.partition('=')[::2] for line in dump.stdout.split())
    try:
        major, minor = facts['python_version'].split('.')[:2]
        version = int(major), int(minor)
    except (KeyError, ValueError) as error:
        raise CannotStart('nbdkit does not tell the version of its Python: '
                          'install nbdkit 1.32 or later') from error
    if version < _SUPPORTED:
        raise CannotStart(f'the Python of nbdkit is {major}.{minor}, at '
                          'least 3.11 is needed')
    return version


def python_path(version: tuple[int, int], directory: str) -> list[str]:
    """Return where the Python in nbdkit is to look for modules first.

    :param version: of that Python.
    :param directory: of the service, for a link to this package.
    :raises OSError: if the link cannot be made.
    """
    package = os.path.dirname(os.path.abspath(nova_armvm.__file__))
    if version == sys.version_info[:2]:
        packages = [path for path in sys.path
                    if path in site.getsitepackages()]
        return [os.path.dirname(package), *packages]
    LOG.info('Found Python %d.%d in nbdkit, other than this one: its modules '
             'come from the distribution', *version)
    links = os.path.join(directory, 'python')
    os.makedirs(links, mode=0o700, exist_ok=True)
    link = os.path.join(links, os.path.basename(package))
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(package, link)
    return [links]


if __name__ == '__main__':
    sys.exit(main())
