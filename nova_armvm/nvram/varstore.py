# SPDX-License-Identifier: Apache-2.0
"""The variable store as edk2 keeps it in flash.

The layout is that of edk2's VariableFormat.h, FirmwareVolumeHeader and
SystemDataGuid/FaultTolerantWrite working block: a firmware volume with the
variables, then the working and the spare area of fault-tolerant writes. The
bytes are written by a guest, so every length is checked before it is used.
"""
from collections.abc import Iterator, Mapping
import dataclasses
import struct
import uuid

from nova_armvm import exception

#: Bytes from the start of flash in which the whole store lies for AAVMF:
#: variables, working area and spare area, 256 KiB each.
READ_SIZE = 3 * 256 * 1024

_NV_DATA_VOLUME = uuid.UUID('fff12b8d-7696-4c8b-a985-2747075b4f50')
_AUTHENTICATED = uuid.UUID('aaf32c78-947b-439a-a180-2e144ec37792')
_PLAIN = uuid.UUID('ddcf3616-3275-4164-98b6-fe85707ffe7d')
_WORKING_BLOCK = uuid.UUID('9e58292b-7c68-497d-a0ce-6500fd9f1b95')

_VOLUME_HEADER = struct.Struct('<16x16sQ4sIHHHxB')
_STORE_HEADER = struct.Struct('<16sIBBHI')
_AUTHENTICATED_HEADER = struct.Struct('<HBxIQ16sIII16s')
_PLAIN_HEADER = struct.Struct('<HBxIII16s')
_WORKING_HEADER = struct.Struct('<16sIB3xQ')
_WRITE_HEADER = struct.Struct('<B3x16s4xQQ')
_WRITE_RECORD = struct.Struct('<B3x4xQQQq')

_VARIABLE_START = 0x55AA
_STORE_FORMATTED = 0x5A
_STORE_HEALTHY = 0xFE

# A state begins as 0xFF and loses one bit at each step of a variable's life.
_ADDED = 0x3F
_IN_DELETED_TRANSITION = 0xFE & _ADDED

#: More than fit into any store; a guard against hostile chains.
_MAX_VARIABLES = 8192


@dataclasses.dataclass(frozen=True, order=True)
class VariableKey:
    """What tells one variable from another."""

    guid: uuid.UUID
    name: str


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable.

    :ivar attributes: as UEFI defines them (bit 0: non-volatile, ...).
    :ivar content: its bytes.
    """

    key: VariableKey
    attributes: int
    content: bytes


@dataclasses.dataclass(frozen=True)
class VariableStore:
    """What a store holds.

    :ivar formatted: False until firmware has run for the first time.
    """

    formatted: bool
    variables: Mapping[VariableKey, Variable]


def parse(flash: bytes) -> VariableStore:
    """Read a store.

    :param flash: the flash from its start; READ_SIZE bytes suffice.
    :returns: the variables as firmware would find them at the next boot; an
        empty store when no firmware has formatted the flash yet.
    :raises VariableStoreInvalid: it is formatted, but not as edk2 does.
    """
    if _is_blank(flash[:_VOLUME_HEADER.size]):
        return VariableStore(False, {})
    volume = _volume(flash)
    start, length = volume.variables
    store = _recovered(flash, volume)[start:start + length]
    return VariableStore(True, _variables(store))


def _is_blank(head: bytes) -> bool:
    return not head.strip(b'\0') or not head.strip(b'\xff')


def _invalid(reason: str) -> exception.VariableStoreInvalid:
    return exception.VariableStoreInvalid(reason=reason)


@dataclasses.dataclass(frozen=True)
class _Volume:
    """Where things lie in the flash: (offset, length) in bytes."""

    variables: tuple[int, int]
    block_size: int
    length: int


def _volume(flash: bytes) -> _Volume:
    if len(flash) < _VOLUME_HEADER.size + 16:
        raise _invalid('it ends within the volume header')
    guid, length, signature, _attributes, header, _sum, _ext, _revision = (
        _VOLUME_HEADER.unpack_from(flash))
    if signature != b'_FVH' or guid != _NV_DATA_VOLUME.bytes_le:
        raise _invalid('it begins with no variable volume')
    if not _VOLUME_HEADER.size + 16 <= header <= min(len(flash), 4096):
        raise _invalid('the volume header has an impossible length')
    if header % 2 or sum(struct.unpack_from(f'<{header // 2}H', flash)
                         ) & 0xFFFF:
        raise _invalid('the checksum of the volume header is wrong')
    blocks, block_size = struct.unpack_from('<II', flash, _VOLUME_HEADER.size)
    if not 0 < block_size <= length or blocks * block_size < length:
        raise _invalid('the block map does not cover the volume')
    return _Volume(_store_extent(flash, header, length), block_size, length)


def _store_extent(flash: bytes, header: int, limit: int) -> tuple[int, int]:
    if len(flash) < header + _STORE_HEADER.size:
        raise _invalid('it ends within the store header')
    guid, size, _format, _state, _one, _two = _STORE_HEADER.unpack_from(
        flash, header)
    if guid not in (_AUTHENTICATED.bytes_le, _PLAIN.bytes_le):
        raise _invalid('the store has an unknown format')
    if not _STORE_HEADER.size <= size <= min(limit, len(flash)) - header:
        raise _invalid('the store has an impossible size')
    return header, size


def _recovered(flash: bytes, volume: _Volume) -> bytes:
    """Return the flash as firmware repairs it after an interrupted write.

    When the spare area is complete and its copy to the target is not, edk2
    copies it at the next start; a reader has to see the same.
    """
    record = _interrupted_write(flash, volume)
    if record is None:
        return flash
    target, length, spare = record
    if not (0 <= target <= target + length <= len(flash) and
            0 <= spare <= spare + length <= len(flash)):
        return flash
    return b''.join((flash[:target], flash[spare:spare + length],
                     flash[target + length:]))


def _interrupted_write(flash: bytes,
                       volume: _Volume) -> tuple[int, int, int] | None:
    """Return (target, length, spare) of a write to be finished."""
    third = volume.length // 3 if volume.length == READ_SIZE else None
    start, size = volume.variables
    working = third or _align(start + size, volume.block_size)
    if len(flash) < working + _WORKING_HEADER.size + _WRITE_HEADER.size:
        return None
    guid, _crc, state, queue = _WORKING_HEADER.unpack_from(flash, working)
    if guid != _WORKING_BLOCK.bytes_le or state & 0x03 != 0x02:
        return None
    end = min(len(flash), working + _WORKING_HEADER.size + queue)
    spare = working + (third or volume.block_size)
    return _last_write(flash, working + _WORKING_HEADER.size, end, spare,
                       third or volume.block_size)


def _last_write(flash: bytes, offset: int, end: int, spare: int,
                block: int) -> tuple[int, int, int] | None:
    """Walk the queue of writes; only the last can be unfinished."""
    while offset + _WRITE_HEADER.size <= end:
        state, _caller, number, private = _WRITE_HEADER.unpack_from(
            flash, offset)
        if state & 0x01:
            # Bits are active low: nothing was allocated here.
            return None
        records = offset + _WRITE_HEADER.size
        size = _WRITE_RECORD.size + private
        if number > _MAX_VARIABLES or size > end:
            return None
        if state & 0x04:
            return _unfinished(flash, (records, number, size, end), spare,
                               block)
        offset = records + number * size
    return None


def _unfinished(flash: bytes, queue: tuple[int, int, int, int], spare: int,
                block: int) -> tuple[int, int, int] | None:
    offset, number, size, end = queue
    for _each in range(number):
        if offset + _WRITE_RECORD.size > end:
            return None
        state, _lba, within, length, relative = (
            _WRITE_RECORD.unpack_from(flash, offset))
        spare_complete, copied = not state & 0x02, not state & 0x04
        if spare_complete and not copied:
            # The spare area holds whole blocks of the target.
            target = (spare + relative) // block * block
            return target, _align(max(within + length, 1), block), spare
        offset += size
    return None


def _align(value: int, step: int) -> int:
    return -(-value // step) * step


def _variables(store: bytes) -> dict[VariableKey, Variable]:
    guid, _size, form, state, _one, _two = _STORE_HEADER.unpack_from(store)
    if (form, state) != (_STORE_FORMATTED, _STORE_HEALTHY):
        raise _invalid('the store is marked as unformatted or broken')
    found: dict[VariableKey, Variable] = {}
    leaving: dict[VariableKey, Variable] = {}
    for state, variable in _entries(store,
                                    guid == _AUTHENTICATED.bytes_le):
        if state == _ADDED:
            found[variable.key] = variable
        elif state == _IN_DELETED_TRANSITION:
            leaving[variable.key] = variable
    # The old value counts where the write of the new one was cut short.
    return {**leaving, **found}


def _entries(store: bytes,
             authenticated: bool) -> Iterator[tuple[int, Variable]]:
    layout = _AUTHENTICATED_HEADER if authenticated else _PLAIN_HEADER
    offset = _align(_STORE_HEADER.size, 4)
    for _each in range(_MAX_VARIABLES):
        if offset + layout.size > len(store):
            return
        fields = layout.unpack_from(store, offset)
        mark, state, attributes = fields[:3]
        if mark != _VARIABLE_START:
            return
        name_size, content_size, vendor = fields[-3:]
        name_at = offset + layout.size
        content_at = name_at + name_size
        end = content_at + content_size
        if end > len(store):
            if state in (_ADDED, _IN_DELETED_TRANSITION):
                raise _invalid('a variable reaches beyond the store')
            # Firmware died before the sizes were complete.
            return
        if state in (_ADDED, _IN_DELETED_TRANSITION):
            yield state, Variable(
                VariableKey(uuid.UUID(bytes_le=vendor),
                            _name(store[name_at:content_at])),
                attributes, store[content_at:end])
        offset = _align(end, 4)
    raise _invalid('it holds more variables than fit')


def _name(raw: bytes) -> str:
    text = raw[:len(raw) // 2 * 2].decode('utf-16-le', errors='replace')
    return text.partition('\0')[0]
