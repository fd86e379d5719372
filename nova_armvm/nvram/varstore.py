# SPDX-License-Identifier: Apache-2.0
"""The variable store as edk2 keeps it in flash.

The layout is that of edk2's VariableFormat.h and of the PI specification's
firmware volume (volume 3, section 3.2.1). A firmware volume begins with its
header and that of the store; the variables follow one after the other. A
variable is never changed in place: a new one is appended and a bit in the
state of the old one cleared, until everything is copied to a fresh store
(nova_armvm.nvram.ftw). The bytes are written by a guest, so every length is
checked before it is used and every loop ends with the bytes.
"""
from collections.abc import Iterator, Mapping
import dataclasses
import datetime
import struct
import types
import uuid

from nova_armvm import exception
from nova_armvm.nvram import ftw

#: Bytes from the start of the flash in which everything lies for AAVMF
#: (edk2's ArmVirtPkg): variables, working area and spare area, each of one
#: block of flash.
READ_SIZE = 3 * ftw.BLOCK_SIZE

_NV_DATA_VOLUME = uuid.UUID('fff12b8d-7696-4c8b-a985-2747075b4f50')
_AUTHENTICATED = uuid.UUID('aaf32c78-947b-439a-a180-2e144ec37792')
_PLAIN = uuid.UUID('ddcf3616-3275-4164-98b6-fe85707ffe7d')

_VOLUME_SIGNATURE = b'_FVH'
_SIGNATURE_OFFSET = 40
_VOLUME_REVISION = 2
#: Volumes larger than a flash can be are not read.
_VOLUME_MAX = 64 * 1024 * 1024
_VOLUME_HEADER_MAX = 4096
_STORE_FORMATTED, _STORE_HEALTHY = 0x5A, 0xFE
_VARIABLE_START = 0x55AA

# A state begins as 0xFF and loses a bit at each step of a variable's life.
_UNWRITTEN = 0xFF
_ADDED = 0x3F
_LEAVING = 0x3E

_VOLUME_HEADER = struct.Struct('<16x16sQ4sIHHHxB')
_BLOCK_RUN = struct.Struct('<II')
_STORE_HEADER = struct.Struct('<16sIBB6x')
_AUTHENTICATED_HEADER = struct.Struct('<HBxIQ16sIII16s')
_PLAIN_HEADER = struct.Struct('<HBxIII16s')
_TIME = struct.Struct('<HBBBBBxIhBx')
_ALIGNMENT = 4
_UNSET = 0xFFFFFFFF


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
    :ivar timestamp: of the last authenticated write, None for variables that
        are not written so.
    """

    key: VariableKey
    attributes: int
    content: bytes
    timestamp: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class VariableStore:
    """What a store holds.

    :ivar formatted: False until firmware has run for the first time.
    :ivar variables: those that firmware will find at its next start.
    :ivar write_pending: the last rewrite of the store was cut short; the
        variables are those of the complete copy in the spare area.
    :ivar erased: as above, and the store itself is erased. AAVMF (tried with
        2022.11) formats such a store instead of finishing the write, so what
        settled() returns has to be written to the flash before a start.
    """

    formatted: bool
    variables: Mapping[VariableKey, Variable]
    write_pending: bool = False
    erased: bool = False


@dataclasses.dataclass(frozen=True)
class _Volume:
    """A firmware volume: where its variables lie, and its geometry."""

    store_start: int
    store_size: int
    authenticated: bool
    geometry: ftw.Geometry


def read_size(head: bytes) -> int:
    """Return how many leading bytes of a flash parse() needs.

    :param head: the first 4 KiB of the flash.
    :returns: READ_SIZE unless the flash has a larger volume.
    """
    if len(head) < _VOLUME_HEADER.size:
        return READ_SIZE
    guid, length, signature, *_rest = _VOLUME_HEADER.unpack_from(head)
    if (signature, guid) != (_VOLUME_SIGNATURE, _NV_DATA_VOLUME.bytes_le):
        return READ_SIZE
    return min(max(length, READ_SIZE), _VOLUME_MAX)


def parse(flash: bytes) -> VariableStore:
    """Read a store.

    :param flash: the flash from its start; READ_SIZE bytes for AAVMF.
    :returns: the variables as firmware would find them at the next boot; an
        empty store when no firmware has formatted the flash yet.
    :raises VariableStoreInvalid: it is formatted, but not as edk2 does.
    """
    flash = bytes(flash)
    erased = _is_blank(flash[:_VOLUME_HEADER_MAX])
    whole, pending = _settled(flash, erased)
    if erased and not pending:
        return VariableStore(False, types.MappingProxyType({}))
    volume = _volume(whole)
    start = volume.store_start
    found = _visible(whole[start:start + volume.store_size],
                     volume.authenticated)
    return VariableStore(True, types.MappingProxyType(found),
                         write_pending=pending, erased=erased)


def settled(flash: bytes) -> bytes:
    """Return a flash with its interrupted write finished.

    Like firmware does at its start, and also where the crash came while the
    store was erased, which AAVMF does not recover from. The queue of writes
    is left alone: copying the spare area once more changes nothing.

    :param flash: as for parse(); returned unchanged when nothing is pending.
    :raises VariableStoreInvalid: it is formatted, but not as edk2 does.
    """
    return _settled(flash, _is_blank(flash[:_VOLUME_HEADER_MAX]))[0]


def _settled(flash: bytes, erased: bool) -> tuple[bytes, bool]:
    """Return the flash without pending write, and whether there was one."""
    # An erased volume cannot tell its geometry.
    geometry = ftw.AAVMF if erased else _volume(flash).geometry
    write = ftw.pending_write(flash, geometry)
    if write is None:
        return flash, False
    finished = ftw.finish(flash, write)
    if erased and not finished.startswith(_VOLUME_SIGNATURE,
                                          _SIGNATURE_OFFSET):
        return flash, False
    return finished, True


def _is_blank(block: bytes) -> bool:
    """Tell whether flash was never written (zeros) or is erased (ones).

    Where a header should be that is enough: firmware judges by it alone.
    """
    return not block.strip(b'\0') or not block.strip(b'\xff')


def _invalid(reason: str) -> exception.VariableStoreInvalid:
    return exception.VariableStoreInvalid(reason=reason)


def _volume(flash: bytes) -> _Volume:
    if len(flash) < _VOLUME_HEADER.size:
        raise _invalid('it ends within the volume header')
    guid, length, signature, _attributes, header, _sum, _ext, revision = (
        _VOLUME_HEADER.unpack_from(flash))
    if (signature, guid, revision) != (
            _VOLUME_SIGNATURE, _NV_DATA_VOLUME.bytes_le, _VOLUME_REVISION):
        raise _invalid('it does not begin with a variable volume')
    if not header <= length <= min(len(flash), _VOLUME_MAX):
        raise _invalid('the volume is longer than the flash')
    shortest = _VOLUME_HEADER.size + 2 * _BLOCK_RUN.size
    if header % 2 or not shortest <= header <= min(length,
                                                   _VOLUME_HEADER_MAX):
        raise _invalid('the volume header has an impossible length')
    if sum(struct.unpack_from(f'<{header // 2}H', flash)) & 0xFFFF:
        raise _invalid('the checksum of the volume header is wrong')
    blocks, block_size = _BLOCK_RUN.unpack_from(flash, _VOLUME_HEADER.size)
    if not 0 < block_size <= length or blocks * block_size < length:
        raise _invalid('the block map does not cover the volume')
    size, authenticated = _store_size(flash, header, length)
    return _Volume(header, size, authenticated, ftw.Geometry(
        variables_end=header + size, volume_end=length,
        flash_end=blocks * block_size, block_size=block_size))


def _store_size(flash: bytes, start: int, end: int) -> tuple[int, bool]:
    """Read the store's header: its size, and the form of its variables."""
    if end < start + _STORE_HEADER.size:
        raise _invalid('it ends within the store header')
    guid, size, form, state = _STORE_HEADER.unpack_from(flash, start)
    if guid not in (_AUTHENTICATED.bytes_le, _PLAIN.bytes_le):
        raise _invalid('the store has an unknown format')
    if (form, state) != (_STORE_FORMATTED, _STORE_HEALTHY):
        raise _invalid('the store is marked as unformatted or broken')
    if not _STORE_HEADER.size <= size <= end - start:
        raise _invalid('the store has an impossible size')
    return size, guid == _AUTHENTICATED.bytes_le


def _visible(store: bytes,
             authenticated: bool) -> dict[VariableKey, Variable]:
    """Return the variables that edk2 finds, by what tells them apart.

    That is the first that is added, else the last of those that were about
    to be replaced when the write of the new one was cut short.
    """
    added: dict[VariableKey, Variable] = {}
    leaving: dict[VariableKey, Variable] = {}
    for state, variable in _entries(store, authenticated):
        if state == _ADDED:
            added.setdefault(variable.key, variable)
        else:
            leaving[variable.key] = variable
    return {**leaving, **added}


def _entries(store: bytes,
             authenticated: bool) -> Iterator[tuple[int, Variable]]:
    """Walk the variables as edk2 does; yield those that count, and states."""
    layout = _AUTHENTICATED_HEADER if authenticated else _PLAIN_HEADER
    offset = _aligned(_STORE_HEADER.size)
    while offset + layout.size <= len(store):
        fields = layout.unpack_from(store, offset)
        mark, state, attributes = fields[:3]
        name_size, content_size, vendor = fields[-3:]
        if mark != _VARIABLE_START:
            return
        if state == _UNWRITTEN or _UNSET in (attributes, name_size,
                                             content_size):
            # Its header was not written to the end; edk2 goes on behind it.
            offset = _aligned(offset + layout.size)
            continue
        name_at = offset + layout.size
        content_at = name_at + name_size
        end = content_at + content_size
        if end > len(store):
            raise _invalid('a variable reaches beyond the store')
        if state in (_ADDED, _LEAVING):
            key = VariableKey(uuid.UUID(bytes_le=vendor),
                              _name(store[name_at:content_at]))
            written = _timestamp(fields[4]) if authenticated else None
            yield state, Variable(key, attributes, store[content_at:end],
                                  written)
        offset = _aligned(end)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _name(raw: bytes) -> str:
    if len(raw) < 4 or len(raw) % 2 or raw[-2:] != b'\0\0':
        raise _invalid('the name of a variable does not end')
    # Firmware does not care whether surrogates are paired.
    return raw[:-2].decode('utf-16-le', errors='surrogatepass')


def _timestamp(raw: bytes) -> datetime.datetime | None:
    year, month, day, hour, minute, second, nanosecond, _zone, _daylight = (
        _TIME.unpack(raw))
    try:
        return datetime.datetime(year, month, day, hour, minute, second,
                                 nanosecond // 1000, datetime.timezone.utc)
    except ValueError:
        # All zero, or nonsense of a guest's making.
        return None
