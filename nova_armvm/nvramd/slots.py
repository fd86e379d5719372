# SPDX-License-Identifier: Apache-2.0
"""The log of whole stores that an NVRAM volume holds.

The first 4 MiB of a volume, in blocks of 4 KiB::

    0        header, two copies: whose log it is
    8 KiB    owner records, eight of them: who may write
    64 KiB   four lanes, each a ring of slots: the versions

Everything is sealed with its own checksum, so what was torn by a crash is
recognised and counts as not there. A slot never lies over the newest whole
one, nor an owner record over the newest. What another log has left on the
volume has another log id and is ignored.

Fencing: whoever starts a guest claims the log and so raises the epoch. A
version is appended only under the newest epoch, which is read before and
after the slot is written: a host that lost the log in between is told so, and
what it wrote is void, since the claim says up to which version the log went
before it. The epochs take the lanes in turn: a write of a host that was given
up, however late it arrives, cannot hit what its successors have written
since. Of two hosts that claim at a time each writes a record of its own and
then reads the others': at least one sees the other and goes one epoch
further.
"""
import dataclasses
import typing as ty
import uuid

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import log_format
from nova_armvm.nvramd.log_format import BLOCK
from nova_armvm.nvramd.log_format import Owner
from nova_armvm.nvramd.log_format import Version

__all__ = ('BLOCK', 'FORMAT', 'LOG_BYTES', 'Log', 'OWNERS', 'Owner',
           'Shifted', 'Version', 'Volume', 'header_of')

FORMAT = 1
LOG_BYTES = 4 * 1024 * 1024
_HEADERS = (0, BLOCK)
OWNERS = range(2 * BLOCK, 10 * BLOCK, BLOCK)
_FIRST_LANE = 64 * 1024
LANES = 4
LANE_BYTES = (LOG_BYTES - _FIRST_LANE) // LANES

#: The largest slot of a store of AAVMF's.
_SLOT_USUAL = 65 * BLOCK
#: Claims that an owner record remembers, and attempts to make one.
_CLAIMS_KEPT = 64
_CLAIM_ATTEMPTS = 8


class Volume(ty.Protocol):
    """The bytes of a volume.

    What write_at() has written is durable when it returns, and read_at()
    shows what other hosts have written.
    """

    def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``.

        :raises OSError: if it fails.
        """

    def write_at(self, offset: int, content: bytes) -> None:
        """Write whole blocks at the start of a block.

        :raises OSError: if it fails.
        """


class Log:
    """The versions of one store, on an open volume.

    :ivar id: of this log, hexadecimal.
    :ivar instance: uuid of the instance that it belongs to.
    """

    def __init__(self, volume: Volume, log_id: str, instance: str) -> None:
        """Stand for a log; see open() and format()."""
        self._volume = volume
        self.id = log_id
        self.instance = instance
        self._newest: Version | None = None
        self._token = ''
        # Where the next slot goes in the lane, and the largest sequence that
        # may have been written: what was not answered may still arrive.
        self._cursor = self._attempted = 0
        self._stale = False

    @classmethod
    def open(cls, volume: Volume, instance: str) -> 'Log':
        """Open the log of an instance.

        :raises NotALog: if the volume holds none.
        :raises ForeignLog: if it is that of another instance.
        :raises Incompatible: if it has a format of the future.
        :raises OSError: if the volume cannot be read.
        """
        header = header_of(volume)
        if header is None:
            raise errors.NotALog('the volume holds no log of UEFI variables')
        if header['format'] != FORMAT:
            raise errors.Incompatible(
                f'the log has format {header["format"]}, this service knows '
                f'{FORMAT}: upgrade this host')
        if header['instance'] != instance:
            raise errors.ForeignLog(
                f'the log on the volume is that of instance '
                f'{header["instance"]}')
        log = cls(volume, header['log'], instance)
        log._step_aside()
        return log

    @classmethod
    def format(cls, volume: Volume, instance: str, flash_size: int,
               canonical: bytes, reason: str, now: float,
               start: int = 0) -> 'Log':
        """Make a log with its first version, whatever the volume holds.

        Until the header comes, last of all, the volume holds no log.

        :param start: where the log is made, in bytes from the volume's
            start, for a log that is moved to its place later.
        :raises OSError: if the volume cannot be written.
        """
        if start:
            volume = Shifted(volume, start)
        blank = bytes(BLOCK)
        for offset in (*_HEADERS, *OWNERS):
            volume.write_at(offset, blank)
        log = cls(volume, uuid.uuid4().hex, instance)
        log._write_owner(Owner(1, '', int(now), None))
        log._newest = log._put(1, 1, reason, flash_size, canonical, now)
        header = log_format.header_block(log.id, instance, FORMAT)
        for offset in _HEADERS:
            volume.write_at(offset, header)
        return log

    # Reading

    @property
    def newest(self) -> Version | None:
        """Return the newest version, as of the last look at the volume."""
        return self._newest

    def refresh(self) -> None:
        """Look at the volume again, which another host may have written.

        :raises OSError: if the volume cannot be read.
        """
        self._take_newest(self.versions())

    def _take_newest(self, versions: list[Version]) -> None:
        self._newest = versions[0] if versions else None
        self._stale = False

    def versions(self) -> list[Version]:
        """Return the versions that the log holds, newest first.

        :raises OSError: if the volume cannot be read.
        """
        return _counting(self._slots(), self.owner())

    def read(self, version: Version) -> bytes:
        """Return the canonical store of a version.

        :raises VersionUnknown: if its slot has been used again.
        :raises OSError: if the volume cannot be read.
        """
        raw = self._volume.read_at(version.offset, version.size)
        slot = log_format.slot_in(raw, 0, self.id)
        if slot is None or slot[0] != version:
            raise errors.VersionUnknown(
                f'version {version.sequence} is not on the volume any more')
        return log_format.unpacked(*slot)

    def owner(self) -> Owner:
        """Return who may append, as the volume says now.

        :raises OSError: if the volume cannot be read.
        """
        return max(self._owners().values(), key=lambda owner: owner.rank,
                   default=Owner())

    def _owners(self) -> dict[int, Owner]:
        """Return all owner records by their places."""
        raw = self._volume.read_at(OWNERS.start, len(OWNERS) * BLOCK)
        found = {}
        for place in OWNERS:
            start = place - OWNERS.start
            owner = log_format.owner_in(raw[start:start + BLOCK], self.id)
            if owner is not None:
                found[place] = owner
        return found

    def _slots(self) -> list[Version]:
        """Return every whole slot of this log, in any order."""
        found: list[Version] = []
        for lane in range(LANES):
            start = _FIRST_LANE + lane * LANE_BYTES
            raw = self._volume.read_at(start, LANE_BYTES)
            found += log_format.slots_in(raw, start, self.id)
        return found

    # Writing

    def claim(self, name: str, now: float) -> int:
        """Make a host the owner; return the epoch.

        Every commit of another host is refused from now on. First the epoch,
        then how far the log goes: a host that appends in between finds the
        epoch when it looks again, and says so to its guest.

        :param name: of the host.
        :raises VolumeFailed: if others claim it all the time.
        :raises OSError: if the volume cannot be read or written.
        """
        mine, before = self._raise_epoch(name, int(now))
        slots = self._slots()
        counting = _counting(slots, before)
        base = counting[0].sequence if counting else 0
        claims = (*before.claims, (mine.epoch, base))[-_CLAIMS_KEPT:]
        self._write_owner(dataclasses.replace(mine, base=base, claims=claims))
        self._take_newest(counting)
        self._token, self._attempted = mine.token, base
        self._cursor = _end_of_lane(slots, mine.epoch)
        return mine.epoch

    def _raise_epoch(self, name: str, now: int) -> tuple[Owner, Owner]:
        """Return the new owner record and the newest before it."""
        for _attempt in range(_CLAIM_ATTEMPTS):
            before = self.owner()
            epoch = 1 + max([before.epoch, *(version.epoch
                                             for version in self._slots())])
            mine = Owner(epoch, name, now, None, uuid.uuid4().hex,
                         before.claims)
            self._write_owner(mine)
            present = list(self._owners().values())
            others = [owner for owner in present if owner != mine]
            if mine in present and all(owner.epoch < epoch
                                       for owner in others):
                return mine, max(others, key=lambda owner: owner.rank,
                                 default=Owner())
        raise errors.VolumeFailed('the store cannot be claimed, other hosts '
                                  'do it at the same time: try again')

    def append(self, epoch: int, reason: str, flash_size: int,
               canonical: bytes, now: float) -> Version:
        """Commit a version; it is durable when this returns.

        :param epoch: as claim() returned it.
        :param canonical: b'' for an unformatted store.
        :raises Fenced: if the log has been claimed since. What was written
            then does not count.
        :raises VolumeFailed: if the store is too large for the log.
        :raises OSError: if the volume cannot be read or written. The version
            may be there or not; to be appended again.
        """
        self._check_owner(epoch)
        if self._stale:
            self.refresh()
        newest = self._newest.sequence if self._newest else 0
        version = self._put(epoch, 1 + max(newest, self._attempted), reason,
                            flash_size, canonical, now)
        self._check_owner(epoch)
        self._newest, self._stale = version, False
        return version

    def _check_owner(self, epoch: int) -> None:
        owner = self.owner()
        if owner.epoch != epoch or self._token not in ('', owner.token):
            raise errors.Fenced(
                f'the store was claimed by host "{owner.name}" (epoch '
                f'{owner.epoch}, not {epoch})')

    def _step_aside(self) -> None:
        """Leave room for what a service before may have had under way.

        Its last write may still arrive: not over what is appended now, and
        not under the same sequence.
        """
        owner, slots = self.owner(), self._slots()
        self._take_newest(_counting(slots, owner))
        self._cursor = _end_of_lane(slots, owner.epoch) + _SLOT_USUAL
        self._attempted = self._newest.sequence + 1 if self._newest else 0

    def _put(self, epoch: int, sequence: int, reason: str, flash_size: int,
             canonical: bytes, now: float) -> Version:
        """Write a slot into the lane of an epoch, never over the newest."""
        version, slot = log_format.slot_of(
            self.id, canonical, sequence=sequence, epoch=epoch, time=int(now),
            reason=reason, flash_size=flash_size)
        version = dataclasses.replace(
            version, offset=self._place(epoch, version.size))
        self._attempted, self._cursor = sequence, version.end
        self._stale = True
        self._volume.write_at(version.offset, slot)
        return version

    def _place(self, epoch: int, size: int) -> int:
        """Return where the next slot goes."""
        start = _FIRST_LANE + epoch % LANES * LANE_BYTES
        end = start + LANE_BYTES
        offset = self._cursor if start <= self._cursor < end else start
        newest = self._newest
        for _try in range(3):
            if offset + size > end:
                offset = start
            if offset + size <= end and (
                    newest is None or offset + size <= newest.offset or
                    newest.end <= offset):
                return offset
            if newest is not None:
                offset = newest.end
        raise errors.VolumeFailed(
            f'a store of {size} bytes does not fit beside the newest one')

    def _write_owner(self, owner: Owner) -> None:
        """Write an owner record, never over the newest.

        The place is taken by chance, so that two hosts that write at a time
        hardly ever write over each other's.
        """
        present = self._owners()
        newest = max(present, key=lambda place: present[place].rank,
                     default=None)
        places = [place for place in OWNERS if place != newest]
        place = places[int(owner.token or '0', 16) % len(places)]
        self._volume.write_at(place, log_format.owner_block(self.id, owner))


class Shifted:
    """A volume seen from an offset."""

    def __init__(self, volume: Volume, start: int) -> None:
        self._volume = volume
        self._start = start

    def read_at(self, offset: int, length: int) -> bytes:
        """Read as Volume does."""
        return self._volume.read_at(self._start + offset, length)

    def write_at(self, offset: int, content: bytes) -> None:
        """Write as Volume does."""
        self._volume.write_at(self._start + offset, content)


def header_of(volume: Volume) -> dict[str, ty.Any] | None:
    """Return what the header of a log says, None where there is none.

    :returns: ``format``, ``instance`` and ``log``.
    :raises OSError: if the volume cannot be read.
    """
    raw = volume.read_at(0, len(_HEADERS) * BLOCK)
    for offset in _HEADERS:
        header = log_format.header_in(raw[offset:offset + BLOCK])
        if header is not None:
            return header
    return None


def _counting(slots: list[Version], owner: Owner) -> list[Version]:
    """Return the versions that count, newest first.

    Left out is what hosts have written that had lost the log.
    """
    found: list[Version] = []
    for version in sorted(slots, key=lambda one: (one.epoch, one.sequence),
                          reverse=True):
        if not owner.voids(version) and (
                not found or version.sequence < found[-1].sequence):
            found.append(version)
    return found


def _end_of_lane(slots: list[Version], epoch: int) -> int:
    """Return where the ring of an epoch's lane goes on."""
    start = _FIRST_LANE + epoch % LANES * LANE_BYTES
    inside = [version for version in slots
              if start <= version.offset < start + LANE_BYTES]
    if not inside:
        return start
    return max(inside, key=lambda one: (one.epoch, one.sequence)).end
