# SPDX-License-Identifier: Apache-2.0
"""Builds a disk of the guest into a file, for clouds other than the sandbox.

Needs neither root nor a sandbox that is up. What is downloaded and built is
kept below the directory that ARMVM_SANDBOX names, and used again.
"""
import argparse
import os
import pathlib
import shutil
import sys

from tools.sandbox import apt_sources
from tools.sandbox.guest import debian
from tools.sandbox.guest import image
from tools.sandbox import process

#: Each command that a build runs, and the package of Debian that has it.
_COMMANDS = {
    'apt-get': 'apt', 'cpio': 'cpio', 'dpkg': 'dpkg',
    'grub-mkimage': 'grub-common', 'mcopy': 'mtools',
    'mkfs.vfat': 'dosfstools', 'sgdisk': 'gdisk',
}
_PATH = os.pathsep.join((os.environ.get('PATH', os.defpath),
                         '/usr/sbin', '/sbin'))
KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'


def disks() -> dict[str, image.Disk]:
    """Return every disk that can be built, by its letter.

    Those for Secure Boot are signed with keys that only a sandbox has.
    """
    return {disk.identity: disk for disk in vars(image).values()
            if isinstance(disk, image.Disk) and disk.signed is None}


def build_into(disk: image.Disk, target: pathlib.Path,
               archive: apt_sources.Source | None) -> None:
    """Build a disk and put a copy of it where it is wanted.

    :param archive: an archive with Debian 12, None for this machine's own.
    :raises SandboxError: something is missing or failed.
    """
    missing = sorted(package for command, package in _COMMANDS.items()
                     if shutil.which(command, path=_PATH) is None)
    if missing:
        raise process.SandboxError(
            f'please install: {" ".join(missing)}')
    process.wait_for_other_runs()
    debian.unpacked(disk.port, archive)
    built = image.build(disk)
    # Never half a disk under the name that is looked for.
    partial = target.with_name(f'.{target.name}.partial')
    process.run('cp', '--sparse=always', built, partial, log='guest')
    partial.rename(target)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='tools.sandbox.guest.build',
        description='Build a disk of the ARM guest into a file (raw).')
    parser.add_argument('disk', metavar='DISK', choices=sorted(disks()),
                        help='its letter: %(choices)s')
    parser.add_argument('file', metavar='FILE', type=pathlib.Path)
    parser.add_argument(
        '--archive', metavar='URI',
        help='an archive with Debian 12 (bookworm), where this machine has '
             'no source for it')
    parser.add_argument(
        '--keyring', metavar='FILE', default=KEYRING,
        help='keys that the archive is signed by (default: %(default)s)')
    arguments = parser.parse_args(words)
    archive = arguments.archive and apt_sources.Source(
        arguments.archive, ('bookworm',), ('main',), arguments.keyring)
    try:
        build_into(disks()[arguments.disk], arguments.file, archive)
    except process.SandboxError as error:
        print(f'The guest could not be built: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
