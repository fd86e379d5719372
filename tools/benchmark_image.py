# SPDX-License-Identifier: Apache-2.0
"""How long a look into a large image takes, and how much of it is read.

``python -m tools.benchmark_image``: a disk of 10 GiB with data behind its
ESP, raw and as qcow2, compressed and not. What others do on the same file is
timed where it is installed. Needs qemu-img, sgdisk, mkfs.vfat and mtools.
"""
from collections.abc import Callable
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from nova_armvm.image import check
from nova_armvm.image import container
from tests.unit.image import disks

_SIZE = 10 * 1024 * disks.MIB
_ESP_SIZE = 512 * disks.MIB
_ESP_AT = 2048 * 512
_TIMES = 5
_ENVIRONMENT = {**os.environ, 'MTOOLS_SKIP_CHECK': '1',
                'LIBGUESTFS_BACKEND': 'direct',
                'PATH': f'{os.environ["PATH"]}:/usr/sbin:/sbin'}


def _run(*command: str | os.PathLike) -> None:
    subprocess.run(command, check=True, env=_ENVIRONMENT,
                   stdout=subprocess.DEVNULL)


def _make(directory: pathlib.Path) -> pathlib.Path:
    """Make the raw disk."""
    esp, disk = directory / 'esp', directory / 'raw'
    program = directory / 'program'
    program.write_bytes(disks.program().ljust(4 * disks.MIB, b'x'))
    with open(esp, 'wb') as stream:
        stream.truncate(_ESP_SIZE)
    _run('mkfs.vfat', '-F', '32', esp)
    _run('mmd', '-i', esp, '::/EFI', '::/EFI/BOOT')
    _run('mcopy', '-i', esp, program, '::/EFI/BOOT/BOOTAA64.EFI')
    with open(disk, 'wb') as stream:
        stream.truncate(_SIZE)
    _run('sgdisk', '--new', f'1:2048:+{_ESP_SIZE // 512}', '--typecode',
         '1:ef00', '--new', '2:0:0', disk)
    _run('dd', f'if={esp}', f'of={disk}', 'bs=1M', 'seek=1',
         'conv=notrunc,sparse', 'status=none')
    with open(disk, 'r+b') as stream:
        # Many places, so that qcow2 has many tables.
        for place in range(_ESP_AT + _ESP_SIZE, _SIZE - disks.MIB,
                           4 * disks.MIB):
            stream.seek(place)
            stream.write(os.urandom(4096))
    return disk


def _median(work: Callable[[], object]) -> float:
    """Return the median of some times, in milliseconds."""
    taken = []
    for _time in range(_TIMES):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def _look(path: pathlib.Path) -> int:
    """Look into an image; return how many bytes were read."""
    with container.opened(str(path)) as image:
        assert check.check(image.disk, image.format).compliant, path
        return image.source.spent


def _command(path: pathlib.Path) -> None:
    _run(sys.executable, '-m', 'nova_armvm.cmd.image', 'check', path)


def _by_hand(path: pathlib.Path, kind: str) -> None:
    """Find the boot program with the tools that need neither root nor NBD."""
    raw = path
    if kind != 'raw':
        raw = path.with_name('unpacked')
        _run('qemu-img', 'convert', '-f', kind, '-O', 'raw', path, raw)
    _run('sgdisk', '--print', raw)
    _run('mdir', '-i', f'{raw}@@{_ESP_AT}', '::/EFI/BOOT')


def _others(path: pathlib.Path, kind: str) -> None:
    """Time what else would find the boot program on the same file."""
    for name, command in (
            ('guestfish', ('guestfish', '--ro', f'--format={kind}', '-a',
                           path, 'run', ':', 'mount-ro', '/dev/sda1', '/',
                           ':', 'ls', '/EFI/BOOT')),
            ('virt-inspector', ('virt-inspector', f'--format={kind}', '-a',
                                path))):
        if shutil.which(name) is None:
            print(f'{kind:18} {name}: not installed here')
            continue
        try:
            taken = _median(lambda: _run(*command))
        except subprocess.CalledProcessError as error:
            print(f'{kind:18} {name}: fails here, status '
                  f'{error.returncode}')
            continue
        print(f'{kind:18} {name}: {taken:.0f} ms')
    print(f'{kind:18} qemu-img convert, sgdisk, mdir: '
          f'{_median(lambda: _by_hand(path, kind)):.0f} ms')


def main() -> None:
    with tempfile.TemporaryDirectory(dir='/var/tmp') as scratch:
        directory = pathlib.Path(scratch)
        images = {'raw': _make(directory)}
        for name, options in (('qcow2', ()), ('qcow2 deflate', ('-c',)),
                              ('qcow2 zstd', ('-c', '-o',
                                              'compression_type=zstd'))):
            images[name] = directory / name.replace(' ', '-')
            _run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', *options,
                 images['raw'], images[name])
        print(f'{"":18} in process   command      read   of file')
        for name, path in images.items():
            print(f'{name:18} {_median(lambda: _look(path)):7.1f} ms '
                  f'{_median(lambda: _command(path)):7.1f} ms '
                  f'{_look(path) // 1024:6} KiB '
                  f'{path.stat().st_blocks // 2048:6} MiB')
        for kind in ('raw', 'qcow2'):
            _others(images[kind], kind)


if __name__ == '__main__':
    main()
