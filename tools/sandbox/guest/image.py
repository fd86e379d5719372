# SPDX-License-Identifier: Apache-2.0
"""Bootable ARM disks: GPT, ESP, GRUB, kernel and a small initramfs.

Made without root rights, mounts or loop devices.
"""
from collections.abc import Iterator
import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import uuid

from tools.sandbox import config
from tools.sandbox.guest import debian
from tools.sandbox.guest import load_option
from tools.sandbox import process

_MIB = 1024 * 1024
_SECTOR = 512
_DISK_BYTES = 64 * _MIB
_ESP_START = 1 * _MIB
_ESP_SECTORS = (_DISK_BYTES - 2 * _MIB) // _SECTOR
_MODULES = ('part_gpt', 'fat', 'linux', 'search_fs_uuid', 'boot', 'minicmd')
#: Modules of Linux, see init.sh.
_DRIVERS = ('evdev', 'efivarfs', 'virtio', 'virtio_ring',
            'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci',
            'virtio_console', 'virtio_blk', 'failover', 'net_failover',
            'virtio_net')
_NAMESPACE = uuid.UUID('0a6f6a0e-8f2c-55b4-8ac4-6c2f4a9e8d10')


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk that knows its name and says it when it was booted from.

    :ivar identity: the name, one letter.
    :ivar port: what its system is made of.
    :ivar unattended: it writes variables without being told to.
    """

    identity: str
    port: debian.Port = debian.ARM64
    unattended: bool = False

    @property
    def path(self) -> pathlib.Path:
        return config.STATE / 'guest' / f'disk-{self.identity}.img'

    @property
    def partition(self) -> uuid.UUID:
        """The GPT's unique GUID of the ESP."""
        return uuid.uuid5(_NAMESPACE, f'esp-{self.identity}')

    @property
    def volume_id(self) -> str:
        """FAT's serial number, 8 hexadecimal digits."""
        return hashlib.sha256(self.identity.encode()).hexdigest()[:8].upper()

    #: Where the ESP lies, in sectors of 512 bytes.
    start_sector = _ESP_START // _SECTOR
    sectors = _ESP_SECTORS


#: Two to boot from, one for rescue and one for AArch32.
DISK_A, DISK_B, RESCUE = (Disk(name) for name in 'ABR')
DISK_32 = Disk('T', debian.ARMHF)
ALL = (DISK_A, DISK_B, RESCUE, DISK_32)
#: For those who have the API and nothing else: to boot from, for rescue and
#: for AArch32.
UNATTENDED, UNATTENDED_RESCUE, UNATTENDED_32 = ALL_UNATTENDED = (
    Disk('U', unattended=True), Disk('V', unattended=True),
    Disk('W', debian.ARMHF, unattended=True))


def build(disk: Disk) -> pathlib.Path:
    """Build a disk unless it is there as it would be built; return it."""
    stamp = disk.path.with_suffix('.of')
    digest = hashlib.sha256()
    for source in pathlib.Path(__file__).parent.glob('*'):
        if source.suffix in ('.py', '.sh'):
            digest.update(source.read_bytes())
    if (disk.path.exists() and stamp.exists() and
            stamp.read_text() == digest.hexdigest()):
        return disk.path
    tree = debian.unpacked(disk.port)
    with tempfile.TemporaryDirectory(dir=config.STATE / 'guest') as scratch:
        made = _assemble(disk, tree, pathlib.Path(scratch))
        made.rename(disk.path)
    stamp.write_text(digest.hexdigest())
    return disk.path


def _assemble(disk: Disk, tree: pathlib.Path,
              scratch: pathlib.Path) -> pathlib.Path:
    volume_id = disk.volume_id
    dashed = f'{volume_id[:4]}-{volume_id[4:]}'
    early = scratch / 'early.cfg'
    early.write_text(
        f'search.fs_uuid {dashed} root\n'
        f'linux /vmlinuz console=ttyAMA0 quiet panic=5 '
        f'armvm.disk={disk.identity}\ninitrd /initrd\nboot\n')
    program = scratch / disk.port.program
    _run('grub-mkimage', '-O', disk.port.grub, '-d',
         tree / 'usr/lib/grub' / disk.port.grub, '-p', '/EFI/BOOT',
         '-c', early, '-o', program, *_MODULES)
    image = scratch / 'disk.img'
    with open(image, 'wb') as stream:
        stream.truncate(_DISK_BYTES)
    _run('sgdisk', '--new', f'1:{disk.start_sector}:+{disk.sectors}',
         '--typecode', '1:ef00', '--partition-guid', f'1:{disk.partition}',
         '--disk-guid', str(uuid.uuid5(_NAMESPACE, disk.identity)), image)
    esp = scratch / 'esp.img'
    with open(esp, 'wb') as stream:
        stream.truncate(_ESP_SECTORS * _SECTOR)
    _run('mkfs.vfat', '-F', '32', '-s', '1', '-i', volume_id, '-n',
         f'ESP-{disk.identity}', esp)
    _run('mmd', '-i', esp, '::/EFI', '::/EFI/BOOT')
    _run('mcopy', '-i', esp, program, f'::/EFI/BOOT/{program.name}')
    _run('mcopy', '-i', esp, next((tree / 'boot').glob('vmlinuz-*')),
         '::/vmlinuz')
    _run('mcopy', '-i', esp, _initramfs(disk, tree, scratch), '::/initrd')
    _run('dd', f'if={esp}', f'of={image}', 'bs=1M', 'conv=notrunc,sparse',
         f'seek={_ESP_START // _MIB}')
    return image


def _run(*command: str | os.PathLike) -> None:
    process.run(*command, log='guest', environment={
        'PATH': '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin',
        'MTOOLS_SKIP_CHECK': '1'})


def _drivers(tree: pathlib.Path) -> Iterator[pathlib.Path]:
    """Find the modules, those that are not built into the kernel."""
    release = next((tree / 'lib/modules').iterdir())
    built_in = (release / 'modules.builtin').read_text()
    for name in _DRIVERS:
        if f'/{name}.ko' not in built_in:
            yield next(release.rglob(f'{name}.ko'))


def _initramfs(disk: Disk, tree: pathlib.Path,
               scratch: pathlib.Path) -> pathlib.Path:
    root = scratch / 'root'
    (root / 'bin').mkdir(parents=True)
    (root / 'modules').mkdir()
    shutil.copy(tree / 'bin/busybox', root / 'bin')
    for driver in _drivers(tree):
        shutil.copy(driver, root / 'modules')
    script = root / 'init'
    shutil.copy(pathlib.Path(__file__).with_name('init.sh'), script)
    script.chmod(0o755)
    if disk.unattended:
        (root / 'own-option').write_text(load_option.for_file(
            f'disk {disk.identity}', disk.partition, disk.start_sector,
            disk.sectors, f'\\EFI\\BOOT\\{disk.port.program}').hex())
    names = '\n'.join(str(path.relative_to(root))
                      for path in sorted(root.rglob('*')))
    packed = subprocess.run(
        ['cpio', '--quiet', '-o', '-H', 'newc', '-R', '0:0'], cwd=root,
        input=names.encode(), capture_output=True, check=True)
    archive = scratch / 'initrd'
    archive.write_bytes(packed.stdout)
    return archive
