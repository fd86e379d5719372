# SPDX-License-Identifier: Apache-2.0
"""What the busy writer of a guest says, see guest/busy.sh.

Operations have numbers that never come again, so the order of events is known
whichever console they were read from, and how often.
"""
from collections.abc import Mapping
import dataclasses
import enum
import typing as ty

#: What a variable is when it is not there, and when it is not whole.
ABSENT, TORN = 'absent', 'torn'
#: The number of the operation that wrote it, ABSENT or TORN.
Value = int | str

#: Operations of a boot are counted in as many bits.
_COUNT_BITS = 20


class Result(enum.Enum):
    """What the guest was told of an operation."""

    OK = 'ok'
    FAILED = 'failed'
    #: Told that it is done, and it reads something else.
    OTHER = 'other'


@dataclasses.dataclass(frozen=True)
class Begin:
    """An operation begins.

    :ivar value: what the variable is to be.
    """

    operation: int
    name: str
    value: Value

    def __str__(self) -> str:
        what = 'delete' if self.value == ABSENT else 'write'
        return f'begin {words(self.operation)}: {what} {self.name}'


@dataclasses.dataclass(frozen=True)
class End:
    """An operation has come back.

    :ivar seen: what the guest reads right after it.
    :ivar next: the operation that it begins now; None if it does not say.
    """

    operation: int
    name: str
    result: Result
    seen: Value
    next: Begin | None = None

    def __str__(self) -> str:
        return (f'end   {words(self.operation)}: {self.result.value}, '
                f'{self.name} is {words(self.seen)}')


@dataclasses.dataclass(frozen=True)
class Observation:
    """All variables of the writer, as the guest finds them.

    :ivar operation: the last one before it; none of its own boot if it is
        the first.
    """

    operation: int
    boot_id: str
    seen: Mapping[str, Value]

    def __str__(self) -> str:
        return f'found {words(self.operation)}: ' + ', '.join(
            f'{name} {words(value)}' for name, value in self.seen.items())


@dataclasses.dataclass(frozen=True)
class Facts:
    """Variables of others that nobody changes, found at a boot."""

    boot_id: str
    seen: Mapping[str, str]


Event = Begin | End | Observation | Facts


def boot_of(operation: int) -> int:
    """Return what tells the boot of an operation from all others."""
    return operation >> _COUNT_BITS


def words(value: Value) -> str:
    """Write a value as the boot and the operation in it that wrote it."""
    if isinstance(value, str):
        return value
    return f'{boot_of(value)}.{value % (1 << _COUNT_BITS)}'


def order_of(event: Begin | End | Observation) -> tuple[int, int]:
    """Return by what events are brought into order."""
    kinds = (Begin, End, Observation)
    return event.operation, kinds.index(type(event))


def _value(word: ty.Any) -> Value:
    """Read what a variable is.

    :raises ValueError: it is not what a guest says.
    """
    return word if word in (ABSENT, TORN) else int(word)


def _begin(operation: int, name: str, kind: str) -> Begin:
    return Begin(operation, name, {
        'write': operation, 'delete': ABSENT}[kind])


def read(said: Mapping[str, ty.Any], disk: str) -> Event | None:
    """Read an event of the console; None for one of other things.

    :param said: as console.parse() returns it.
    :param disk: of the system that counts; another is there for a rescue.
    """
    try:
        return _read(said, disk)
    except (KeyError, ValueError, TypeError, AttributeError):
        # Cut off, or disturbed by a message of the kernel.
        return None


def _read(said: Mapping[str, ty.Any], disk: str) -> Event | None:
    match said['event']:
        case 'begin':
            return _begin(int(said['operation']), said['name'], said['kind'])
        case 'end':
            number = int(said['operation'])
            return End(number, said['name'], Result(said['result']),
                       _value(said['seen']),
                       _begin(number + 1, said['next'], said['next_kind']))
        case 'history' if said['disk'] == disk:
            return Observation(
                int(said['operation']), said['boot_id'],
                {name: _value(word) for name, word in said['seen'].items()})
        case 'boot' if said['disk'] == disk:
            return Facts(said['boot_id'], {
                'ArmvmProbe': said['probe'], 'BootOrder': said['order'],
                **said['options']})
    return None
