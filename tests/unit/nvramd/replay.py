# SPDX-License-Identifier: Apache-2.0
"""Replays a trace to a judge, and looks for what would be lost.

After every write the store that was committed last is what a server would be
started from: it has to hold what the guest was told is written, with the old
or the new content of the one variable that is being written, and all that
the firmware keeps for itself.
"""
import collections
from collections.abc import Callable
from collections.abc import Iterable
import hashlib
import typing as ty

from nova_armvm import exception
from nova_armvm.nvramd import whole
from nova_armvm.uefi import boot
from nova_armvm.uefi import varstore
from tests.unit.nvramd import trace_files

#: As slow as the slowest volume: no rule that waits for time to pass may help.
SECONDS_OF_A_WRITE = 1.0

Variables: ty.TypeAlias = dict[varstore.VariableKey, trace_files.Value]


class Lost(AssertionError):
    """A server that started from the last commit would miss something."""


class Judge(ty.Protocol):
    """What is tried: whole.Flash, and others that must fail."""

    def write(self, offset: int, content: bytes, now: float) -> bool:
        """Change the flash; return whether it is to be committed."""

    def canonical(self) -> bytes:
        """Return what is to be committed."""

    def mark_committed(self) -> None:
        """Note that it was."""

    def judge(self, now: float) -> bool:
        """Judge the flash as it is, after a restart."""


MakeJudge: ty.TypeAlias = Callable[[bytearray, bytes], Judge]


def variables_in(region: bytes) -> Variables:
    """Return what a server would find.

    :raises VariableStoreInvalid: if its firmware could not read it.
    """
    return {key: trace_files.Value(
        variable.attributes, len(variable.content),
        hashlib.sha256(variable.content).hexdigest()[:16])
        for key, variable in varstore.parse(region).variables.items()}


def stand_twice(region: bytes) -> set[varstore.VariableKey]:
    """Return the variables of which an older one was not deleted yet.

    :raises VariableStoreInvalid: if firmware could not read the region.
    """
    if not varstore.parse(region).variables:
        return set()
    keys = collections.Counter(
        entry.variable.key for entry in varstore.entries(
            region, varstore.volume_of(region)))
    return {key for key, count in keys.items() if count > 1}


class Replay:
    """A trace that is replayed to a judge.

    :ivar writes: how many there were up to now.
    :ivar commits: how often the store was committed.
    :ivar judge: the one of now; another after a restart.
    :ivar canonical: the store that was committed last.
    :ivar acknowledged: what the guest was told its variables are, None for
        one that it deleted.
    :ivar under_way: what the guest was not yet told the end of.
    """

    def __init__(self, trace: trace_files.Trace, judge: MakeJudge,
                 restart_every: int | None = None,
                 after_write: Callable[['Replay'], None] | None = None
                 ) -> None:
        """Prepare it.

        :param restart_every: after so many writes the service is started
            again, with the flash and the last commit as they are.
        :param after_write: is called after each write, and its commit.
        """
        self._trace, self._make = trace, judge
        self._restart_every = restart_every
        self._after_write = after_write
        self.judge: Judge
        self._region = bytearray()
        self.canonical = b''
        self._committed: Variables = {}
        # The flash when the guest or the firmware had nothing under way.
        self._truth: Variables = {}
        self.acknowledged: dict[
            varstore.VariableKey, trace_files.Value | None] = {}
        self.under_way: trace_files.Begin | None = None
        # What was committed since, to be looked at when its end is known.
        self._since: list[Variables] = []
        self._booting = False
        self.writes = self.commits = 0

    def run(self) -> None:
        """Replay all of it.

        :raises Lost: when something is.
        """
        react = {trace_files.Write: self._write,
                 trace_files.Begin: self._begin, trace_files.End: self._end,
                 trace_files.PowerOn: self._power_on,
                 trace_files.Reset: self._reset, trace_files.Up: self._up}
        for event in self._trace.events():
            react[type(event)](event)
        self._quiet()

    def _write(self, event: trace_files.Write) -> None:
        self.writes += 1
        now = self.writes * SECONDS_OF_A_WRITE
        if self.judge.write(event.offset, event.content, now):
            self._commit()
        if self._restart_every and self.writes % self._restart_every == 0:
            self.judge = self._make(self._region, self.canonical)
            if self.judge.judge(now):
                self._commit()
        if self._after_write is not None:
            self._after_write(self)

    def _commit(self) -> None:
        if getattr(self.judge, 'accepted', False):
            self._lose('the store was taken for formatted')
        self.canonical = self.judge.canonical()
        self.judge.mark_committed()
        self.commits += 1
        region = whole.region_of(self.canonical)
        try:
            self._committed = variables_in(region)
        except exception.VariableStoreInvalid as error:
            self._lose(f'all variables: {error}')
        twice = stand_twice(region)
        if twice:
            self._lose(f'may come back when deleted: {_names(twice)}')
        self._since.append(self._committed)
        for key in self.acknowledged:
            self._check(key)

    def _check(self, key: varstore.VariableKey) -> None:
        """Check a variable of the guest's in the last commit."""
        allowed = [self.acknowledged.get(key)]
        if self.under_way is not None and self.under_way.key == key:
            allowed.append(self.under_way.value)
        if self._committed.get(key) not in allowed:
            self._lose(f'{key.name}: {self._committed.get(key)}, not '
                       f'{" or ".join(map(str, allowed))}')

    def _lose(self, what: str) -> ty.NoReturn:
        raise Lost(f'{self._trace.name}, after write {self.writes} and '
                   f'commit {self.commits}, {self.under_way}: {what}')

    def _begin(self, event: trace_files.Begin) -> None:
        self._quiet()
        self.under_way = event
        self.acknowledged.setdefault(event.key, None)

    def _end(self, event: trace_files.End) -> None:
        begun, self.under_way = self.under_way, None
        if event.result == 0:
            self.acknowledged[begun.key] = begun.value
        self._check(begun.key)
        self._quiet()

    def _power_on(self, event: trace_files.PowerOn) -> None:
        if self.writes:
            self._quiet()
        self._booting = True
        self._region = bytearray(event.region)
        self.judge = self._make(self._region, self.canonical)

    def _reset(self, _event: trace_files.Reset) -> None:
        self._quiet()
        self._booting = True
        # Those are the firmware's as well.
        for key in [key for key in self.acknowledged
                    if key.guid == boot.GLOBAL]:
            del self.acknowledged[key]

    def _up(self, _event: trace_files.Up) -> None:
        self._quiet()
        self._booting = False

    def _quiet(self) -> None:
        """Check all variables: nothing is under way now.

        All of them are to be committed.
        """
        truth = variables_in(self._region)
        if truth != self._committed:
            keys = truth.keys() | self._committed.keys()
            self._lose('not committed: ' + _names(
                key for key in keys
                if truth.get(key) != self._committed.get(key)))
        for committed in self._since:
            self._check_meanwhile(committed, truth)
        self._truth, self._since = truth, []

    def _check_meanwhile(self, committed: Variables,
                         truth: Variables) -> None:
        """Check what was committed while something was under way.

        What was there before and afterwards was not missing meanwhile, and,
        unless firmware was starting and may have changed it more than once,
        was the one or the other.
        """
        stayed = truth.keys() & self._truth.keys()
        if not stayed <= committed.keys():
            self._lose(f'missing: {_names(stayed - committed.keys())}')
        if not self._booting:
            torn = [key for key in stayed if committed[key] not in (
                self._truth[key], truth[key])]
            if torn:
                self._lose(f'torn: {_names(torn)}')


def _names(keys: Iterable[varstore.VariableKey]) -> str:
    return ', '.join(sorted(key.name for key in keys))
