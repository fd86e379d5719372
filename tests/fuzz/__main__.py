# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.fuzz TARGET [libFuzzer's options]``.

For example ``python -m tests.fuzz disk -max_total_time=120``. A crash is a
finding: an error of another family than ImageError, or more reading than is
allowed. libFuzzer writes its input to the current directory.
"""
import logging
import os
import pathlib
import struct
import sys
import tempfile
import zlib

import atheris

with atheris.instrument_imports(include=['nova_armvm', 'pefile']):
    from nova_armvm import exception
    from nova_armvm.image import check
    from nova_armvm.image import container
    from nova_armvm.image import efi_program
    from nova_armvm.image import fat
    from nova_armvm.image import gpt

from tests.unit.image import disks

_READ_LIMIT = 1024 * 1024
#: libFuzzer's inputs are small; a disk is what surrounds them.
_ESP_AT = 4096


def _container(content: bytes) -> None:
    image = container.look_into(disks.MemoryDisk(content), _READ_LIMIT)
    image.disk.read_at(0, min(image.disk.size, 65536))


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
    return {'container': [bytes(qcow2), tables[0]], 'disk': [bytes(whole)],
            'gpt': tables, 'fat': systems,
            'program': [disks.program(), disks.program(0x1c2, plus=False),
                        disks.program(linux=b'zimg')]}


_TARGETS = {'container': _container, 'disk': _disk, 'gpt': _table,
            'fat': _file_system, 'program': _program}


def _guarded(target):
    def run(content: bytes) -> None:
        try:
            target(content)
        except exception.ImageError:
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
