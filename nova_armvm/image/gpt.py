# SPDX-License-Identifier: Apache-2.0
"""GUID Partition Tables (UEFI specification, section 5.3)."""
import dataclasses
import struct
import uuid
import zlib

from nova_armvm import exception
from nova_armvm.image import disk as image_disk

#: UEFI specification, table 5.7.
EFI_SYSTEM = uuid.UUID('c12a7328-f81f-11d2-ba4b-00a0c93ec93b')

_SIGNATURE = b'EFI PART'
_HEADER = struct.Struct('<8sIIIIQQQQ16sQIII')
_ENTRY = struct.Struct('<16s16sQQQ72s')
_CRC_AT = 16
_SECTOR_SIZES = (512, 4096)
#: UEFI demands room for 128 entries of 128 bytes; some tools make more.
_MAX_ENTRIES, _ENTRY_SIZES = 1024, (128, 256, 512)


@dataclasses.dataclass(frozen=True)
class Partition:
    """A partition.

    :ivar number: as tools count, from 1.
    :ivar kind: the type GUID.
    :ivar offset: of its beginning on the disk, in bytes.
    :ivar size: in bytes.
    """

    number: int
    kind: uuid.UUID
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class Table:
    """A partition table.

    :ivar sector: size of the disk's logical sectors, in bytes.
    :ivar remarks: what is not as it should be, in words.
    """

    sector: int
    partitions: tuple[Partition, ...]
    remarks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Header:
    first_usable: int
    last_usable: int
    entries_at: int
    entries: int
    entry_size: int
    entries_crc: int


def read(disk: image_disk.Disk) -> Table:
    """Read a disk's partition table, its second copy if need be.

    :raises ImageInvalid: neither is whole, or what it says is impossible.
    """
    failures = []
    for sector in _SECTOR_SIZES:
        last = disk.size // sector - 1
        for where, lba in (('primary', 1), ('backup', last)):
            if not _has_signature(disk, sector, lba):
                continue
            try:
                partitions = _partitions(disk, sector,
                                         _header(disk, sector, lba))
            except exception.ImageInvalid as error:
                failures.append(
                    f'the {where} table: {error.kwargs["reason"]}')
                continue
            if where == 'backup':
                failures = failures or ['the primary table is missing']
            return Table(sector, partitions, tuple(failures))
    raise exception.ImageInvalid(
        reason='; '.join(failures) or _without_table(disk))


def _has_signature(disk: image_disk.Disk, sector: int, lba: int) -> bool:
    return lba >= 1 and (lba + 1) * sector <= disk.size and (
        disk.read_at(lba * sector, len(_SIGNATURE)) == _SIGNATURE)


def _without_table(disk: image_disk.Disk) -> str:
    if disk.size >= 512 and disk.read_at(510, 2) == b'\x55\xaa':
        return ('it has no GUID Partition Table, only a master boot record '
                'or a boot sector')
    return 'it has no GUID Partition Table'


def _header(disk: image_disk.Disk, sector: int, lba: int) -> _Header:
    raw = disk.read_at(lba * sector, sector)
    (_, revision, size, crc, _, own, _, first, last, _, at, entries,
     entry_size, entries_crc) = _HEADER.unpack_from(raw)
    if not _HEADER.size <= size <= sector:
        raise exception.ImageInvalid(reason='its header has a wrong size')
    zeroed = raw[:_CRC_AT] + bytes(4) + raw[_CRC_AT + 4:size]
    if zlib.crc32(zeroed) != crc:
        raise exception.ImageInvalid(
            reason='the checksum of its header is wrong')
    if revision >> 16 != 1 or own != lba:
        raise exception.ImageInvalid(
            reason='its header is that of another place or version')
    if not 0 < entries <= _MAX_ENTRIES or entry_size not in _ENTRY_SIZES:
        raise exception.ImageInvalid(
            reason=f'it has {entries} entries of {entry_size} bytes, more '
                   'than are looked at')
    return _Header(first, last, at, entries, entry_size, entries_crc)


def _partitions(disk: image_disk.Disk, sector: int,
                header: _Header) -> tuple[Partition, ...]:
    array = disk.read_at(header.entries_at * sector,
                         header.entries * header.entry_size)
    if zlib.crc32(array) != header.entries_crc:
        raise exception.ImageInvalid(
            reason='the checksum of its entries is wrong')
    found = []
    for number in range(1, header.entries + 1):
        kind, _, first, last, _, _ = _ENTRY.unpack_from(
            array, (number - 1) * header.entry_size)
        if not any(kind):
            continue
        if not (header.first_usable <= first <= last <= header.last_usable
                and (last + 1) * sector <= disk.size):
            raise exception.ImageInvalid(
                reason=f'partition {number} lies outside of the disk')
        found.append(Partition(number, uuid.UUID(bytes_le=kind),
                               first * sector, (last + 1 - first) * sector))
    _check_overlaps(found)
    return tuple(found)


def _check_overlaps(partitions: list[Partition]) -> None:
    ordered = sorted(partitions, key=lambda each: each.offset)
    for before, after in zip(ordered, ordered[1:]):
        if before.offset + before.size > after.offset:
            raise exception.ImageInvalid(
                reason=f'partitions {before.number} and {after.number} '
                       'overlap')
