# SPDX-License-Identifier: Apache-2.0
"""One flash that is served to QEMU.

A write goes into a mapped file, which outlives the service; when it makes the
store whole and its variables are others than those on the volume, they are
committed; only then is the write answered. So at any instruction the service
may die: what was answered is in the file, and what the guest was told is kept
is on the volume.
"""
from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import errno
import logging
import threading
import time
import typing as ty

from nova_armvm import exception
from nova_armvm.nvramd import committer
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import flash_file
from nova_armvm.nvramd import gate
from nova_armvm.nvramd import slots
from nova_armvm.nvramd import whole

#: Seconds that a request of the driver waits for a write to end: longer than
#: an operation on Ceph takes to fail.
LOCK_TIMEOUT = 25.0

#: How far a flash that comes from another host has come.
EXPECTED, ARRIVING, ARRIVED = 'expected', 'arriving', 'arrived'


def _waits() -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Terms:
    """How a flash is served.

    :ivar mode: ``start`` or ``incoming``.
    :ivar owner: name of this host for the log.
    :ivar flash_size: in bytes.
    :ivar path: of the flash file.
    """

    instance: str
    mode: str
    owner: str
    flash_size: int
    path: str


class Export:
    """A served flash.

    :ivar terms: how it is served.
    :ivar gate: who is connected.
    """

    def __init__(self, terms: Terms, log: slots.Log,
                 content: flash_file.FlashFile, committed: bytes, *,
                 epoch: int | None, arrival: str = ARRIVED,
                 restarted: bool = False,
                 save: Callable[..., None] = lambda **_changes: None,
                 steps: committer.Steps = committer.no_steps) -> None:
        """Serve what is in a file; nobody is connected yet.

        :param log: looked at last when the newest version was read.
        :param committed: the canonical store of that version.
        :param epoch: under which this host commits, None for later.
        :param arrival: of a flash served as incoming.
        :param restarted: the service was interrupted.
        :param save: called with what changed of epoch and arrival.
        """
        self.terms = terms
        self._committer = committer.Committer(log, terms.owner,
                                              terms.flash_size, epoch, steps)
        self.gate = gate.Gate(restarted, log=self._committer.say)
        self._file = content
        self._arrival = arrival
        self._flash = whole.Flash(content.map, committed,
                                  arriving=arrival != ARRIVED)
        self._save = save
        self._steps = steps
        self._lock = threading.Lock()
        self._ended = False
        self._writes = 0
        self._last_state = 'open'

    # What QEMU asks for

    @property
    def flash_size(self) -> int:
        """Return the size of the flash in bytes."""
        return self.terms.flash_size

    def pread(self, offset: int, length: int) -> bytes:
        """Return bytes of the flash; zeros behind what is stored.

        :raises OSError: if they are not within the flash, or it is not
            served any more.
        """
        self._check_range(offset, length)
        with self._lock:
            self._check_served()
            content = self._file.map[offset:offset + length]
        return content.ljust(length, b'\0')

    def extents(self, offset: int, length: int
                ) -> list[tuple[int, int, bool]]:
        """Return (offset, length, whether it reads as zeros) of a range."""
        self._check_range(offset, length)
        with self._lock:
            self._check_served()
            border = len(self._file.map)
        end = offset + length
        parts = ((offset, min(end, border), False),
                 (max(offset, border), end, True))
        return [(start, stop - start, zeros) for start, stop, zeros in parts
                if start < stop]

    def pwrite(self, offset: int, content: bytes | memoryview,
               waits: committer.Waits = _waits) -> None:
        """Write to the flash; durable on return where the guest relies on it.

        :param waits: whether somebody still waits for the answer.
        :raises OSError: if it is not within the flash (EINVAL), would store
            something where nothing is stored (EPERM), the store was taken
            over (EIO), or serving ends (ESHUTDOWN).
        """
        self._check_range(offset, len(content))
        with self._lock:
            self._check_writable()
            inside = max(0, min(len(content), len(self._file.map) - offset))
            # A guest must not be able to fill this host's memory.
            if not _is_blank(content[inside:]):
                raise OSError(errno.EPERM, 'nothing is stored there')
            if inside:
                self._write(offset, content[:inside], waits)

    def pzero(self, offset: int, length: int,
              waits: committer.Waits = _waits) -> None:
        """Write zeros as pwrite() does."""
        self._check_range(offset, length)
        inside = max(0, min(length, len(self._file.map) - offset))
        self.pwrite(offset, bytes(inside), waits)

    def _check_range(self, offset: int, length: int) -> None:
        if not 0 <= offset <= offset + length <= self.flash_size:
            raise OSError(errno.EINVAL, 'not within the flash')

    def _check_served(self) -> None:
        if self._ended or self._committer.ending.is_set():
            raise OSError(errno.ESHUTDOWN, 'the flash is not served any more')

    def _check_writable(self) -> None:
        self._check_served()
        if self._committer.fenced is not None:
            raise OSError(errno.EIO, self._committer.fenced)

    def _write(self, offset: int, content: bytes | memoryview,
               waits: committer.Waits) -> None:
        self._writes += 1
        if self._arrival == EXPECTED:
            self._committer.persist(self._arrive, waits)
        # Also for a write that was repeated and changes nothing: what it made
        # whole before an interruption may not be committed yet.
        due = self._flash.write(offset, content, time.monotonic())
        self._steps('written')
        if due:
            self._committer.persist(self._commit, waits)
        if self._arrival == ARRIVING and not self._flash.arriving:
            self._committer.persist(lambda: self._set_arrival(ARRIVED), waits)

    def _commit(self) -> None:
        """Put what is whole on the volume."""
        self._claim()
        self._committer.commit(self._flash.canonical(), self._flash.accepted)
        self._flash.mark_committed()

    def _claim(self) -> None:
        if self._committer.epoch is None:
            self._committer.claim()
            self._save(epoch=self._committer.epoch)

    # A flash that comes from another host

    def _arrive(self) -> None:
        """Begin to take a flash over that another host has served.

        Its guest has stopped there, so what that host committed since is
        known now. The flash that comes is judged by the newest version.
        """
        if self._committer.epoch is None:
            self._committer.log.refresh()
        self._rebase()
        self._set_arrival(ARRIVING)

    def _rebase(self) -> None:
        """Serve the newest version, nothing having been written yet."""
        log = self._committer.log
        newest = log.newest
        if newest is None or newest == self._committer.base:
            return
        committed = log.read(newest)
        content = flash_file.FlashFile.create(self.terms.path,
                                              whole.region_of(committed))
        self._flash.release()
        self._file.close()
        self._file = content
        self._flash = whole.Flash(content.map, committed, arriving=True)
        self._committer.base = newest

    def _set_arrival(self, arrival: str) -> None:
        self._save(arrival=arrival)
        self._arrival = arrival
        self._steps(arrival)

    # What the driver asks for

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold writes up.

        :raises VolumeFailed: if one does not end.
        :raises NotServed: if serving has ended.
        """
        with self._locked():
            if self._committer.ending.is_set():
                raise errors.NotServed('the flash is not served any more')
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=LOCK_TIMEOUT):
            raise errors.VolumeFailed('a commit does not end: ' + (
                self._committer.error or 'the volume does not answer'))
        try:
            yield
        finally:
            self._lock.release()

    def resume(self) -> None:
        """Commit what was due when the service was interrupted.

        :raises OSError: if the volume cannot be written.
        :raises FlashError: likewise.
        """
        with self._held():
            self._committer.check_owner()
            if (self._committer.fenced is None and self._arrival == ARRIVED
                    and self._flash.judge(time.monotonic())):
                self._commit()

    def take(self) -> None:
        """Claim the store of a flash served as incoming. Idempotent.

        :raises OSError: if the volume cannot be read or written.
        """
        with self._held():
            self._claim()
            if self._arrival == EXPECTED:
                self._rebase()

    def verify(self, flash: bytes, adopt: bool,
               expect_writes: int | None = None) -> dict[str, bool]:
        """Compare with what QEMU has in memory; close the gap if equal.

        :param flash: from its start, as long as what is stored.
        :param adopt: take it over where it differs.
        :param expect_writes: of the state before QEMU's memory was read.
        :raises StaleSequence: if the guest has written since, and what was
            read may be older than what is here.
        :raises Invalid: if it is shorter or longer.
        :raises Fenced: if another host has taken the store over.
        :raises OSError: if it cannot be committed.
        """
        with self._held():
            if self._committer.fenced is not None:
                raise errors.Fenced(self._committer.fenced)
            if expect_writes not in (None, self._writes):
                raise errors.StaleSequence('the guest has written meanwhile')
            served = bytes(self._file.map)
            if len(flash) != len(served):
                raise errors.Invalid(f'{len(flash)} bytes of flash, not '
                                     f'{len(served)}')
            equal = flash == served
            differ = not equal and _variables(flash) != _variables(served)
            adopted = adopt and not equal
            if adopted:
                self._committer.say(
                    logging.WARNING, 'Adopted the flash of QEMU, which '
                    'differs; variables differ: %s', differ)
                if self._flash.write(0, flash, time.monotonic()):
                    self._commit()
            if equal or adopted:
                self.gate.gap = False
            return {'equal': equal, 'variables_differ': differ,
                    'adopted': adopted}

    def state(self) -> dict[str, ty.Any]:
        """Return the state as clients see it; does not wait for writes."""
        if self._lock.acquire(timeout=0.05):
            try:
                if not self._ended:
                    self._last_state = self._flash.state
            finally:
                self._lock.release()
        now = self._committer
        return {
            'instance': self.terms.instance,
            'served': not now.ending.is_set(), 'mode': self.terms.mode,
            'connected': self.gate.connected, 'state': self._last_state,
            'sequence': now.base.sequence if now.base else None,
            'epoch': now.epoch, 'fenced': now.fenced is not None,
            'writes': self._writes, 'commit_error': now.error,
            'gap': self.gate.gap,
            'disconnected_since': self.gate.disconnected_since}

    def refuse(self) -> None:
        """Let nobody connect or write any more, at once. Idempotent."""
        self._committer.ending.set()
        self.gate.shut()

    def stop(self, keep_file: bool = False) -> None:
        """End serving. A write that waits for its commit fails. Idempotent.

        :param keep_file: leave the flash file to a later service.
        :raises VolumeFailed: if a write does not end.
        """
        self.refuse()
        with self._locked():
            if self._ended:
                return
            self._ended = True
            self._flash.release()
            self._file.close()
            if not keep_file:
                self._file.remove()


def _is_blank(content: bytes | memoryview) -> bool:
    """Return whether flash is erased (ones) or was never written (zeros)."""
    content = bytes(content)
    return content in (bytes(len(content)), b'\xff' * len(content))


def _variables(flash: bytes) -> ty.Any:
    """Return what can be compared of the variables in a flash."""
    canonical = whole.canonical_of(flash)
    try:
        return whole.variables_of(canonical).variables
    except exception.VariableStoreInvalid:
        return canonical
