# SPDX-License-Identifier: Apache-2.0
"""What happens to the guests: a random walk, the same for the same seed."""
from collections.abc import Mapping, Sequence
import dataclasses
import random

#: How likely a step has none of the operations; the guest just writes.
_NOTHING = 0.15
#: How likely something is killed meanwhile.
_KILLED = 0.75
#: When something is killed, in seconds after the operations were asked for.
_AT_MOST_SECONDS = 25


@dataclasses.dataclass(frozen=True)
class Kill:
    """Something that is killed.

    :ivar target: number of the guest whose QEMU or host it is.
    :ivar after: seconds after the operations were asked for.
    :ivar away: seconds until it is back.
    """

    name: str
    target: int
    after: float
    away: int

    def __str__(self) -> str:
        return (f'{self.name} at guest {self.target} after {self.after:.1f}s'
                f' for {self.away}s')


@dataclasses.dataclass(frozen=True)
class Step:
    """What happens to all guests side by side.

    :ivar operations: of each guest, None for one that just writes.
    """

    number: int
    operations: tuple[str | None, ...]
    kill: Kill | None

    def __str__(self) -> str:
        return ', '.join(f'guest {number} {name or "writes"}' for number, name
                         in enumerate(self.operations)) + '; ' + (
            str(self.kill) if self.kill else 'nothing is killed')


def plan(seed: int, steps: int, guests: int, operations: Sequence[str],
         alone: Sequence[str], kills: Mapping[str, Sequence[int]]
         ) -> list[Step]:
    """Return the steps of a walk.

    Every operation and every kill comes up before one comes up again.

    :param operations: names of what can be done to a server.
    :param alone: those of them that take a whole host away, so that nothing
        else is done or killed meanwhile.
    :param kills: names of what can be killed, and for how many seconds.
    """
    chance = random.Random(seed)
    names, killed = _Deck(operations, chance), _Deck(tuple(kills), chance)
    made = []
    for number in range(1, steps + 1):
        chosen: list[str | None] = [
            None if chance.random() < _NOTHING else names.draw()
            for _guest in range(guests)]
        kill = None
        only = next((name for name in chosen if name in alone), None)
        if only is not None:
            # The others come up later.
            for name in chosen:
                if name not in (only, None):
                    names.put_back(name)
            chosen = [None] * guests
            chosen[chance.randrange(guests)] = only
        elif chance.random() < _KILLED:
            name = killed.draw()
            kill = Kill(name, chance.randrange(guests),
                        round(chance.uniform(0, _AT_MOST_SECONDS), 1),
                        chance.choice(kills[name]))
        made.append(Step(number, tuple(chosen), kill))
    return made


class _Deck:
    """Names in random order, again and again."""

    def __init__(self, names: Sequence[str], chance: random.Random) -> None:
        self._names = sorted(names)
        self._chance = chance
        self._left: list[str] = []

    def draw(self) -> str:
        if not self._left:
            self._left = list(self._names)
            self._chance.shuffle(self._left)
        return self._left.pop()

    def put_back(self, name: str) -> None:
        self._left.insert(0, name)
