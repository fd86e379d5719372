# SPDX-License-Identifier: Apache-2.0
"""The disk of the guest that traces are recorded with.

The sandbox's disk A with another initramfs, which holds guest.c.
"""
import pathlib
import shutil

from tools.flash_trace import commands
from tools.sandbox.guest import debian
from tools.sandbox.guest import image

_COMPILER = 'aarch64-linux-gnu-gcc'
_SOURCE = pathlib.Path(__file__).with_name('guest.c')
#: Where the ESP begins on the disk, as mtools wants it.
_ESP = '@@1M'


def build(directory: pathlib.Path) -> pathlib.Path:
    """Build the disk, unless it is there and newer than its source.

    :param directory: where it is built and stays.
    :returns: its path.
    """
    path = directory / 'guest.img'
    if path.exists() and path.stat().st_mtime > _SOURCE.stat().st_mtime:
        return path
    root = directory / 'root'
    root.mkdir(parents=True, exist_ok=True)
    commands.run(_COMPILER, '-static', '-O2', '-Wall', '-Werror',
                 '-o', root / 'init', _SOURCE)
    modules = debian.unpacked(debian.ARM64) / 'lib/modules'
    shutil.copy(next(modules.rglob('efivarfs.ko')), root)
    # The kernel opens its first process' console there.
    for name in ('dev', 'proc', 'sys'):
        (root / name).mkdir(exist_ok=True)
    names = '\n'.join(sorted(entry.name for entry in root.iterdir()))
    archive = directory / 'initrd'
    archive.write_bytes(commands.run(
        'cpio', '--quiet', '-o', '-H', 'newc', '-R', '0:0', cwd=root,
        stdin=names.encode()))
    disk = directory / 'guest.img.new'
    shutil.copy(image.build(image.DISK_A), disk)
    commands.run('mcopy', '-o', '-i', f'{disk}{_ESP}', archive, '::/initrd')
    return disk.rename(path)
