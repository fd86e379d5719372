# SPDX-License-Identifier: Apache-2.0
"""The disk inside a qcow2 file, read-only.

Follows QEMU's docs/interop/qcow2.rst, versions 2 and 3, with compressed
clusters (deflate, zstd). Refused: backing files and data files, which would
name other files of the reader, encryption, and subclusters (extended L2).
"""
import dataclasses
import functools
import io
import struct
import zlib

import zstandard

from nova_armvm import exception
from nova_armvm.image import blocks
from nova_armvm.image import source as image_source

_HEADER = struct.Struct('>4sIQIIQIIQ')
_FEATURES = struct.Struct('>Q')
_ENTRY = struct.Struct('>Q')
_INCOMPATIBLE, _HEADER_LENGTH, _COMPRESSION = 72, 100, 104

_KNOWN_FEATURES = 0b1111
_DATA_FILE, _CORRUPT = 1 << 2, 1 << 1

_OFFSET = 0x00fffffffffffe00
_COMPRESSED = 1 << 62
_ALL_ZERO = 1

#: QEMU's own bounds.
_CLUSTER_BITS = range(9, 22)
_MAX_L1_ENTRIES = 32 * 1024 * 1024 // 8


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What the header says.

    :ivar size: of the disk, in bytes.
    """

    size: int
    cluster_bits: int
    l1_offset: int
    l1_entries: int
    version: int
    zstd: bool


def _broken(reason: str) -> exception.ImageInvalid:
    return exception.ImageInvalid(reason=f'as qcow2, {reason}')


def _refused(what: str) -> exception.ImageUnsupported:
    return exception.ImageUnsupported(reason=f'it is a qcow2 file with {what}')


def _layout(source: image_source.Source) -> _Layout:
    (magic, version, backing, _, cluster_bits, size, encryption, l1_entries,
     l1_offset) = _HEADER.unpack(source.read_at(0, _HEADER.size))
    if magic != b'QFI\xfb' or version not in (2, 3):
        raise _broken('it has an unknown version')
    if backing:
        raise _refused('a backing file')
    if encryption:
        raise _refused('encryption')
    if cluster_bits not in _CLUSTER_BITS:
        raise _broken('its cluster size is impossible')
    covered = 1 << (2 * cluster_bits - 3)
    if size > blocks.MAX_DISK or l1_entries > _MAX_L1_ENTRIES or (
            l1_entries * covered < size):
        raise _broken('its size does not fit its tables')
    return _Layout(size, cluster_bits, l1_offset, l1_entries, version,
                   version == 3 and _compresses_by_zstd(source))


def _compresses_by_zstd(source: image_source.Source) -> bool:
    """Look at what version 3 has added."""
    features, = _FEATURES.unpack(source.read_at(_INCOMPATIBLE, 8))
    if features & _DATA_FILE:
        raise _refused('a data file')
    if features & ~_KNOWN_FEATURES:
        raise _refused('features that are not supported (extended L2 or '
                       'newer)')
    if features & _CORRUPT:
        raise _broken('it is marked as corrupt')
    length, = struct.unpack('>I', source.read_at(_HEADER_LENGTH, 4))
    kind = source.read_at(_COMPRESSION, 1)[0] if length > _COMPRESSION else 0
    if kind not in (0, 1):
        raise _refused('an unknown compression')
    return kind == 1


class _Clusters:
    """Where the clusters of a qcow2 file are."""

    def __init__(self, source: image_source.Source) -> None:
        self.layout = _layout(source)
        self.cluster = 1 << self.layout.cluster_bits
        self._source = source
        # A file system is read in small pieces.
        self._decompressed = functools.lru_cache(maxsize=8)(self._decompress)

    def piece(self, number: int, begin: int, length: int) -> bytes:
        """Return a part of a cluster."""
        entry = self._l2_entry(number)
        if entry & _COMPRESSED:
            return self._decompressed(entry)[begin:begin + length]
        host = entry & _OFFSET
        if not host or entry & _ALL_ZERO and self.layout.version == 3:
            return bytes(length)
        if host % self.cluster:
            raise _broken('a cluster lies between clusters')
        # The file may end within its last cluster.
        present = min(length, max(0, self._source.size - host - begin))
        if host >= self._source.size:
            raise _broken('a cluster lies behind its end')
        return self._source.read_at(host + begin, present) + bytes(
            length - present)

    def _l2_entry(self, number: int) -> int:
        per_table = self.cluster // _ENTRY.size
        l1_index, l2_index = divmod(number, per_table)
        table = self._entry(self.layout.l1_offset, l1_index) & _OFFSET
        if not table:
            return 0
        if table % self.cluster:
            raise _broken('a table lies between clusters')
        return self._entry(table, l2_index)

    def _entry(self, table: int, index: int) -> int:
        return _ENTRY.unpack(self._source.read_at(table + 8 * index, 8))[0]

    def _decompress(self, entry: int) -> bytes:
        bits = 62 - (self.layout.cluster_bits - 8)
        host = entry & ((1 << bits) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> bits) + 1
        length = min(sectors * blocks.SECTOR - host % blocks.SECTOR,
                     max(0, self._source.size - host))
        packed = self._source.read_at(host, length)
        content = (self._unpack_zstd(packed) if self.layout.zstd else
                   self._unpack_deflate(packed))
        if len(content) != self.cluster:
            raise _broken('a compressed cluster is too short')
        return content

    def _unpack_deflate(self, packed: bytes) -> bytes:
        try:
            return zlib.decompressobj(-12).decompress(packed, self.cluster)
        except zlib.error as error:
            raise _broken('a cluster cannot be decompressed') from error

    def _unpack_zstd(self, packed: bytes) -> bytes:
        # A window larger than what is packed is of no use but to us as load.
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 24)
        try:
            with unpacker.stream_reader(io.BytesIO(packed)) as stream:
                return stream.read(self.cluster)
        except zstandard.ZstdError as error:
            raise _broken('a cluster cannot be decompressed') from error


def open_disk(source: image_source.Source) -> blocks.BlockDisk:
    """Return the disk in a qcow2 file.

    :raises ImageUnsupported: it has what is refused here.
    :raises ImageInvalid: it contradicts itself.
    """
    clusters = _Clusters(source)
    return blocks.BlockDisk(clusters.layout.size, clusters.cluster,
                            clusters.piece)
