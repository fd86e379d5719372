# SPDX-License-Identifier: Apache-2.0
"""Reading a store's qcow2 image without opening it in QEMU.

Only what the driver itself makes is understood (docs/interop/qcow2.txt of
QEMU): no backing or data file, no encryption, no compression. The guest
cannot write the image's metadata, but the volume may hold anything.
"""
from collections.abc import Callable
import struct

from nova_armvm import exception

MAGIC = b'QFI\xfb'

_HEADER = struct.Struct('>4sIQIIQIIQQIIQ')
_HEADER_V3 = struct.Struct('>QQQII')
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1
_DIRTY = 1
_MAX_SIZE = 64 * 1024 * 1024
_ENTRY = 8


def has_magic(head: bytes) -> bool:
    """Tell whether bytes from the start of a volume begin a qcow2 image."""
    return head[:len(MAGIC)] == MAGIC


class Qcow2Reader:
    """The guest's view of an image.

    :ivar virtual_size: size in bytes as the guest sees it.
    """

    def __init__(self, read_at: Callable[[int, int], bytes]) -> None:
        """Check the header.

        :param read_at: returns (offset, length) of the volume.
        :raises StoreImageInvalid: it is no image of ours.
        """
        self._read_at = read_at
        head = read_at(0, _HEADER.size + _HEADER_V3.size)
        if len(head) < _HEADER.size + _HEADER_V3.size or not has_magic(head):
            raise _invalid('it does not begin as qcow2')
        (_magic, version, backing, _length, cluster_bits, size, encryption,
         l1_entries, l1_offset, *_rest) = _HEADER.unpack_from(head)
        if version not in (2, 3):
            raise _invalid(f'qcow2 version {version}')
        features = (_HEADER_V3.unpack_from(head, _HEADER.size)[0]
                    if version == 3 else 0)
        if features & ~_DIRTY:
            raise _invalid('it has features that stores do not have')
        if backing or encryption:
            raise _invalid('it depends on something else')
        if not 9 <= cluster_bits <= 21 or not 0 < size <= _MAX_SIZE:
            raise _invalid('its size is impossible')
        self.virtual_size = size
        self._cluster = 1 << cluster_bits
        self._l2_tables: dict[int, tuple[int, ...]] = {}
        self._l1 = self._table(l1_offset, self._l1_needed(), l1_entries)

    def _l1_needed(self) -> int:
        per_table = self._cluster // _ENTRY * self._cluster
        return -(-self.virtual_size // per_table)

    def _table(self, offset: int, needed: int, there: int) -> tuple[int, ...]:
        if there < needed or offset % self._cluster:
            raise _invalid('its cluster table is impossible')
        raw = self._read_at(offset, needed * _ENTRY)
        if len(raw) != needed * _ENTRY:
            raise _invalid('its cluster table lies beyond the volume')
        return struct.unpack(f'>{needed}Q', raw)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes as the guest sees them; nothing beyond the end.

        Neighbouring clusters are read together: on a network each read is a
        round trip.

        :raises StoreImageInvalid: the image is damaged.
        """
        length = max(0, min(length, self.virtual_size - offset))
        first = offset // self._cluster
        last = -(-(offset + length) // self._cluster)
        places = [self._place(index) for index in range(first, last)]
        content = b''.join(self._runs(places))
        skip = offset - first * self._cluster
        return content[skip:skip + length]

    def _runs(self, places: list[int | None]):
        index = 0
        while index < len(places):
            start, count = places[index], 1
            while index + count < len(places) and places[index + count] == (
                    None if start is None
                    else start + count * self._cluster):
                count += 1
            size = count * self._cluster
            if start is None:
                yield bytes(size)
            else:
                # The last cluster of the image need not be whole.
                yield self._read_at(start, size).ljust(size, b'\0')
            index += count

    def _place(self, index: int) -> int | None:
        """Return where a cluster lies, None if it reads as zeros."""
        per_table = self._cluster // _ENTRY
        entry = self._l2(index // per_table)[index % per_table]
        if entry & _COMPRESSED:
            raise _invalid('it is compressed')
        place = entry & _OFFSET_MASK
        if entry & _ZERO or not place:
            return None
        if place % self._cluster:
            raise _invalid('a cluster lies at an impossible place')
        return place

    def _l2(self, number: int) -> tuple[int, ...]:
        if number not in self._l2_tables:
            place = self._l1[number] & _OFFSET_MASK
            per_table = self._cluster // _ENTRY
            self._l2_tables[number] = (
                self._table(place, per_table, per_table) if place
                else (0,) * per_table)
        return self._l2_tables[number]


def _invalid(reason: str) -> exception.StoreImageInvalid:
    return exception.StoreImageInvalid(reason=reason)
