# SPDX-License-Identifier: Apache-2.0
"""The disk inside a VDI file (VirtualBox), read-only.

Little endian: a header, a map with a word per block, the blocks. As in QEMU,
a file that names another one, the parent of a snapshot, is refused.
"""
import struct

from nova_armvm import exception
from nova_armvm.image import blocks
from nova_armvm.image import source as image_source

_SIGNATURE = 0xbeda107f
_VERSION = 0x00010001
#: Signature, version; map, data; sector, _, disk, block, extra, blocks.
_IDENTITY = struct.Struct('<II')
_TABLES = struct.Struct('<II')
_SIZES = struct.Struct('<IIQIII')
_LINKS = slice(0x1a8, 0x1c8)
_HEADER_SIZE = 512
_ENTRY = struct.Struct('<I')
#: From here on an entry says that the block is not in the file.
_ABSENT = 0xfffffffe
_BLOCK = 1024 * 1024


def _broken(reason: str) -> exception.ImageInvalid:
    return exception.ImageInvalid(reason=f'as VDI, {reason}')


def open_disk(source: image_source.Source) -> blocks.BlockDisk:
    """Return the disk in a VDI file.

    :raises ImageUnsupported: it has a parent, or blocks of another size than
        1 MiB.
    :raises ImageInvalid: it contradicts itself.
    """
    header = source.read_at(0, _HEADER_SIZE)
    signature, version = _IDENTITY.unpack_from(header, 0x40)
    table, content = _TABLES.unpack_from(header, 0x154)
    sector, _, size, block, extra, count = _SIZES.unpack_from(header, 0x168)
    if signature != _SIGNATURE or version != _VERSION:
        raise _broken('it has an unknown version')
    if any(header[_LINKS]):
        raise exception.ImageUnsupported(
            reason='it is a VDI file with a parent')
    if sector != blocks.SECTOR or block != _BLOCK or extra:
        raise exception.ImageUnsupported(
            reason='it is a VDI file with blocks that are not of 1 MiB')
    if size > blocks.MAX_DISK or count * block < size:
        raise _broken('its size does not fit its map')

    def piece(number: int, begin: int, length: int) -> bytes:
        place, = _ENTRY.unpack(source.read_at(table + 4 * number, 4))
        if place >= _ABSENT:
            return bytes(length)
        if place >= count:
            raise _broken('a block lies behind its last one')
        return source.read_at(content + place * block + begin, length)
    return blocks.BlockDisk(size, block, piece)
