# SPDX-License-Identifier: Apache-2.0
"""The disk inside a dynamic VHD file (Virtual PC), read-only.

Follows Microsoft's "Virtual Hard Disk Image Format Specification" 1.0; big
endian: a copy of the footer, a header, a table with a word per block, the
blocks, each behind a bitmap of its sectors. A fixed VHD is a raw disk with a
footer, which nobody tells from a raw disk by its beginning.
"""
import struct

from nova_armvm import exception
from nova_armvm.image import blocks
from nova_armvm.image import source as image_source

#: Cookie, features, version, header, time, creator, its version and system,
#: original size, size, cylinders, heads, sectors, kind.
_FOOTER = struct.Struct('>8sIIQI4sI4sQQHBBI')
#: Cookie, next, table, version, entries, block.
_HEADER = struct.Struct('>8sQQIII')
_ENTRY = struct.Struct('>I')
_DYNAMIC, _DIFFERENCING = 3, 4
_ABSENT = 0xffffffff
_BLOCKS = range(blocks.SECTOR, 256 * 1024 * 1024 + 1)

#: Creators that mean the size and not the geometry, as QEMU knows them.
_SIZE_COUNTS = {b'win ', b'd2v ', b'tap\0', b'vs  ', b'CTXS', b'qem2'}
_LARGEST_GEOMETRY = 65535 * 16 * 255


def _broken(reason: str) -> exception.ImageInvalid:
    return exception.ImageInvalid(reason=f'as VHD, {reason}')


def open_disk(source: image_source.Source) -> blocks.BlockDisk:
    """Return the disk in a VHD file.

    :raises ImageUnsupported: it has a parent.
    :raises ImageInvalid: it contradicts itself.
    """
    (cookie, _, version, header_at, _, creator, _, _, _, size, cylinders,
     heads, sectors, kind) = _FOOTER.unpack(
         source.read_at(0, _FOOTER.size))
    if cookie != b'conectix' or version >> 16 != 1:
        raise _broken('it has an unknown version')
    if kind == _DIFFERENCING:
        raise exception.ImageUnsupported(
            reason='it is a VHD file with a parent')
    if kind != _DYNAMIC:
        raise _broken('its kind is unknown')
    geometry = cylinders * heads * sectors
    if creator not in _SIZE_COUNTS and geometry != _LARGEST_GEOMETRY:
        size = geometry * blocks.SECTOR
    return _dynamic(source, header_at, size)


def _dynamic(source: image_source.Source, header_at: int,
             size: int) -> blocks.BlockDisk:
    cookie, _, table, version, count, block = _HEADER.unpack(
        source.read_at(header_at, _HEADER.size))
    if cookie != b'cxsparse' or version >> 16 != 1:
        raise _broken('its header has an unknown version')
    if block not in _BLOCKS or block & (block - 1):
        raise _broken('its block size is impossible')
    if size > blocks.MAX_DISK or count * block < size:
        raise _broken('its size does not fit its table')
    bits = -(-block // blocks.SECTOR // 8)
    bitmap = -(-bits // blocks.SECTOR) * blocks.SECTOR

    def piece(number: int, begin: int, length: int) -> bytes:
        place, = _ENTRY.unpack(source.read_at(table + 4 * number, 4))
        if place == _ABSENT:
            return bytes(length)
        # What the bitmap leaves out is zero in the block.
        return source.read_at(place * blocks.SECTOR + bitmap + begin, length)
    return blocks.BlockDisk(size, block, piece)
