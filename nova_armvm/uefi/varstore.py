# SPDX-License-Identifier: Apache-2.0
"""The variable store as edk2 keeps it in flash.

The layout is that of edk2's VariableFormat.h and of the PI specification's
firmware volume (volume 3, section 3.2.1). A firmware volume begins with its
header and that of the store; the variables follow one after the other. A
variable is never changed in place: a new one is appended and a bit in the
state of the old one cleared, until everything is copied to a fresh store
(nova_armvm.uefi.ftw). The bytes are written by a guest, so every length is
checked before it is used and every loop ends with the bytes.
"""
from collections.abc import Iterator, Mapping
import dataclasses
import datetime
import struct
import types
import uuid

from nova_armvm import exception
from nova_armvm.uefi import ftw

#: Bytes from the start of the flash in which everything lies for AAVMF
#: (edk2's ArmVirtPkg): variables, working area and spare area, each of one
#: block of flash.
READ_SIZE = 3 * ftw.BLOCK_SIZE

NV_DATA_VOLUME = uuid.UUID('fff12b8d-7696-4c8b-a985-2747075b4f50')
AUTHENTICATED = uuid.UUID('aaf32c78-947b-439a-a180-2e144ec37792')
_PLAIN = uuid.UUID('ddcf3616-3275-4164-98b6-fe85707ffe7d')

VOLUME_SIGNATURE = b'_FVH'
_SIGNATURE_OFFSET = 40
VOLUME_REVISION = 2
#: Volumes larger than a flash can be are not read.
_VOLUME_MAX = 64 * 1024 * 1024
_VOLUME_HEADER_MAX = 4096
STORE_FORMATTED, STORE_HEALTHY = 0x5A, 0xFE
VARIABLE_START = 0x55AA

# A state begins as 0xFF and loses a bit at each step of a variable's life.
_UNWRITTEN = 0xFF
ADDED = 0x3F
_LEAVING = 0x3E

VOLUME_HEADER = struct.Struct('<16x16sQ4sIHHHxB')
BLOCK_RUN = struct.Struct('<II')
STORE_HEADER = struct.Struct('<16sIBB6x')
AUTHENTICATED_HEADER = struct.Struct('<HBxIQ16sIII16s')
_PLAIN_HEADER = struct.Struct('<HBxIII16s')
TIME = struct.Struct('<HBBBBBxIhBx')
_ALIGNMENT = 4
#: Where a store's variables begin, in bytes from its start.
FIRST_VARIABLE = 28
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
class Entry:
    """A variable that counts, and where it stands.

    :ivar start: in bytes from the start of the store.
    :ivar end: where the next one would begin.
    """

    start: int
    end: int
    state: int
    variable: Variable


@dataclasses.dataclass(frozen=True)
class FirmwareVolume:
    """A firmware volume: where its variables lie, and its geometry."""

    store_start: int
    store_size: int
    authenticated: bool
    geometry: ftw.Geometry

    @property
    def layout(self) -> struct.Struct:
        """Return the layout of a variable's header."""
        return AUTHENTICATED_HEADER if self.authenticated else _PLAIN_HEADER


def read_size(head: bytes) -> int:
    """Return how many leading bytes of a flash parse() needs.

    :param head: the first 4 KiB of the flash.
    :returns: READ_SIZE unless the flash has a larger volume.
    """
    if len(head) < VOLUME_HEADER.size:
        return READ_SIZE
    guid, length, signature, *_rest = VOLUME_HEADER.unpack_from(head)
    if (signature, guid) != (VOLUME_SIGNATURE, NV_DATA_VOLUME.bytes_le):
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
    found = {key: entry.variable
             for key, entry in visible(whole, volume_of(whole)).items()}
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
    geometry = ftw.AAVMF if erased else volume_of(flash).geometry
    write = ftw.pending_write(flash, geometry)
    if write is None:
        return flash, False
    finished = ftw.finish(flash, write)
    if erased and not finished.startswith(VOLUME_SIGNATURE,
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


def volume_of(flash: bytes) -> FirmwareVolume:
    """Read the header of a flash and that of its store.

    :raises VariableStoreInvalid: they are not as edk2 makes them.
    """
    if len(flash) < VOLUME_HEADER.size:
        raise _invalid('it ends within the volume header')
    guid, length, signature, _attributes, header, _sum, _ext, revision = (
        VOLUME_HEADER.unpack_from(flash))
    if (signature, guid, revision) != (
            VOLUME_SIGNATURE, NV_DATA_VOLUME.bytes_le, VOLUME_REVISION):
        raise _invalid('it does not begin with a variable volume')
    if not header <= length <= min(len(flash), _VOLUME_MAX):
        raise _invalid('the volume is longer than the flash')
    shortest = VOLUME_HEADER.size + 2 * BLOCK_RUN.size
    if header % 2 or not shortest <= header <= min(length,
                                                   _VOLUME_HEADER_MAX):
        raise _invalid('the volume header has an impossible length')
    if sum(struct.unpack_from(f'<{header // 2}H', flash)) & 0xFFFF:
        raise _invalid('the checksum of the volume header is wrong')
    blocks, block_size = BLOCK_RUN.unpack_from(flash, VOLUME_HEADER.size)
    if not 0 < block_size <= length or blocks * block_size < length:
        raise _invalid('the block map does not cover the volume')
    size, authenticated = _store_size(flash, header, length)
    return FirmwareVolume(header, size, authenticated, ftw.Geometry(
        variables_end=header + size, volume_end=length,
        flash_end=blocks * block_size, block_size=block_size))


def _store_size(flash: bytes, start: int, end: int) -> tuple[int, bool]:
    """Read the store's header: its size, and the form of its variables."""
    if end < start + STORE_HEADER.size:
        raise _invalid('it ends within the store header')
    guid, size, form, state = STORE_HEADER.unpack_from(flash, start)
    if guid not in (AUTHENTICATED.bytes_le, _PLAIN.bytes_le):
        raise _invalid('the store has an unknown format')
    if (form, state) != (STORE_FORMATTED, STORE_HEALTHY):
        raise _invalid('the store is marked as unformatted or broken')
    if not STORE_HEADER.size <= size <= end - start:
        raise _invalid('the store has an impossible size')
    return size, guid == AUTHENTICATED.bytes_le


def visible(flash: bytes,
            volume: FirmwareVolume) -> dict[VariableKey, Entry]:
    """Return the variables that edk2 finds, by what tells them apart.

    That is the first that is added, else the last of those that were about
    to be replaced when the write of the new one was cut short.

    :param flash: without pending write.
    :raises VariableStoreInvalid: one reaches beyond the store.
    """
    added: dict[VariableKey, Entry] = {}
    leaving: dict[VariableKey, Entry] = {}
    for entry in entries(flash, volume):
        if entry.state == ADDED:
            added.setdefault(entry.variable.key, entry)
        else:
            leaving[entry.variable.key] = entry
    return {**leaving, **added}


def free_offset(flash: bytes, volume: FirmwareVolume) -> int:
    """Return where the next variable will be written, from the store's start.

    :raises VariableStoreInvalid: a variable reaches beyond the store.
    """
    offset = FIRST_VARIABLE
    for _start, offset, _fields in walk(flash, volume):
        pass
    return offset


def walk(flash: bytes, volume: FirmwareVolume
         ) -> Iterator[tuple[int, int, tuple | None]]:
    """Walk what was ever written, whether it counts or not, as edk2 does.

    :returns: of each where it begins and where the next one would, in bytes
        from the start of the store, and the fields of its header; None for a
        header that was not written to its end.
    :raises VariableStoreInvalid: if one reaches beyond the store.
    """
    store = flash[volume.store_start:][:volume.store_size]
    return _walk(store, volume.layout)


def _walk(store: bytes, layout: struct.Struct
          ) -> Iterator[tuple[int, int, tuple | None]]:
    """Walk what was ever written, as edk2 does.

    :returns: where each begins and ends, and the fields of its header; None
        for one that was not written to its end, behind which edk2 goes on.
    """
    offset = FIRST_VARIABLE
    while offset + layout.size <= len(store):
        fields = layout.unpack_from(store, offset)
        mark, state, attributes = fields[:3]
        name_size, content_size, _vendor = fields[-3:]
        if mark != VARIABLE_START:
            return
        end = offset + layout.size
        if state == _UNWRITTEN or _UNSET in (attributes, name_size,
                                             content_size):
            fields = None
        else:
            end += name_size + content_size
            if end > len(store):
                raise _invalid('a variable reaches beyond the store')
        yield offset, aligned(end), fields
        offset = aligned(end)


def entries(flash: bytes, volume: FirmwareVolume) -> Iterator[Entry]:
    """Yield the variables that count, in the order of the store.

    :raises VariableStoreInvalid: one reaches beyond the store.
    """
    store = flash[volume.store_start:][:volume.store_size]
    layout = volume.layout
    for offset, end, fields in _walk(store, layout):
        if fields is None or fields[1] not in (ADDED, _LEAVING):
            continue
        name_size, content_size, vendor = fields[-3:]
        name_at = offset + layout.size
        content_at = name_at + name_size
        key = VariableKey(uuid.UUID(bytes_le=vendor),
                          _name(store[name_at:content_at]))
        written = timestamp(fields[4]) if volume.authenticated else None
        content = bytes(store[content_at:content_at + content_size])
        yield Entry(offset, end, fields[1],
                    Variable(key, fields[2], content, written))


def aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _name(raw: bytes) -> str:
    if len(raw) < 4 or len(raw) % 2 or raw[-2:] != b'\0\0':
        raise _invalid('the name of a variable does not end')
    # Firmware does not care whether surrogates are paired.
    return raw[:-2].decode('utf-16-le', errors='surrogatepass')


def timestamp(raw: bytes) -> datetime.datetime | None:
    """Read an EFI_TIME; None for one that no clock shows."""
    year, month, day, hour, minute, second, nanosecond, _zone, _daylight = (
        TIME.unpack(raw))
    try:
        return datetime.datetime(year, month, day, hour, minute, second,
                                 nanosecond // 1000, datetime.timezone.utc)
    except ValueError:
        # All zero, or nonsense of a guest's making.
        return None
