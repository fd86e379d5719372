# SPDX-License-Identifier: Apache-2.0
"""What a look at the leading bytes of a flash tells; nothing here changes it.

``Region`` names the bytes that hold the variable volume: variables, working
area, spare area. ``Canonical`` names what is committed of it: the block with
the variables, or nothing for a store that no firmware has formatted yet.
"""
from collections.abc import Iterable
import dataclasses
import typing as ty
import uuid

from nova_armvm import exception
from nova_armvm.uefi import edit
from nova_armvm.uefi import ftw
from nova_armvm.uefi import varstore

#: The largest variable volume that is served, in bytes.
REGION_MAX = 2 * 1024 * 1024

_HEAD = 4096
_MARK = varstore.VARIABLE_START.to_bytes(2, 'little')
_STATE_AT = 2
_NOT_DELETED = 0x02
#: States of a variable whose header, or whose content is being written.
_UNWRITTEN, _HEADER_VALID = 0xFF, 0x7F

#: The one variable whose content edk2 changes in place (RecordVarErrorFlag):
#: one byte, which loses bits when a variable was refused because the store is
#: full. Taken for damage, it would keep everything behind it from being
#: committed.
_ERROR_FLAG = varstore.VariableKey(
    uuid.UUID('04b37fe8-f6ae-480b-bdd5-37d98c5e89aa'), 'VarErrorFlag')

Buffer: ty.TypeAlias = bytes | bytearray | memoryview
Variables: ty.TypeAlias = dict[varstore.VariableKey, varstore.Entry]


def region_size(canonical: bytes) -> int:
    """Return how many leading bytes of the flash hold the variable volume.

    :param canonical: a store as Flash.canonical() returns it, or b''.
    :raises VariableStoreInvalid: if the volume is larger than REGION_MAX.
    """
    size = varstore.read_size(canonical[:_HEAD])
    if size > REGION_MAX:
        raise exception.VariableStoreInvalid(
            reason=f'its volume has {size} bytes, more than {REGION_MAX}')
    return size


def region_of(canonical: bytes) -> bytes:
    """Return the leading bytes of a flash to start from a canonical store.

    The working and the spare area are erased: the firmware makes them anew.
    No variable stands there twice, see _retire().

    :param canonical: as for region_size(); b'' for a flash that no firmware
        has formatted yet, which then is all zeros.
    """
    region = bytearray(unchanged_region_of(canonical))
    _retire(region)
    return bytes(region)


def unchanged_region_of(canonical: bytes) -> bytes:
    """Return a canonical store at its place, every byte as committed.

    :param canonical: as for region_of().
    """
    size = region_size(canonical)
    if not canonical:
        return bytes(size)
    return canonical.ljust(size, b'\xff')


def _retire(region: bytearray) -> None:
    """Delete what would be found again if its successor were deleted.

    edk2 replaces a variable in steps: the old one is marked, the new one
    counts, the old one is deleted. What is committed at the second step has
    both, and edk2 does not tidy up when it starts. Of several old ones it
    sees the last only (FindVariableEx), so after two such starts a deleted
    variable was back, with its first content (2022.11).
    """
    try:
        volume = varstore.volume_of(region)
        flash = bytes(region)
        kept = varstore.visible(flash, volume)
        for entry in varstore.entries(flash, volume):
            if entry.start != kept[entry.variable.key].start:
                region[volume.store_start + entry.start + _STATE_AT] &= (
                    ~_NOT_DELETED)
    except exception.VariableStoreInvalid:
        # The firmware will say what it makes of it.
        return


def canonical_of(flash: bytes) -> bytes:
    """Return the canonical store in a flash: its variable block, settled.

    :param flash: the flash from its start, as for varstore.parse().
    :returns: b'' for a flash without variables that the firmware would
        format; a block that cannot be understood as it is.
    """
    flash = bytes(flash)
    try:
        store = varstore.parse(flash)
    except exception.VariableStoreInvalid:
        return flash[:ftw.BLOCK_SIZE]
    if not store.formatted:
        return b''
    flash = varstore.settled(flash)
    volume = varstore.volume_of(flash)
    if _variables(varstore.entries(flash, volume)) is None:
        # A variable counts twice: firmware would find the first, or hang.
        flash = edit.store_of(store.variables.values(), len(flash))
    return flash[:block_end(volume.geometry)]


def variables_of(canonical: bytes) -> varstore.VariableStore:
    """Return the variables of a canonical store.

    :raises VariableStoreInvalid: if it cannot be understood.
    """
    return varstore.parse(region_of(canonical))


def block_end(geometry: ftw.Geometry) -> int:
    """Return where the block with the variables ends."""
    return ftw.working_area(geometry).start


def geometry_of(region: Buffer) -> ftw.Geometry | None:
    """Return where things lie, None while the volume's header is not whole."""
    try:
        return varstore.volume_of(region).geometry
    except exception.VariableStoreInvalid:
        return None


@dataclasses.dataclass(frozen=True)
class Look:
    """What firmware would find in the block with the variables.

    :ivar store_start: where the store begins in the flash.
    :ivar header_size: of a variable.
    :ivar tail: where the next variable will be written in the flash, or the
        last one begins while it is being written.
    :ivar content: where the content of that one stands, once its header says
        so.
    """

    variables: Variables
    store_start: int
    header_size: int
    tail: int
    content: range

    def is_quiet(self, region: Buffer, first: int, last: int) -> bool:
        """Return whether a change makes no variable count or not count.

        :param region: with the change.
        :param first: where the change begins.
        :param last: where it ends.
        """
        if self.content:
            return first in self.content and last - 1 in self.content
        if first < self.tail:
            return False
        behind = self.tail + self.header_size
        return region[self.tail:self.tail + 2] != _MARK or (
            region[self.tail + _STATE_AT] == _UNWRITTEN and
            region[behind:behind + 2] != _MARK)

    def explains(self, region: Buffer, later: 'Look') -> bool:
        """Return whether firmware can have come from here to a later look.

        Without an erase, that is: a variable stands where it was, or another
        counts in its place, or its state says that it was deleted.

        :param region: as it is at the later look.
        """
        return all(self._is_explained(region, old, later.variables.get(key))
                   for key, old in self.variables.items())

    def _is_explained(self, region: Buffer, old: varstore.Entry,
                      new: varstore.Entry | None) -> bool:
        if new is not None:
            return (new.start != old.start or new.variable == old.variable or
                    old.variable.key == _ERROR_FLAG)
        start = self.store_start + old.start
        return (region[start:start + 2] == _MARK and
                not region[start + _STATE_AT] & _NOT_DELETED)


def look_at(region: Buffer) -> Look | None:
    """Look at the variables in the block itself.

    :returns: None for a store that no firmware would read. AAVMF 2022.11
        hangs at its first line where a variable counts twice, which is what
        a flash with stale pages looks like.
    """
    try:
        volume = varstore.volume_of(region)
        # A copy: what is found must not change with the flash.
        flash = bytes(region[:volume.store_start + volume.store_size])
        variables = _variables(varstore.entries(flash, volume))
        last = None
        for last in varstore.walk(flash, volume):
            pass
    except exception.VariableStoreInvalid:
        return None
    if variables is None:
        return None
    start, size = volume.store_start, volume.layout.size
    tail, content = start + varstore.FIRST_VARIABLE, range(0)
    if last is not None:
        tail = start + last[1]
        if last[2] is None:
            tail = start + last[0]
        elif last[2][1] == _HEADER_VALID:
            tail = start + last[0]
            content = range(tail + size, start + last[1])
    return Look(variables, start, size, tail, content)


def _variables(entries: Iterable[varstore.Entry]) -> Variables | None:
    """Return what counts, as edk2 does; None if something counts twice."""
    added: Variables = {}
    leaving: Variables = {}
    for entry in entries:
        key = entry.variable.key
        if entry.state != varstore.ADDED:
            leaving[key] = entry
        elif key in added:
            return None
        else:
            added[key] = entry
    return {**leaving, **added}


def same(one: Variables, other: Variables) -> bool:
    """Return whether two stores hold the same variables."""
    return one.keys() == other.keys() and all(
        entry.variable == other[key].variable for key, entry in one.items())


def moved(one: Variables, other: Variables) -> bool:
    """Return whether variables that both hold stand elsewhere."""
    return any(key in other and entry.start != other[key].start
               for key, entry in one.items())


def is_one_step(old: Variables, new: Variables) -> bool:
    """Return whether a rewrite of the store can have made one of another.

    edk2 compacts its store with one variable set, or with none: nothing may
    be missing, and one variable may be another or new.
    """
    changed = sum(key not in old or old[key].variable != entry.variable
                  for key, entry in new.items())
    return old.keys() <= new.keys() and changed <= 1


def is_copied(region: Buffer, geometry: ftw.Geometry) -> bool | None:
    """Return whether a fault-tolerant write has reached its target.

    :returns: None where there is none for the variables.
    """
    write = ftw.pending_write(region, geometry)
    if write is None:
        return None
    return bytes(region[write.target:write.target + write.length]) == bytes(
        region[write.spare:write.spare + write.length])


def only_cleared(old: Buffer, new: Buffer) -> bool:
    """Return whether no bit is set in ``new`` that is not set in ``old``."""
    old, new = bytes(old), bytes(new)
    return old == new or not (int.from_bytes(new, 'little') &
                              ~int.from_bytes(old, 'little'))


def difference(old: Buffer, new: Buffer) -> tuple[int, int] | None:
    """Return where two buffers of one length begin and end to differ.

    :returns: None if they do not.
    """
    old, new = bytes(old), bytes(new)
    if old == new:
        return None
    size = len(old)
    bits = int.from_bytes(old, 'big') ^ int.from_bytes(new, 'big')
    behind = (bits & -bits).bit_length() - 1
    return size - (bits.bit_length() + 7) // 8, size - behind // 8
