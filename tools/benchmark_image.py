# SPDX-License-Identifier: Apache-2.0
"""How long a look into a large image takes, and how much of it is read.

``python -m tools.benchmark_image``: a disk of 10 GiB with data behind its
ESP, raw and in each format that can be looked into. Needs qemu-img, sgdisk,
mkfs.vfat and mtools.

``--guestfs DIRECTORY`` also times guestfish and virt-inspector on the same
files. Their packages exclude some of the sandbox's, so that they have a
Debian of their own below that directory, which is made if it is not there
(as root, with debootstrap; some minutes and 1.5 GiB).
"""
import argparse
from collections.abc import Callable
import os
import pathlib
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
                'PATH': f'{os.environ["PATH"]}:/usr/sbin:/sbin'}
_PACKAGES = ('guestfish', 'guestfs-tools', 'linux-image-cloud-amd64')
_FORMATS = (
    ('qcow2', 'qcow2'), ('qcow2 deflate', 'qcow2', '-c'),
    ('qcow2 zstd', 'qcow2', '-c', '-o', 'compression_type=zstd'),
    ('vmdk', 'vmdk'),
    ('vmdk stream', 'vmdk', '-o', 'subformat=streamOptimized'),
    ('vdi', 'vdi'), ('vhd', 'vpc', '-o', 'force_size=on'), ('vhdx', 'vhdx'))


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


def _guestfs(root: pathlib.Path) -> pathlib.Path:
    """Make the Debian in which libguestfs lives; return where files go."""
    if not (root / 'usr/bin/guestfish').exists():
        print(f'making a Debian with libguestfs in {root} ...', flush=True)
        _run('debootstrap', '--variant=minbase', 'bookworm', root)
        # debootstrap knows no alternatives.
        _run('chroot', root, 'apt-get', '-q', '-y',
             '--no-install-recommends', 'install', *_PACKAGES)
    (root / 'images').mkdir(exist_ok=True)
    return root / 'images'


def _others(root: pathlib.Path, image: str, kind: str) -> None:
    """Time what libguestfs needs for the same answer.

    :param image: its name below images.
    """
    path = f'/images/{image}'
    for name, command in (
            ('guestfish', ('guestfish', '--ro', f'--format={kind}', '-a',
                           path, 'run', ':', 'mount-ro', '/dev/sda1', '/',
                           ':', 'ls', '/EFI/BOOT')),
            ('virt-inspector', ('virt-inspector', f'--format={kind}', '-a',
                                path))):
        try:
            taken = _median(lambda: _run(
                'chroot', root, 'env', 'LIBGUESTFS_BACKEND=direct',
                'LIBGUESTFS_BACKEND_SETTINGS=force_tcg', *command))
        except subprocess.CalledProcessError as error:
            print(f'{kind:18} {name}: fails here, status '
                  f'{error.returncode}')
            continue
        print(f'{kind:18} {name}: {taken:.0f} ms')


def _images(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the same disk in each format."""
    images = {'raw': _make(directory)}
    for name, kind, *options in _FORMATS:
        images[name] = directory / name.replace(' ', '-')
        _run('qemu-img', 'convert', '-f', 'raw', '-O', kind, *options,
             images['raw'], images[name])
    return images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--guestfs', type=pathlib.Path, metavar='DIRECTORY')
    root = parser.parse_args().guestfs
    place = _guestfs(root) if root else '/var/tmp'
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        images = _images(pathlib.Path(scratch))
        print(f'{"":18} in process   command      read   of file')
        for name, path in images.items():
            print(f'{name:18} {_median(lambda: _look(path)):7.1f} ms '
                  f'{_median(lambda: _command(path)):7.1f} ms '
                  f'{_look(path) // 1024:6} KiB '
                  f'{path.stat().st_blocks // 2048:6} MiB')
        for kind in ('raw', 'qcow2'):
            print(f'{kind:18} qemu-img convert, sgdisk, mdir: '
                  f'{_median(lambda: _by_hand(images[kind], kind)):.0f} ms')
            if root:
                _others(root, f'{pathlib.Path(scratch).name}/{kind}', kind)


if __name__ == '__main__':
    main()
