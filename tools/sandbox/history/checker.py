# SPDX-License-Identifier: Apache-2.0
"""Holds what a guest finds against what it was told.

A store is as durable as a guest may expect when each variable is, at every
moment, what the last acknowledged operation made it; after a crash in the
middle of one it may be the old or the new one, and stays what it is once it
was seen.
"""
from collections.abc import Iterable, Mapping
import dataclasses

from tools.sandbox.history import events
from tools.sandbox.history import variable

#: How many events before a violation are told.
_TOLD = 12
#: How much of a variable in hexadecimal.
_SHOWN = 40


@dataclasses.dataclass(frozen=True)
class Violation:
    """Something that must not be.

    :ivar kind: ``lost`` (acknowledged, and not seen), ``came back`` (another
        state after that was seen), ``torn``, ``never written``, ``emptied``
        (all at once), ``firmware`` (a variable that nobody changes),
        ``conflict`` (one operation was told of in two ways) or ``silent``
        (the guest does not come up; added by who has waited for it).
    :ivar names: of the variables.
    :ivar words: what was acknowledged, and what was seen.
    :ivar before: what was said of these variables last.
    """

    kind: str
    names: tuple[str, ...]
    words: str
    before: tuple[events.Event, ...] = ()

    def report(self) -> str:
        """Return all that is known of it, in lines."""
        return '\n'.join((f'{self.kind}: {", ".join(self.names)}: '
                          f'{self.words}',
                          *(f'    {event}' for event in self.before)))


class History:
    """What one guest has said; the same event may be added twice."""

    def __init__(self) -> None:
        self._settled: Mapping[str, str] = {}
        #: Boots before that was settled.
        self._earlier: frozenset[str] = frozenset()
        self._events: dict[tuple[int, int], events.Event] = {}
        self._facts: dict[str, events.Facts] = {}
        self._conflicts: list[Violation] = []

    def settle(self, content: Mapping[str, str]) -> None:
        """Say what every later boot has to find.

        :param content: in hexadecimal, of variables that nobody changes from
            now on; a boot order may go on behind it.
        """
        self._settled = dict(content)
        self._earlier = frozenset(self._facts)

    def add(self, event: events.Event) -> bool:
        """Add an event; return whether it is new."""
        if isinstance(event, events.Facts):
            new = event.boot_id not in self._facts
            self._facts[event.boot_id] = event
            return new
        key = events.order_of(event)
        if key not in self._events:
            self._events[key] = event
            return True
        if self._events[key] != event:
            self._conflicts.append(Violation(
                'conflict', (), f'{self._events[key]} and {event}'))
        return False

    def ordered(self) -> list[events.Event]:
        """Return everything in the order in which it happened."""
        return [self._events[key] for key in sorted(self._events)]

    def violations(self) -> list[Violation]:
        """Judge everything from the beginning."""
        found = list(self._conflicts)
        for facts in self._facts.values():
            if facts.boot_id not in self._earlier:
                found += _lost_facts(facts, self._settled)
        judge = _Judge()
        for event in self.ordered():
            found += judge.hear(event)
        return found

    def counts(self) -> 'Counts':
        """Count what has happened."""
        ends = [event for event in self._events.values()
                if isinstance(event, events.End)]
        return Counts(
            boots=len({event.boot_id for event in self._events.values()
                       if isinstance(event, events.Observation)}),
            acknowledged=sum(end.result is events.Result.OK for end in ends),
            refused=sum(end.result is events.Result.FAILED for end in ends))


@dataclasses.dataclass(frozen=True)
class Counts:
    """How much has happened to a guest."""

    boots: int = 0
    acknowledged: int = 0
    refused: int = 0

    def __add__(self, other: 'Counts') -> 'Counts':
        return Counts(self.boots + other.boots,
                      self.acknowledged + other.acknowledged,
                      self.refused + other.refused)


def _lost_facts(facts: events.Facts,
                settled: Mapping[str, str]) -> Iterable[Violation]:
    for name, content in settled.items():
        seen = facts.seen.get(name, '')
        # Firmware may add devices behind what the guest has put in order.
        if seen != content and not (name == 'BootOrder' and
                                    seen.startswith(content)):
            yield Violation(
                'firmware', (name,), f'boot {facts.boot_id} finds '
                f'{seen[:_SHOWN] or "nothing"} and not {content[:_SHOWN]}')


class _Judge:
    """Goes through events in order."""

    def __init__(self) -> None:
        self._variables: dict[str, variable.Variable] = {}
        self._heard: list[events.Event] = []
        #: The last operation heard of, by boot.
        self._last: dict[int, int] = {}
        self._boot: int | None = None
        self._announced: events.Begin | None = None

    def hear(self, event: events.Event) -> list[Violation]:
        """Judge an event; return what is wrong with it."""
        boot = events.boot_of(event.operation)
        if boot != self._boot:
            self._crash()
            self._boot = boot
        match event:
            case events.Begin():
                found = self._begin(event)
            case events.End():
                found = self._end(event)
            case _:
                found = self._observe(event.seen, event)
        self._last[boot] = event.operation
        self._heard.append(event)
        return found

    def _of(self, name: str) -> variable.Variable:
        return self._variables.setdefault(name, variable.Variable())

    def _crash(self) -> None:
        """What was going on has ended somewhere."""
        if self._announced is not None:
            # It may have begun, whether somebody was told or not.
            self._of(self._announced.name).begin(self._announced.value)
        self._announced = None

    def _begin(self, event: events.Begin) -> list[Violation]:
        self._of(event.name).begin(event.value)
        return []

    def _end(self, event: events.End) -> list[Violation]:
        # A deletion does not say so again; its beginning did.
        value = self._meant_by(event)
        if event.result is not events.Result.FAILED and value is not None:
            self._of(event.name).acknowledge(value)
        self._announced = event.next
        return self._observe({event.name: event.seen}, event)

    def _meant_by(self, event: events.End) -> events.Value | None:
        """Return what the operation was to do, None if nobody has said it."""
        for before in reversed(self._heard):
            begun = (before.next if isinstance(before, events.End)
                     else before)
            if isinstance(begun, events.Begin) and (
                    begun.operation == event.operation):
                return begun.value
            if before.operation < event.operation - 1:
                break
        # With this result it reads what it has written.
        return event.seen if event.result is events.Result.OK else None

    def _observe(self, seen: Mapping[str, events.Value],
                 event: events.Event) -> list[Violation]:
        was = {name: set(self._of(name).may_be or ()) for name in seen}
        wrong = {}
        for name, value in seen.items():
            reason = self._of(name).wrong(value, self._is_unheard(value))
            if isinstance(event, events.Observation):
                self._of(name).observed()
            if reason:
                wrong[name] = reason
        there = {name for name, states in was.items()
                 if states and events.ABSENT not in states}
        if len(there) > 1 and all(seen[name] == events.ABSENT
                                  for name in there):
            return [self._violation('emptied', there, was, seen, event)]
        return [self._violation(reason, {name}, was, seen, event)
                for name, reason in wrong.items()]

    def _is_unheard(self, value: events.Value) -> bool:
        """Return whether power was lost before this was told."""
        if isinstance(value, str):
            return False
        boot = events.boot_of(value)
        last = self._last.get(boot)
        return (boot != self._boot and last is not None and
                last < value <= last + variable.UNHEARD)

    def _violation(self, kind: str, names: set[str],
                   was: Mapping[str, set[events.Value]],
                   seen: Mapping[str, events.Value],
                   event: events.Event) -> Violation:
        words = '; '.join(
            f'{name} has to be '
            f'{" or ".join(sorted(map(events.words, was[name])))}, '
            f'and is {events.words(seen[name])}' for name in sorted(names))
        about = [heard for heard in self._heard
                 if isinstance(heard, events.Observation) or
                 heard.name in names]
        return Violation(kind, tuple(sorted(names)), words,
                         (*about[-_TOLD:], event))
