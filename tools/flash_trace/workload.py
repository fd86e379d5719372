# SPDX-License-Identifier: Apache-2.0
"""Random operations of a guest, from a seed.

What the variables hold is not random but the number of the operation, over
and over: a trace stays small, and every word of a torn variable tells which
operation it is of.
"""
from collections.abc import Iterator
import dataclasses
import errno
import hashlib
import random
import uuid

from nova_armvm.uefi import varstore

#: Linux lets variables with it be written again; see
#: tools/sandbox/guest/init.sh. A second one, so that names alone do not tell
#: variables apart.
GUIDS = ('cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0',
         'a9d1b2f4-6c0e-4d53-9b71-2f6d1c3e5a80')
ATTRIBUTES = 7
#: AAVMF takes 8 KiB with header and name.
LARGEST = 8000
_NAMES = 40
#: Most are large, or filling a store would take long.
_FULL_SIZES = (LARGEST, LARGEST, LARGEST, 2500, 60)


@dataclasses.dataclass(frozen=True)
class Operation:
    """What the guest is told to do to a variable.

    :ivar length: of its content in bytes, None to delete it.
    """

    sequence: int
    name: str
    guid: str
    length: int | None

    @property
    def file(self) -> str:
        """Name of the variable's file in Linux."""
        return f'{self.name}-{self.guid}'

    @property
    def key(self) -> varstore.VariableKey:
        """Return which variable it is."""
        return varstore.VariableKey(uuid.UUID(self.guid), self.name)

    @property
    def command(self) -> tuple:
        """Return what the guest is told, see guest.c."""
        if self.length is None:
            return 'delete', self.sequence, self.file
        return ('set', self.sequence, self.file, f'{ATTRIBUTES:x}',
                self.length)

    @property
    def mark(self) -> tuple:
        """Return how the trace names it, see trace_format."""
        if self.length is None:
            return 'begin', self.sequence, 'delete', self.name, self.guid
        return ('begin', self.sequence, 'set', self.name, self.guid,
                ATTRIBUTES, self.length,
                digest(pattern(self.sequence, self.length)))


def pattern(sequence: int, length: int) -> bytes:
    """Return what the guest writes in an operation."""
    word = sequence.to_bytes(4, 'little')
    return (word * (length // 4 + 1))[:length]


def digest(content: bytes) -> str:
    """Return how a trace tells contents apart."""
    return hashlib.sha256(content).hexdigest()[:16]


class Workload:
    """Makes operations; knows which variables are there."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._there: set[tuple[str, str]] = set()
        self._sequence = self._refused = 0

    def next_sequence(self) -> int:
        """Return the number of the next operation."""
        self._sequence += 1
        return self._sequence

    def _next(self, name: str, guid: str, length: int | None) -> Operation:
        return Operation(self.next_sequence(), name, guid, length)

    def done(self, operation: Operation, result: int) -> None:
        """Take in how an operation ended."""
        key = operation.name, operation.guid
        if result == 0 and operation.length is None:
            self._there.discard(key)
        elif result == 0:
            self._there.add(key)
        elif result == errno.ENOSPC:
            self._refused += 1

    def random(self, count: int, largest: int = 2000) -> Iterator[Operation]:
        """Yield creations, overwrites and deletions; small sizes prevail."""
        for _number in range(count):
            if self._there and self._random.random() < 0.2:
                yield self._next(*self._random.choice(sorted(self._there)),
                                 None)
                continue
            name = f'Armvm{self._random.randrange(_NAMES):02}'
            length = int(largest ** self._random.random())
            yield self._next(name, self._random.choice(GUIDS), length)

    def fill(self, count: int, length: int) -> Iterator[Operation]:
        """Yield large variables: first new ones, then all of them again."""
        for number in range(count):
            yield self._next(f'Large{number % 20:02}', GUIDS[0],
                             length - self._random.randrange(200))

    def full(self, refused: int) -> Iterator[Operation]:
        """Yield new variables until some of them were refused for no room.

        Then some are deleted, which needs no room.
        """
        number, enough = 0, self._refused + refused
        while self._refused < enough:
            yield self._next(f'Full{number:03}', GUIDS[0],
                             self._random.choice(_FULL_SIZES))
            number += 1
        for name, guid in sorted(self._there):
            if name.startswith('Full') and self._random.random() < 0.3:
                yield self._next(name, guid, None)
