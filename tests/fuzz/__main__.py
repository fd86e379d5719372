# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.fuzz TARGET [libFuzzer's options]``.

For example ``python -m tests.fuzz disk -max_total_time=120``. A crash is a
finding: an error of another family than ours, or more reading than is
allowed. libFuzzer writes its input to the current directory.
"""
import logging
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

import atheris

with atheris.instrument_imports(include=['nova_armvm', 'pefile']):
    from nova_armvm import crc32c
    from nova_armvm import exception
    from nova_armvm.image import check
    from nova_armvm.image import container
    from nova_armvm.image import efi_program
    from nova_armvm.image import fat
    from nova_armvm.image import gpt
    from nova_armvm.image import source
    from nova_armvm.image import vdi
    from nova_armvm.image import vhd
    from nova_armvm.image import vhdx
    from nova_armvm.image import vmdk

from tests.fuzz import variables
from tests.unit.image import disks

_READ_LIMIT = 1024 * 1024
#: libFuzzer's inputs are small; a disk is what surrounds them.
_ESP_AT = 4096


def _container(content: bytes) -> None:
    image = container.look_into(disks.MemoryDisk(content), _READ_LIMIT)
    image.disk.read_at(0, min(image.disk.size, 65536))


class _Scattered:
    """A large file of which pieces of 4 KiB are the input, the rest zero."""

    def __init__(self, content: bytes, *places: int) -> None:
        self.size = 4 * disks.MIB
        self._pieces = [(place, content[number * 4096:(number + 1) * 4096])
                        for number, place in enumerate(places)]

    def read_at(self, offset: int, length: int) -> bytes:
        found = bytearray(length)
        for place, piece in self._pieces:
            begin = max(place, offset)
            end = min(place + len(piece), offset + length)
            if begin < end:
                found[begin - offset:end - offset] = (
                    piece[begin - place:end - place])
        return bytes(found)


def _read(file: _Scattered, open_disk) -> None:
    disk = open_disk(source.Budgeted(file, _READ_LIMIT))
    disk.read_at(0, min(disk.size, 65536))
    disk.read_at(disk.size // 2, min(disk.size // 2, 65536))


def _vdi(content: bytes) -> None:
    _read(_Scattered(content, 0), vdi.open_disk)


def _vhd(content: bytes) -> None:
    _read(_Scattered(content, 0), vhd.open_disk)


def _vmdk(content: bytes) -> None:
    _read(_Scattered(content, 0, 65536), vmdk.open_disk)


#: Headers, regions, metadata and its items; the table is part of these.
_VHDX_PLACES = (65536, 192 * 1024, 2 * disks.MIB, 2 * disks.MIB + 65536)


def _vhdx(content: bytes) -> None:
    header = bytearray(content[:4096].ljust(4096, b'\0'))
    header[4:8] = bytes(4)
    header[4:8] = struct.pack('<I', crc32c.crc32c(header))
    _read(_Scattered(bytes(header) + content[4096:], *_VHDX_PLACES),
          vhdx.open_disk)


def _mended(content: bytes) -> bytes:
    """Make the checksums of a partition table right, as an attacker would."""
    if len(content) < 1024:
        return content
    mended = bytearray(content)
    at, count, size = struct.unpack_from('<QII', mended, 512 + 72)
    array = mended[at * 512:at * 512 + min(count * size, 65536)]
    struct.pack_into('<I', mended, 512 + 88, zlib.crc32(array))
    length = min(struct.unpack_from('<I', mended, 512 + 12)[0], 512)
    mended[512 + 16:512 + 20] = bytes(4)
    struct.pack_into('<I', mended, 512 + 16,
                     zlib.crc32(mended[512:512 + length]))
    return bytes(mended)


def _disk(content: bytes) -> None:
    disk = disks.MemoryDisk(_mended(content))
    check.check(disk)
    assert disk.read < 16 * _READ_LIMIT, disk.read


def _table(content: bytes) -> None:
    gpt.read(disks.MemoryDisk(_mended(content)))


def _file_system(content: bytes) -> None:
    disk = disks.MemoryDisk(content)
    system = fat.open_at(disk, 0, len(content))
    found = fat.find(disk, system, 'EFI', 'BOOT', 'BOOTAA64.EFI')
    if found is not None:
        fat.read(disk, system, found, 65536)
    assert disk.read < 16 * _READ_LIMIT, disk.read


def _program(content: bytes) -> None:
    efi_program.parse(content)


def _made(kind: str, *places: int, options: tuple[str, ...] = ()) -> bytes:
    """Return the pieces that tell of the disk in a file of qemu-img's."""
    with tempfile.TemporaryDirectory() as directory:
        raw, path = (pathlib.Path(directory, name) for name in ('raw', 'made'))
        raw.write_bytes(b'content' * 1000 + bytes(1_000_000))
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', kind,
                        *options, raw, path], check=True)
        content = path.read_bytes()
    if kind == 'vhdx':
        metadata, = struct.unpack_from('<Q', content, 192 * 1024 + 64)
        content = (content[:2 * disks.MIB] +
                   content[metadata:metadata + disks.MIB])
        content = bytearray(content)
        struct.pack_into('<Q', content, 192 * 1024 + 64, 2 * disks.MIB)
        struct.pack_into('<Q', content, 192 * 1024 + 32, 65536 + 1024)
    return b''.join(bytes(content[place:place + 4096]).ljust(4096, b'\0')
                    for place in places)


def _seeds() -> dict[str, list[bytes]]:
    """Return small inputs that are good, for each target."""
    fats = [disks.file_system({disks.BOOT_AA64: disks.program()}, bits)
            for bits in (12, 16, 32)]
    for each in fats:
        each.count = {12: 40, 16: 4100, 32: 40}[each.bits]
        each.table = each.table[:each.count + 2]
        each.table_sectors = -(-(each.count + 2) * each.bits // 4096)
    systems = [each.build() for each in fats]
    tables = [bytes(disks.gpt([disks.Partition(40, 60)], 40960, entry_size=128,
                              count=count)) for count in (4, 8)]
    esp = systems[2]
    whole = disks.gpt([disks.Partition(8, 8 + len(esp) // 512 - 1)],
                      _ESP_AT + len(esp) + 8192, count=8)
    whole[_ESP_AT:_ESP_AT + len(esp)] = esp
    qcow2 = bytearray(2048)
    qcow2[:104] = (b'QFI\xfb' + bytes.fromhex('00000003') + bytes(12) +
                   bytes.fromhex('00000009') + bytes.fromhex('0' * 13 + '800')
                   + bytes(4) + bytes.fromhex('00000001') +
                   bytes.fromhex('0' * 13 + '200')).ljust(104, b'\0')
    qcow2[512:520] = (1024).to_bytes(8, 'big')
    qcow2[1024:1032] = (1536).to_bytes(8, 'big')
    qcow2[1032:1040] = (1 << 62 | 1536).to_bytes(8, 'big')
    streamed = ('-o', 'subformat=streamOptimized')
    return {'vdi': [_made('vdi', 0)], 'vhd': [_made('vpc', 0)],
            'vhdx': [_made('vhdx', *_VHDX_PLACES)],
            'vmdk': [_made('vmdk', 0, 65536),
                     _made('vmdk', 0, 65536, options=streamed)],
            'container': [bytes(qcow2), tables[0]], 'disk': [bytes(whole)],
            'gpt': tables, 'fat': systems,
            'program': [disks.program(), disks.program(0x1c2, plus=False),
                        disks.program(linux=b'zimg')],
            **variables.seeds()}


_TARGETS = {'container': _container, 'disk': _disk, 'gpt': _table,
            'fat': _file_system, 'program': _program, 'vdi': _vdi,
            'vhd': _vhd, 'vhdx': _vhdx, 'vmdk': _vmdk,
            'variables': variables.variables,
            'exchange': variables.exchanged}


def _guarded(target):
    def run(content: bytes) -> None:
        try:
            target(content)
        except exception.ArmVMError:
            pass
    return run


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in _TARGETS:
        sys.exit(f'{__doc__}\nTargets: {", ".join(_TARGETS)}')
    name = sys.argv[1]
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(_seeds()[name]):
            pathlib.Path(corpus, f'seed-{number}').write_bytes(seed)
        atheris.Setup([sys.argv[0], *sys.argv[2:], os.fspath(corpus)],
                      _guarded(_TARGETS[name]))
        atheris.Fuzz()


if __name__ == '__main__':
    main()
