# SPDX-License-Identifier: Apache-2.0
"""What the firmware starts: GRUB, in two forms."""
import os
import pathlib

from tools.sandbox.guest import debian
from tools.sandbox.guest import keys
from tools.sandbox import process

_BESIDE = ('part_gpt', 'fat', 'linux', 'search_fs_uuid', 'boot', 'minicmd')
_WITHIN = ('memdisk', 'tar', 'linux', 'boot', 'minicmd')
_KERNEL_WORDS = 'console=ttyAMA0 quiet panic=5'


def run(*command: str | os.PathLike) -> None:
    """Run one of the programs that disks are made with."""
    process.run(*command, log='guest', environment={
        'PATH': '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin',
        'MTOOLS_SKIP_CHECK': '1'})


def kernel(tree: pathlib.Path) -> pathlib.Path:
    """Return Debian's kernel."""
    return next((tree / 'boot').glob('vmlinuz-*'))


def beside(port: debian.Port, tree: pathlib.Path, scratch: pathlib.Path,
           identity: str, volume_id: str) -> pathlib.Path:
    """Make a GRUB that takes kernel and initramfs from its file system.

    :param volume_id: of that file system.
    """
    return _grub(port, tree, scratch / port.program, _BESIDE, (
        f'search.fs_uuid {volume_id[:4]}-{volume_id[4:]} root\n'
        + _start('', identity)))


def within(port: debian.Port, tree: pathlib.Path, scratch: pathlib.Path,
           identity: str, initramfs: pathlib.Path) -> pathlib.Path:
    """Make a GRUB that has kernel and initramfs in itself.

    While Secure Boot is on GRUB takes nothing from a disk that nobody vouches
    for; what is in itself is signed with it. The kernel has a signature of
    its own, because GRUB lets the firmware start it.
    """
    keys.sign(kernel(tree), scratch / 'vmlinuz')
    archive = scratch / 'within.tar'
    run('tar', '-C', scratch, '-cf', archive, 'vmlinuz', initramfs.name)
    return _grub(port, tree, scratch / port.program, _WITHIN,
                 _start('(memdisk)', identity),
                 '--disable-shim-lock', '-m', archive)


def idle(port: debian.Port, tree: pathlib.Path,
         scratch: pathlib.Path) -> pathlib.Path:
    """Make a GRUB that would do nothing but go back to the firmware."""
    return _grub(port, tree, scratch / 'idle.efi', ('minicmd',), 'exit\n')


def _start(place: str, identity: str) -> str:
    return (f'linux {place}/vmlinuz {_KERNEL_WORDS} armvm.disk={identity}\n'
            f'initrd {place}/initrd\nboot\n')


def _grub(port: debian.Port, tree: pathlib.Path, program: pathlib.Path,
          modules: tuple[str, ...], words: str,
          *options: str | os.PathLike) -> pathlib.Path:
    early = program.with_suffix('.cfg')
    early.write_text(words)
    run('grub-mkimage', '-O', port.grub, '-d',
        tree / 'usr/lib/grub' / port.grub, '-p', '/EFI/BOOT',
        '-c', early, '-o', program, *options, *modules)
    return program
