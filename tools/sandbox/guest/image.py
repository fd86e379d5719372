# SPDX-License-Identifier: Apache-2.0
"""Bootable ARM disks: GPT, ESP, GRUB, kernel and a small initramfs.

Made without root rights, mounts or loop devices.
"""
from collections.abc import Iterator
import dataclasses
import hashlib
import pathlib
import shutil
import subprocess
import tempfile
import uuid

from tools.sandbox import config
from tools.sandbox.guest import debian
from tools.sandbox.guest import keys
from tools.sandbox.guest import load_option
from tools.sandbox.guest import programs

_MIB = 1024 * 1024
_SECTOR = 512
_DISK_BYTES = 64 * _MIB
_ESP_START = 1 * _MIB
_ESP_SECTORS = (_DISK_BYTES - 2 * _MIB) // _SECTOR
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
    :ivar signed: its system is one program, signed with the sandbox's key or
        not; None for one whose parts lie beside each other, unsigned.
    """

    identity: str
    port: debian.Port = debian.ARM64
    unattended: bool = False
    signed: bool | None = None

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
#: The same system, for Secure Boot.
SIGNED, UNSIGNED = (Disk(name, signed=signed)
                    for name, signed in (('S', True), ('N', False)))
FOR_SECURE_BOOT = (SIGNED, UNSIGNED)
#: On their ESP: nobody has signed this, whatever their loader.
STRANGER = 'EFI/BOOT/STRANGER.EFI'


def build(disk: Disk) -> pathlib.Path:
    """Build a disk unless it is there as it would be built; return it."""
    stamp = disk.path.with_suffix('.of')
    digest = hashlib.sha256()
    for source in pathlib.Path(__file__).parent.glob('*'):
        if source.suffix in ('.py', '.sh'):
            digest.update(source.read_bytes())
    if disk.signed is not None:
        digest.update(keys.certificate('db').read_bytes())
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
    image, esp = scratch / 'disk.img', scratch / 'esp.img'
    for path, size in ((image, _DISK_BYTES), (esp, _ESP_SECTORS * _SECTOR)):
        with open(path, 'wb') as stream:
            stream.truncate(size)
    programs.run(
        'sgdisk', '--new', f'1:{disk.start_sector}:+{disk.sectors}',
        '--typecode', '1:ef00', '--partition-guid', f'1:{disk.partition}',
        '--disk-guid', str(uuid.uuid5(_NAMESPACE, disk.identity)), image)
    programs.run('mkfs.vfat', '-F', '32', '-s', '1', '-i', disk.volume_id,
                 '-n', f'ESP-{disk.identity}', esp)
    programs.run('mmd', '-i', esp, '::/EFI', '::/EFI/BOOT')
    for name, path in _files(disk, tree, scratch).items():
        programs.run('mcopy', '-i', esp, path, f'::/{name}')
    programs.run('dd', f'if={esp}', f'of={image}', 'bs=1M',
                 'conv=notrunc,sparse', f'seek={_ESP_START // _MIB}')
    return image


def _files(disk: Disk, tree: pathlib.Path,
           scratch: pathlib.Path) -> dict[str, pathlib.Path]:
    """Make what is on the ESP, by its path there."""
    initramfs = _initramfs(disk, tree, scratch)
    loader = f'EFI/BOOT/{disk.port.program}'
    if disk.signed is None:
        return {loader: programs.beside(disk.port, tree, scratch,
                                        disk.identity, disk.volume_id),
                'vmlinuz': programs.kernel(tree), 'initrd': initramfs}
    program = programs.within(disk.port, tree, scratch, disk.identity,
                              initramfs)
    if disk.signed:
        keys.sign(program, program)
    return {loader: program,
            STRANGER: programs.idle(disk.port, tree, scratch)}


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
    here = pathlib.Path(__file__).parent
    script = root / 'init'
    shutil.copy(here / 'init.sh', script)
    script.chmod(0o755)
    shutil.copy(here / 'busy.sh', root)
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
