# SPDX-License-Identifier: Apache-2.0
"""The disk inside a VMDK file (VMware), read-only.

Follows VMware's "Virtual Disk Format 5.0": one sparse extent in one file,
with compressed grains (streamOptimized) or without (monolithicSparse), which
are the kinds that oslo.utils holds for safe. Little endian: a header, or a
footer that replaces it, a directory, tables, and grains.
"""
import dataclasses
import functools
import re
import struct
import zlib

from nova_armvm import exception
from nova_armvm.image import blocks
from nova_armvm.image import source as image_source

#: Magic, version, flags, capacity, grain, descriptor and its size, entries
#: per table, spare directory, directory, overhead, four line ends and the
#: mark of an unclean end, compression. In sectors.
_HEADER = struct.Struct('<4sIIQQQQIQQQ5sH')
_MARKER = struct.Struct('<QI')
_ENTRY = struct.Struct('<I')
_COMPRESSED, _MARKERS = 1 << 16, 1 << 17
_DEFLATE = 1
_AT_END = 0xffffffffffffffff
#: The footer is followed by a marker.
_FOOTER_FROM_END = 2 * blocks.SECTOR
_ZERO = 1
#: QEMU's own bounds, in sectors and entries.
_GRAINS = range(1, 64 * 1024 * 1024 // blocks.SECTOR + 1)
_TABLE_ENTRIES = range(1, 513)
_MAX_DESCRIPTOR = 2048
#: A grain that deflate could not make smaller, with its header.
_MAX_PACKED = 4 * 1024 * 1024


def _broken(reason: str) -> exception.ImageInvalid:
    return exception.ImageInvalid(reason=f'as VMDK, {reason}')


def _refused(what: str) -> exception.ImageUnsupported:
    return exception.ImageUnsupported(reason=f'it is a VMDK file with {what}')


@dataclasses.dataclass(frozen=True)
class _Extent:
    """What the header says; in bytes.

    :ivar entries: of a table.
    :ivar directory: where it is.
    """

    size: int
    grain: int
    entries: int
    directory: int
    compressed: bool


def _extent(source: image_source.Source) -> _Extent:
    fields = _HEADER.unpack(source.read_at(0, _HEADER.size))
    if fields[0] == b'KDMV' and fields[9] == _AT_END:
        fields = _HEADER.unpack(source.read_at(
            source.size - _FOOTER_FROM_END, _HEADER.size))
    (magic, version, flags, capacity, grain, descriptor, descriptor_size,
     entries, _, directory, _, _, compression) = fields
    if magic != b'KDMV' or version not in (1, 2, 3):
        raise _broken('it has an unknown version')
    if grain not in _GRAINS or grain & (grain - 1) or (
            entries not in _TABLE_ENTRIES):
        raise _broken('its sizes are impossible')
    if capacity * blocks.SECTOR > blocks.MAX_DISK:
        raise _broken('its size is impossible')
    compressed = bool(flags & _COMPRESSED)
    if compressed and (compression != _DEFLATE or not flags & _MARKERS):
        raise _refused('an unknown compression')
    _check_parent(source, descriptor, descriptor_size)
    return _Extent(capacity * blocks.SECTOR, grain * blocks.SECTOR, entries,
                   directory * blocks.SECTOR, compressed)


def _check_parent(source: image_source.Source, place: int,
                  size: int) -> None:
    """Refuse a file that another one lies under."""
    if size > _MAX_DESCRIPTOR:
        raise _broken('its descriptor is too long')
    text = source.read_at(place * blocks.SECTOR, size * blocks.SECTOR)
    parent = re.search(rb'^\s*parentCID\s*=\s*([0-9a-f]+)', text,
                       re.IGNORECASE | re.MULTILINE)
    if parent and int(parent[1], 16) != 0xffffffff:
        raise _refused('a parent')


class _Grains:
    """Where the grains of a VMDK file are."""

    def __init__(self, source: image_source.Source) -> None:
        self.extent = _extent(source)
        self._source = source
        # A file system is read in small pieces.
        self._unpacked = functools.lru_cache(maxsize=8)(self._unpack)

    def piece(self, number: int, begin: int, length: int) -> bytes:
        """Return a part of a grain."""
        place = self._grain(number)
        if place in (0, _ZERO):
            return bytes(length)
        place *= blocks.SECTOR
        if self.extent.compressed:
            return self._unpacked(number, place)[begin:begin + length]
        # The file may end within its last grain.
        present = min(length, max(0, self._source.size - place - begin))
        if place >= self._source.size:
            raise _broken('a grain lies behind its end')
        return self._source.read_at(place + begin, present) + bytes(
            length - present)

    def _grain(self, number: int) -> int:
        """Return in which sector a grain begins."""
        table, index = divmod(number, self.extent.entries)
        where = self._word(self.extent.directory + 4 * table)
        return where and self._word(where * blocks.SECTOR + 4 * index)

    def _word(self, place: int) -> int:
        return _ENTRY.unpack(self._source.read_at(place, 4))[0]

    def _unpack(self, number: int, place: int) -> bytes:
        sector, size = _MARKER.unpack(
            self._source.read_at(place, _MARKER.size))
        if sector * blocks.SECTOR != number * self.extent.grain:
            raise _broken('a grain is another one than it should be')
        if size > _MAX_PACKED:
            raise _broken('a compressed grain is too long')
        packed = self._source.read_at(place + _MARKER.size, size)
        try:
            content = zlib.decompressobj().decompress(packed,
                                                      self.extent.grain)
        except zlib.error as error:
            raise _broken('a grain cannot be decompressed') from error
        # The last one may be as short as the disk.
        rest = self.extent.size - number * self.extent.grain
        if len(content) < min(self.extent.grain, rest):
            raise _broken('a compressed grain is too short')
        return content.ljust(self.extent.grain, b'\0')


def open_disk(source: image_source.Source) -> blocks.BlockDisk:
    """Return the disk in a VMDK file.

    :raises ImageUnsupported: it has a parent or an unknown compression.
    :raises ImageInvalid: it contradicts itself.
    """
    grains = _Grains(source)
    return blocks.BlockDisk(grains.extent.size, grains.extent.grain,
                            grains.piece)
