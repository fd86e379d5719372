# SPDX-License-Identifier: Apache-2.0
"""Reading a store's qcow2 image without opening it in QEMU.

Only what the driver itself makes is understood (QEMU's
docs/interop/qcow2.txt): no backing or data file, no encryption, no
compression. A guest cannot write the image's metadata, but a volume that was
damaged or restored may hold anything.
"""
from collections.abc import Callable, Iterator
import struct

from nova_armvm import exception

MAGIC = b'QFI\xfb'

#: A flash is at most as large as the firmware's window for it.
MAX_SIZE = 64 * 1024 * 1024

_HEADER = struct.Struct('>4sIQIIQIIQQIIQ')
_HEADER_V3 = struct.Struct('>QQQII')
_ENTRY_SIZE = 8
_CLUSTER_BITS = range(9, 22)

# Incompatible features: only this one changes nothing for a reader. It says
# that reference counts may be out of date.
_DIRTY = 0x01

_OFFSET = 0x00FFFFFFFFFFFE00
_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_ZERO = 0x01


def has_magic(head: bytes) -> bool:
    """Return whether bytes from the start of a volume begin a qcow2 image."""
    return head[:len(MAGIC)] == MAGIC


class Qcow2Reader:
    """The guest's view of an image.

    :ivar virtual_size: size in bytes as the guest sees it.
    """

    def __init__(self, read_at: Callable[[int, int], bytes]) -> None:
        """Read and check the header and the first cluster table.

        :param read_at: returns (offset, length) of the volume. It is called
            with ranges of MAX_SIZE at most, and a shorter answer is taken
            for damage.
        :raises StoreImageInvalid: it is no image that the driver makes.
        """
        self._read_at = read_at
        head = self._exactly(0, _HEADER.size + _HEADER_V3.size)
        if not has_magic(head):
            raise _invalid('it does not begin as qcow2')
        (_magic, version, backing, _backing_size, cluster_bits, size,
         encryption, l1_entries, l1_offset, *_rest) = _HEADER.unpack_from(
             head)
        if version not in (2, 3):
            raise _invalid(f'it is qcow2 of version {version}')
        features = (_HEADER_V3.unpack_from(head, _HEADER.size)[0]
                    if version == 3 else 0)
        if features & ~_DIRTY:
            raise _invalid('it has features that stores do not have')
        if backing or encryption:
            raise _invalid('it has a backing file or is encrypted')
        if cluster_bits not in _CLUSTER_BITS or not 0 < size <= MAX_SIZE:
            raise _invalid('its size is impossible')
        self.virtual_size: int = size
        self._has_zero_flag = version == 3
        self._cluster: int = 1 << cluster_bits
        self._per_table = self._cluster // _ENTRY_SIZE
        needed = -(-size // (self._cluster * self._per_table))
        if l1_entries < needed:
            raise _invalid('its first cluster table is too short')
        self._l1 = self._table(l1_offset, needed)
        self._l2_tables: dict[int, tuple[int, ...]] = {}

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes as the guest sees them.

        What lies together on the volume is read at once: on a network each
        read is a round trip.

        :param offset: in bytes, not negative.
        :param length: in bytes; nothing is returned from beyond the end.
        :raises StoreImageInvalid: the image is damaged.
        """
        end = min(offset + length, self.virtual_size)
        return b''.join(
            bytes(size) if place is None else self._exactly(place, size)
            for place, size in self._runs(offset, end))

    def _runs(self, offset: int,
              end: int) -> Iterator[tuple[int | None, int]]:
        """Yield (place on the volume, bytes); place None stands for zeros."""
        place, size = None, 0
        while offset < end:
            index, within = divmod(offset, self._cluster)
            step = min(self._cluster - within, end - offset)
            cluster = self._place(index)
            here = None if cluster is None else cluster + within
            if here != (None if place is None else place + size):
                if size:
                    yield place, size
                place, size = here, 0
            size += step
            offset += step
        if size:
            yield place, size

    def _place(self, index: int) -> int | None:
        """Return where a cluster lies, None if it reads as zeros."""
        entry = self._l2(index // self._per_table)[index % self._per_table]
        if entry & _COMPRESSED:
            raise _invalid('it is compressed')
        if self._has_zero_flag and entry & _ZERO:
            return None
        return self._offset(entry & ~_ZERO) or None

    def _l2(self, number: int) -> tuple[int, ...]:
        if number not in self._l2_tables:
            place = self._offset(self._l1[number])
            self._l2_tables[number] = (
                self._table(place, self._per_table) if place
                else (0,) * self._per_table)
        return self._l2_tables[number]

    def _offset(self, entry: int) -> int:
        """Return the offset in a table's entry, 0 for nothing."""
        place = entry & _OFFSET
        if entry & ~(_OFFSET | _COPIED) or place % self._cluster:
            raise _invalid('a cluster lies at an impossible place')
        return place

    def _table(self, offset: int, entries: int) -> tuple[int, ...]:
        if offset % self._cluster or not offset:
            raise _invalid('a cluster table lies at an impossible place')
        return struct.unpack(f'>{entries}Q',
                             self._exactly(offset, entries * _ENTRY_SIZE))

    def _exactly(self, offset: int, length: int) -> bytes:
        content = self._read_at(offset, length)
        if len(content) != length:
            raise _invalid('it reaches beyond the volume')
        return content


def _invalid(reason: str) -> exception.StoreImageInvalid:
    return exception.StoreImageInvalid(reason=reason)
