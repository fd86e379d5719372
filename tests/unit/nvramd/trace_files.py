# SPDX-License-Identifier: Apache-2.0
"""Reads recorded traces of what real firmware wrote to its flash.

The format is told where it is written, in tools/flash_trace/trace_format.py.
"""
from collections.abc import Iterator
import dataclasses
import json
import lzma
import pathlib
import typing as ty
import uuid

from nova_armvm.uefi import varstore

DIRECTORY = pathlib.Path(__file__).with_name('traces')
REGION = varstore.READ_SIZE
_BLOCK = 256 * 1024
_FORMAT = 1
_WRITE, _MARK = b'WM'


@dataclasses.dataclass(frozen=True)
class Write:
    """A write of QEMU's.

    :ivar content: all bytes of it, those that change nothing as well.
    """

    offset: int
    content: bytes


@dataclasses.dataclass(frozen=True)
class Value:
    """What a variable is set to.

    :ivar digest: the first 16 digits of the content's SHA-256.
    """

    attributes: int
    length: int
    digest: str


@dataclasses.dataclass(frozen=True)
class Begin:
    """The guest begins to change a variable.

    :ivar value: None if it is deleted.
    """

    sequence: int
    key: varstore.VariableKey
    value: Value | None


@dataclasses.dataclass(frozen=True)
class End:
    """The guest was told how its change ended.

    :ivar result: an errno of Linux, 0 for success.
    """

    sequence: int
    result: int


@dataclasses.dataclass(frozen=True)
class PowerOn:
    """QEMU starts.

    :ivar region: the flash as it is given to it.
    """

    region: bytes


@dataclasses.dataclass(frozen=True)
class Reset:
    """The guest resets the machine."""


@dataclasses.dataclass(frozen=True)
class Up:
    """The guest's operating system runs."""


Event: ty.TypeAlias = Write | Begin | End | PowerOn | Reset | Up


class Trace:
    """A trace in memory."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read it.

        :raises ValueError: if it has another format.
        """
        self._packed = lzma.decompress(path.read_bytes())
        self._at = self._packed.index(b'\n') + 1
        head = json.loads(self._packed[:self._at])
        if head['format'] != _FORMAT:
            raise ValueError(f'{path} has format {head["format"]}')
        self.name = path.name.partition('.trace')[0]
        self._region = bytearray(REGION)
        self._change(0)

    def events(self) -> Iterator[Event]:
        """Yield what happened, in its order. Can be called once."""
        while self._at < len(self._packed):
            kind = self._packed[self._at]
            self._at += 1
            if kind == _WRITE:
                offset, length = self._number(), self._number()
                self._change(offset)
                yield Write(offset,
                            bytes(self._region[offset:offset + length]))
            elif kind == _MARK:
                yield self._mark()
            else:
                raise ValueError(f'an event of kind {kind}')

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._packed[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _take(self, length: int) -> bytes:
        self._at += length
        return self._packed[self._at - length:self._at]

    def _change(self, offset: int) -> None:
        for _run in range(self._number()):
            offset += self._number()
            length, same = divmod(self._number(), 2)
            content = self._take(1) * length if same else self._take(length)
            self._region[offset:offset + length] = content
            offset += length

    def _mark(self) -> Event:
        kind, *words = json.loads(self._take(self._number()))
        if kind == 'begin':
            sequence, _verb, name, guid, *value = words
            return Begin(sequence, varstore.VariableKey(uuid.UUID(guid), name),
                         Value(*value) if value else None)
        if kind == 'end':
            return End(*words)
        if kind == 'power-on':
            # What never was formatted is given out as it is.
            if any(self._region[:_BLOCK]):
                self._region[_BLOCK:] = b'\xff' * (REGION - _BLOCK)
            return PowerOn(bytes(self._region))
        return {'reset': Reset, 'up': Up}[kind]()


def paths() -> list[pathlib.Path]:
    """Return every trace that there is."""
    return sorted(DIRECTORY.glob('*.trace.xz'))
