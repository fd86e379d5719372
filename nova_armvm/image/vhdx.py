# SPDX-License-Identifier: Apache-2.0
"""The disk inside a VHDX file (Hyper-V), read-only.

Follows Microsoft's [MS-VHDX]; little endian. Two headers, of which the newer
counts; two region tables; in the regions metadata and the table of blocks.
Refused: a file with a parent, and one whose log was not played back, for it
was not closed.
"""
import struct
import uuid

from nova_armvm import crc32c
from nova_armvm import exception
from nova_armvm.image import blocks
from nova_armvm.image import source as image_source

_KIB, _MIB = 1024, 1024 * 1024
_HEADERS = (64 * _KIB, 128 * _KIB)
_REGION_TABLES = (192 * _KIB, 256 * _KIB)
#: Signature, checksum, number, two identities, log, its version, version.
_HEADER = struct.Struct('<4sIQ16s16s16sHH')
_HEADER_SIZE = 4 * _KIB
_REGION_TABLE = struct.Struct('<4sIII')
_REGION = struct.Struct('<16sQII')
_METADATA_TABLE = struct.Struct('<8sHH20s')
_ITEM = struct.Struct('<16sIIII')
_ENTRY = struct.Struct('<Q')
_MAX_ENTRIES = 2047

_TABLE_REGION = uuid.UUID('2dc27766-f623-4200-9d64-115e9bfd4a08')
_METADATA_REGION = uuid.UUID('8b7ca206-4790-4b9a-b8fe-575f050f886e')
_PARAMETERS = uuid.UUID('caa16737-fa36-4d43-b3b6-33f0aa44e76b')
_DISK_SIZE = uuid.UUID('2fa54224-cd1b-4876-b211-5dbed83bf4b8')
_SECTOR_SIZE = uuid.UUID('8141bf1d-a96f-4709-ba47-f233a8faab5f')

_HAS_PARENT = 0b10
_BLOCK_SIZES = range(_MIB, 256 * _MIB + 1)
_STATE = 0b111
_PRESENT, _PARTLY = 6, 7
#: Sectors that the bitmap of a chunk could tell of.
_CHUNK_SECTORS = 1 << 23


def _broken(reason: str) -> exception.ImageInvalid:
    return exception.ImageInvalid(reason=f'as VHDX, {reason}')


def _refused(what: str) -> exception.ImageUnsupported:
    return exception.ImageUnsupported(reason=f'it is a VHDX file {what}')


def _whole(content: bytes) -> bool:
    """Tell whether the checksum of a structure is right."""
    told, = struct.unpack_from('<I', content, 4)
    return told == crc32c.crc32c(content[:4] + bytes(4) + content[8:])


def _check_header(source: image_source.Source) -> None:
    """Look at the newer one of the headers that were written whole."""
    newest = None
    for place in _HEADERS:
        content = source.read_at(place, _HEADER_SIZE)
        fields = _HEADER.unpack_from(content)
        if fields[0] == b'head' and _whole(content) and (
                newest is None or fields[2] > newest[2]):
            newest = fields
    if newest is None:
        raise _broken('it has no header')
    log, version = newest[5], newest[7]
    if version != 1:
        raise _refused('of an unknown version')
    if any(log):
        raise _refused('that was not closed')


def _regions(source: image_source.Source) -> dict[uuid.UUID, int]:
    """Return where the regions are."""
    for place in _REGION_TABLES:
        signature, _, count, _ = _REGION_TABLE.unpack(
            source.read_at(place, _REGION_TABLE.size))
        if signature == b'regi' and count <= _MAX_ENTRIES:
            break
    else:
        raise _broken('it has no table of regions')
    found = {}
    for fields in _REGION.iter_unpack(source.read_at(
            place + _REGION_TABLE.size, count * _REGION.size)):
        guid, offset, _, required = fields
        guid = uuid.UUID(bytes_le=guid)
        if required and guid not in (_TABLE_REGION, _METADATA_REGION):
            raise _refused('with a region that is unknown')
        found[guid] = offset
    if _TABLE_REGION not in found or _METADATA_REGION not in found:
        raise _broken('a region is missing')
    return found


class _Metadata:
    """Items by their identity."""

    def __init__(self, source: image_source.Source, offset: int) -> None:
        signature, _, count, _ = _METADATA_TABLE.unpack(
            source.read_at(offset, _METADATA_TABLE.size))
        if signature != b'metadata' or count > _MAX_ENTRIES:
            raise _broken('its metadata is missing')
        table = source.read_at(offset + _METADATA_TABLE.size,
                               count * _ITEM.size)
        self._source = source
        self._places = {
            uuid.UUID(bytes_le=fields[0]): offset + fields[1]
            for fields in _ITEM.iter_unpack(table)}

    def item(self, guid: uuid.UUID, layout: str) -> tuple[int, ...]:
        if guid not in self._places:
            raise _broken('its metadata is not complete')
        return struct.unpack(layout, self._source.read_at(
            self._places[guid], struct.calcsize(layout)))


def open_disk(source: image_source.Source) -> blocks.BlockDisk:
    """Return the disk in a VHDX file.

    :raises ImageUnsupported: it has a parent, was not closed, or has what is
        newer than version 1.
    :raises ImageInvalid: it contradicts itself.
    """
    _check_header(source)
    regions = _regions(source)
    metadata = _Metadata(source, regions[_METADATA_REGION])
    block, flags = metadata.item(_PARAMETERS, '<II')
    size, = metadata.item(_DISK_SIZE, '<Q')
    sector, = metadata.item(_SECTOR_SIZE, '<I')
    if flags & _HAS_PARENT:
        raise _refused('with a parent')
    if block not in _BLOCK_SIZES or block & (block - 1):
        raise _broken('its block size is impossible')
    if sector not in (512, 4096) or size > blocks.MAX_DISK:
        raise _broken('its size is impossible')
    table, chunk = regions[_TABLE_REGION], _CHUNK_SECTORS * sector // block

    def piece(number: int, begin: int, length: int) -> bytes:
        # An entry for the bitmap follows those of each chunk.
        entry, = _ENTRY.unpack(source.read_at(
            table + 8 * (number + number // chunk), 8))
        if entry & _STATE == _PARTLY:
            raise _broken('a block is only partly there')
        if entry & _STATE != _PRESENT:
            return bytes(length)
        return source.read_at((entry >> 20) * _MIB + begin, length)
    return blocks.BlockDisk(size, block, piece)
