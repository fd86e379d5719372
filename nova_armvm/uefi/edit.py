# SPDX-License-Identifier: Apache-2.0
"""Changes to a variable store that no firmware is using.

As edk2 does it: a new variable is appended and the old one marked as deleted,
so everything else keeps its bytes; when there is no room, what counts is
copied to the beginning. Pure functions on the bytes of the flash.
"""
from collections.abc import Iterable, Mapping
import datetime
import struct

from nova_armvm import exception
from nova_armvm.uefi import ftw
from nova_armvm.uefi import varstore

#: Bit that a variable's state loses when it is deleted.
_DELETED_MASK = 0xFD
_STATE_AT = 2
_ERASED = b'\xff'
#: Attributes of the volume that AAVMF makes: readable and writable, sticky,
#: memory mapped, erased to ones.
_VOLUME_ATTRIBUTES = 0xE36
_FLASH_BLOCKS = 256

#: Names and contents that edk2 takes (PcdMaxVariableSize is 8 KiB, and
#: 64 KiB for those of Secure Boot).
NAME_MAX = 512
CONTENT_MAX = 64 * 1024

Changes = Mapping[varstore.VariableKey, varstore.Variable | None]


def edited(flash: bytes, changes: Changes) -> bytes:
    """Return a flash with variables set and removed.

    :param flash: as for varstore.parse(); one that was never used is
        formatted as AAVMF does it.
    :param changes: the new variable of each key, None to remove it.
    :returns: as many bytes as were given.
    :raises VariableStoreInvalid: it is formatted, but not as edk2 does.
    :raises VariableStoreFull: there is not enough room.
    :raises VariableInvalid: firmware would not take a variable.
    """
    for variable in filter(None, changes.values()):
        _check(variable)
    if not varstore.parse(flash).formatted:
        flash = formatted(len(flash))
    whole = bytearray(varstore.settled(flash))
    volume = varstore.volume_of(whole)
    if varstore.parse(whole).write_pending:
        # The firmware would copy the old variables over the new ones.
        working = ftw.working_area(volume.geometry)
        whole[working.start:working.stop] = _ERASED * len(working)
    store = _Store(whole, volume)
    # What is removed makes room for what is set.
    for key in [key for key, variable in changes.items() if variable is None]:
        store.remove(key)
    for variable in filter(None, changes.values()):
        store.set(variable)
    return bytes(whole)


def formatted(length: int) -> bytes:
    """Return a flash with an empty store, as AAVMF begins it.

    Its working area is erased; edk2 makes one at its next start.

    :param length: bytes to be returned, at least varstore.READ_SIZE.
    """
    size = ftw.BLOCK_SIZE - varstore.VOLUME_HEADER.size - 16
    store = varstore.STORE_HEADER.pack(
        varstore.AUTHENTICATED.bytes_le, size, varstore.STORE_FORMATTED,
        varstore.STORE_HEALTHY)
    header = _volume_header(0)
    words = struct.unpack(f'<{len(header) // 2}H', header)
    header = _volume_header(-sum(words) & 0xFFFF)
    areas = (header + store).ljust(varstore.READ_SIZE, _ERASED)
    return areas.ljust(length, b'\0')


def _volume_header(checksum: int) -> bytes:
    runs = varstore.BLOCK_RUN.pack(_FLASH_BLOCKS, ftw.BLOCK_SIZE)
    return varstore.VOLUME_HEADER.pack(
        varstore.NV_DATA_VOLUME.bytes_le, varstore.READ_SIZE,
        varstore.VOLUME_SIGNATURE, _VOLUME_ATTRIBUTES,
        varstore.VOLUME_HEADER.size + 2 * varstore.BLOCK_RUN.size, checksum,
        0, varstore.VOLUME_REVISION) + runs + bytes(varstore.BLOCK_RUN.size)


def store_of(variables: Iterable[varstore.Variable], length: int) -> bytes:
    """Return a flash that holds these variables and nothing else.

    :param length: bytes to be returned, at least varstore.READ_SIZE.
    :raises VariableStoreFull: there is not enough room.
    :raises VariableInvalid: firmware would not take one, or there are two
        of a name.
    """
    changes: dict[varstore.VariableKey, varstore.Variable | None] = {}
    for variable in variables:
        if variable.key in changes:
            raise exception.VariableInvalid(name=variable.key.name,
                                            reason='it is there twice')
        changes[variable.key] = variable
    return edited(formatted(length), changes)


def _check(variable: varstore.Variable) -> None:
    """Refuse what edk2 would not find again."""
    reason = None
    if not 0 < len(variable.key.name) <= NAME_MAX:
        reason = f'its name must have 1 to {NAME_MAX} characters'
    elif '\0' in variable.key.name:
        reason = 'its name contains a null character'
    elif not 0 < len(variable.content) <= CONTENT_MAX:
        reason = f'its content must have 1 to {CONTENT_MAX} bytes'
    elif not variable.attributes & 1:
        reason = 'its attributes lack "non-volatile" (bit 0)'
    elif not 0 <= variable.attributes <= 0x7F:
        reason = 'its attributes are unknown'
    if reason:
        raise exception.VariableInvalid(name=variable.key.name, reason=reason)


def _record(volume: varstore.FirmwareVolume,
            variable: varstore.Variable) -> bytes:
    """Return a variable as it stands in the store."""
    name = variable.key.name.encode('utf-16-le', 'surrogatepass') + b'\0\0'
    common = (len(name), len(variable.content), variable.key.guid.bytes_le)
    start = (varstore.VARIABLE_START, varstore.ADDED, variable.attributes)
    if volume.authenticated:
        header = volume.layout.pack(*start, 0, efi_time(variable.timestamp), 0,
                                    *common)
    else:
        header = volume.layout.pack(*start, *common)
    raw = header + name + variable.content
    return raw.ljust(varstore.aligned(len(raw)), _ERASED)


def efi_time(written: datetime.datetime | None) -> bytes:
    """Return an EFI_TIME in UTC; zeros for none."""
    if written is None:
        return bytes(varstore.TIME.size)
    utc = written.astimezone(datetime.timezone.utc)
    return varstore.TIME.pack(utc.year, utc.month, utc.day, utc.hour,
                              utc.minute, utc.second, utc.microsecond * 1000,
                              0, 0)


class _Store:
    """The variables of a flash, to be changed one by one.

    Knows where each is: a guest can leave thousands, and looking for each in
    all of them would take minutes.
    """

    def __init__(self, flash: bytearray,
                 volume: varstore.FirmwareVolume) -> None:
        self._flash, self._volume = flash, volume
        self._read()

    def _read(self) -> None:
        self._visible = varstore.visible(self._flash, self._volume)
        self._traces: dict[varstore.VariableKey, list[varstore.Entry]] = {}
        for entry in varstore.entries(self._flash, self._volume):
            self._traces.setdefault(entry.variable.key, []).append(entry)
        self._free = varstore.free_offset(self._flash, self._volume)

    def remove(self, key: varstore.VariableKey) -> None:
        """Delete every trace of a variable.

        What was half replaced is found again when its successor is gone.
        """
        self._visible.pop(key, None)
        for entry in self._traces.pop(key, ()):
            state = self._volume.store_start + entry.start + _STATE_AT
            self._flash[state] &= _DELETED_MASK

    def set(self, variable: varstore.Variable) -> None:
        """Append a variable, then delete what it replaces.

        :raises VariableStoreFull: there is not enough room.
        """
        key = variable.key
        present = self._visible.get(key)
        if present is not None and present.variable == variable:
            return
        record = _record(self._volume, variable)
        if not self._fits(record):
            # The one that is to be replaced need not be kept.
            self._compact(key)
            if not self._fits(record):
                raise exception.VariableStoreFull(
                    name=key.name, size=len(record),
                    free=max(0, self._volume.store_size - self._free))
        start = self._free
        place = self._volume.store_start + start
        self._flash[place:place + len(record)] = record
        self._free += len(record)
        self.remove(key)
        added = varstore.Entry(start, self._free, varstore.ADDED, variable)
        self._visible[key], self._traces[key] = added, [added]

    def _fits(self, record: bytes) -> bool:
        place = self._volume.store_start + self._free
        room = self._flash[place:place + len(record)]
        return (self._free + len(record) <= self._volume.store_size and
                not room.strip(_ERASED))

    def _compact(self, leave_out: varstore.VariableKey) -> None:
        """Copy what counts to the beginning of the store, in its order."""
        kept = sorted(
            (entry for key, entry in self._visible.items()
             if key != leave_out), key=lambda entry: entry.start)
        start, records = self._volume.store_start, []
        for entry in kept:
            record = bytearray(
                self._flash[start + entry.start:start + entry.end])
            record[_STATE_AT] = varstore.ADDED
            records.append(bytes(record))
        first = start + varstore.FIRST_VARIABLE
        self._flash[first:start + self._volume.store_size] = b''.join(
            records).ljust(self._volume.store_size - varstore.FIRST_VARIABLE,
                           _ERASED)
        self._read()


def replacement(wanted: Iterable[varstore.Variable],
                present: Iterable[varstore.Variable]) -> Changes:
    """Return the changes that make a store hold exactly what is wanted.

    :param present: what it holds.
    """
    changes: dict[varstore.VariableKey, varstore.Variable | None] = {
        variable.key: None for variable in present}
    changes.update((variable.key, variable) for variable in wanted)
    return changes
