# SPDX-License-Identifier: Apache-2.0
"""Whether a flash holds a whole variable store: what may be committed.

Firmware changes its store in place. edk2 has three ways to do that:

* it clears bits: a new variable is appended, its state byte says when it
  counts, another state byte retires the old one. Each state in between is one
  that firmware resolves at its next start;
* it erases the block with all variables and programs it again, upwards, with
  one piece changed (VirtNorFlashDxe: edk2 2022.11 for every piece of more than
  128 bytes, 2025.02 and later of more than about 512);
* it rewrites the store compacted, by way of the spare area (fault-tolerant
  write, see nova_armvm.uefi.ftw).

In the last two the store is not whole between the erase and the last byte,
although much of that time it parses as a valid store in which variables are
missing or torn. So from an erase on the flash counts as ``open``, until it
shows the very variables again that it showed when it was whole (second way),
or the block equals the copy in the spare area, and that is but one step away
from what was there (third way). Only a whole flash is committed, when its
variables are others than those committed last, or stand elsewhere.

Pure: no input or output, and the caller tells the time.
"""
import dataclasses

from nova_armvm.uefi import ftw
from nova_armvm.uefi import region as regions
from nova_armvm.uefi.region import canonical_of
from nova_armvm.uefi.region import REGION_MAX
from nova_armvm.uefi.region import region_of
from nova_armvm.uefi.region import region_size
from nova_armvm.uefi.region import variables_of

__all__ = ('FORMATTED_SECONDS', 'FORMATTED_WRITES', 'Flash', 'REGION_MAX',
           'canonical_of', 'region_of', 'region_size', 'variables_of')

#: A store that the firmware has formatted anew is believed after this many
#: seconds and this many writes behind the end of its first pass.
FORMATTED_SECONDS = 20.0
FORMATTED_WRITES = 32
#: What a whole pass over the block counts for, in writes.
_PASS_WORTH = 8

#: A write of so many bytes is no single programming of flash but the arrival
#: of a flash in one piece (live migration, resume), or an erase.
_LARGE = 16 * 1024


@dataclasses.dataclass
class _Rewrite:
    """What was written to the block since it was found open.

    A block is programmed upwards. Who goes back has finished a pass.

    :ivar begun: when that was.
    :ivar content_end: where there was something before.
    :ivar highest: where the pass has come to.
    :ivar behind: writes since the end of the pass, 0 within it.
    :ivar passes: passes that were finished before this one.
    """

    begun: float
    content_end: int
    highest: int = 0
    behind: int = 0
    passes: int = 0

    def ends_pass(self, first: int, erases: bool) -> bool:
        """Return whether a change is the first behind the end of a pass."""
        return not self.behind and 0 < self.highest and (
            erases or first < self.highest)

    def follow(self, first: int, last: int, erases: bool) -> None:
        """Take note of a change."""
        if erases:
            self.passes += self.behind > 0
            self.highest = self.behind = 0
            return
        if self.behind or first < self.highest:
            self.behind += 1
        self.highest = max(self.highest, last)

    def may_be_back(self, last: int) -> bool:
        """Return whether all may be there again after a change."""
        return self.behind > 0 or last >= self.content_end

    def is_given_up(self, now: float) -> bool:
        """Return whether the firmware has given up what was there.

        Never within a pass over the block, however long that takes.
        """
        written = self.behind + self.passes * _PASS_WORTH
        return (self.behind > 0 and written >= FORMATTED_WRITES and
                now - self.begun >= FORMATTED_SECONDS)


class Flash:
    """The beginning of a flash that a guest writes to.

    :ivar accepted: the store was formatted by the firmware and the variables
        of the last commit are gone; to be logged as an error and committed
        under a reason of its own.
    """

    def __init__(self, region: bytearray | memoryview, committed: bytes,
                 arriving: bool = False) -> None:
        """Take a flash over without judging it.

        :param region: its leading bytes, changed in place by write().
        :param committed: the canonical store that was committed last.
        :param arriving: the flash comes from another host in one piece;
            nothing is judged before its last byte has come.
        :raises VariableStoreInvalid: if its volume is larger than REGION_MAX.
        """
        self._view = memoryview(region)
        self._arriving = arriving
        self._rewrite: _Rewrite | None = None
        # The last look, of use while the flash is not open.
        self._look: regions.Look | None = None
        self._due = False
        self._stale = False
        self.accepted = False
        self.rebase(committed)

    def rebase(self, committed: bytes) -> None:
        """Take another store for the one that was committed last.

        For a flash that arrives: until then its old host goes on committing,
        so this has to be the newest version when the last byte comes.

        :param committed: as for Flash.
        """
        # As it was committed, or what was not tidied up yet when a service
        # died would look like an erase to the next one.
        base = regions.unchanged_region_of(committed)
        geometry = regions.geometry_of(base)
        self._geometry = geometry or ftw.AAVMF
        self._base = base[:regions.block_end(self._geometry)]
        self._committed = regions.look_at(base)
        # What the flash showed when it was whole for the last time. None:
        # nothing was ever there, so nothing can be missing.
        self._known = self._committed

    @property
    def arriving(self) -> bool:
        """Return whether the flash has not arrived yet."""
        return self._arriving

    @property
    def state(self) -> str:
        """Return ``whole``, ``open`` or ``unformatted``."""
        if self._rewrite is not None or self._arriving:
            return 'open'
        found = regions.look_at(self._view)
        return 'unformatted' if found is None else 'whole'

    def release(self) -> None:
        """Give up the view on the region, so that it can be closed."""
        self._view.release()

    def canonical(self) -> bytes:
        """Return what is to be committed."""
        return bytes(self._view[:self._block_end()])

    def mark_committed(self) -> None:
        """Note that canonical() has been committed, with no write between."""
        self._base = self.canonical()
        self._committed = self._known = regions.look_at(self._view)
        self._due = self.accepted = False

    def judge(self, now: float) -> bool:
        """Judge the flash as it is, after a restart.

        :param now: seconds of a monotonic clock.
        :returns: whether there is something to commit.
        """
        block = self._view[:self._block_end()]
        if self._rewrite is None and not regions.only_cleared(self._base,
                                                              block):
            self._open(now)
        return self._judge(now, thorough=True)

    def settle_arrival(self, now: float) -> bool:
        """Take the flash for arrived: the guest is known to run here.

        :returns: as judge().
        """
        if not self._arriving:
            return False
        self._arriving = False
        due = self.judge(now)
        # What QEMU sends in a live migration may be older than what its
        # guest wrote (10.0 marks no page of its flash as dirty). As long as
        # it does not show what was committed it is never believed.
        self._stale = self._rewrite is not None
        return due

    def write(self, offset: int, content: bytes | memoryview,
              now: float) -> bool:
        """Change the flash.

        :param offset: in bytes from the start of the flash.
        :param content: must end within the region.
        :param now: seconds of a monotonic clock.
        :returns: whether the flash is whole now and its variables are others
            than those of the last commit.
        """
        end = offset + len(content)
        changed = regions.difference(self._view[offset:end], content)
        first, last = (offset + place for place in changed or (0, 0))
        if self._arriving:
            self._view[offset:end] = content
            return self._arrived(end, len(content), now)
        if changed is None:
            return self._has_news()
        return self._write(first, last, content[first - offset:last - offset],
                           now)

    def _write(self, first: int, last: int, new: bytes | memoryview,
               now: float) -> bool:
        """Make a change, all bytes of which are others than before."""
        end = self._block_end()
        if first < end:
            inside = min(last, end) - first
            self._prepare(first, last, not regions.only_cleared(
                self._view[first:first + inside], new[:inside]), now)
        self._view[first:last] = new
        if self._rewrite is not None:
            return self._judge(now, last - first >= _LARGE or (
                first < end and self._rewrite.may_be_back(last)))
        if first >= end:
            return self._judge_notes(first, now)
        if self._look and self._look.is_quiet(self._view, first, last):
            return self._has_news()
        return self._judge(now)

    def _arrived(self, end: int, length: int, now: float) -> bool:
        """End the arrival of a flash with its last byte.

        A small write says as well that the guest runs.
        """
        if end < len(self._view) and length >= _LARGE:
            return False
        return self.settle_arrival(now)

    def _block_end(self) -> int:
        """Return where the block with the variables ends."""
        self._geometry = regions.geometry_of(self._view) or self._geometry
        return min(regions.block_end(self._geometry), len(self._view))

    # An open flash

    def _open(self, now: float) -> None:
        """Take the flash for open, unless nothing can be missing from it."""
        if self._known is None:
            return
        self._look = None
        self._rewrite = _Rewrite(now, len(self._base.rstrip(b'\xff')))

    def _prepare(self, first: int, last: int, erases: bool,
                 now: float) -> None:
        """Look at a change of the block before it is made."""
        rewrite = self._rewrite
        if rewrite is not None and rewrite.ends_pass(first, erases):
            # Before the change, which may be the one that makes a new
            # variable count: it is a change of a whole flash then.
            self._judge(now, thorough=True)
        if erases and self._rewrite is None:
            self._open(now)
        elif self._rewrite is not None:
            self._rewrite.follow(first, last, erases)

    # Judgement

    def _judge(self, now: float, thorough: bool = False) -> bool:
        """Return whether there is something to commit.

        :param thorough: an open flash may be whole again.
        """
        copied = regions.is_copied(self._view, self._geometry)
        if copied is False:
            # The firmware has still to bring the spare area into place.
            if self._rewrite is None:
                self._open(now)
            return False
        if self._rewrite is None:
            return self._take_changes(now)
        if copied or thorough:
            return self._close(bool(copied), now)
        return False

    def _judge_notes(self, first: int, now: float) -> bool:
        """Judge a flash that is not open and was changed behind the block.

        Only the notes of a fault-tolerant write can say something new there.
        """
        if first < regions.block_end(self._geometry) + (
                self._geometry.block_size) and regions.is_copied(
                    self._view, self._geometry) is False:
            self._open(now)
        return self._has_news()

    def _take_changes(self, now: float) -> bool:
        """Judge a flash that was changed without an erase."""
        self._look = found = regions.look_at(self._view)
        if found is None:
            return False
        if self._known is not None and not self._known.explains(self._view,
                                                                found):
            self._open(now)
            return False
        return self._take(found)

    def _close(self, copied: bool, now: float) -> bool:
        """Judge an open flash."""
        found = regions.look_at(self._view)
        if found is None:
            return False
        old, new = self._known.variables, found.variables
        if not (regions.same(old, new) or
                copied and regions.is_one_step(old, new)):
            if self._stale or not self._rewrite.is_given_up(now):
                return False
            self.accepted = True
        self._rewrite, self._look = None, found
        self._stale = False
        return self._take(found)

    def _take(self, found: regions.Look) -> bool:
        """Take a look for what is there when the flash is whole."""
        self._known = found
        committed = self._committed.variables if self._committed else {}
        # What stands elsewhere is committed too: who judges the flash after
        # a restart or on another host knows it by its place.
        self._due = (self.accepted or
                     not regions.same(found.variables, committed) or
                     regions.moved(found.variables, committed))
        return self._due

    def _has_news(self) -> bool:
        """Return whether something is to be committed, nothing being new."""
        return self._due and self._rewrite is None
