# SPDX-License-Identifier: Apache-2.0
"""Writes traces; tests/unit/nvramd/trace_files.py reads them.

A trace is compressed with xz. It begins with a line of JSON: the version of
the format, the firmware, the workload. Then the region as it was at the
beginning follows, as changes to zeros, and then the events:

    'W' OFFSET LENGTH CHANGES   a write, of which the bytes that changed
    'M' LENGTH JSON             what the guest does now, a list

CHANGES is the number of runs, and for each run the bytes that are passed
over since the end of the one before, twice its length, plus one if the run
is of one byte which is given once, and the bytes. Numbers have 7 bits in a
byte, the lowest first, bit 7 says that there are more.

Marks:

    ["power-on"]            QEMU starts; working and spare area are erased,
                            as the flash service gives them out
    ["reset"]               the guest resets the machine
    ["up"]                  its operating system runs
    ["begin", SEQUENCE, "set", NAME, GUID, ATTRIBUTES, LENGTH, SHA256]
    ["begin", SEQUENCE, "delete", NAME, GUID]
    ["end", SEQUENCE, ERRNO]   of what was begun last; 0 for success

The SHA256 is of what the variable holds afterwards, its first 16 digits.
"""
from collections.abc import Iterator
import json
import lzma
import pathlib

FORMAT = 1
REGION = 3 * 256 * 1024
_CHUNK = 64
#: Equal bytes between two changes that are written again instead of being
#: passed over.
_BRIDGE = 3


def number(value: int) -> bytes:
    """Return a number of 7 bits in a byte."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes(parts) + bytes((value,))


def _differences(old: bytes, new: bytes) -> Iterator[int]:
    for start in range(0, len(new), _CHUNK):
        before, after = old[start:start + _CHUNK], new[start:start + _CHUNK]
        if before != after:
            for at in range(len(after)):
                if before[at] != after[at]:
                    yield start + at


def _runs(old: bytes, new: bytes) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for at in _differences(old, new):
        if runs and at - runs[-1][1] <= _BRIDGE:
            runs[-1] = runs[-1][0], at + 1
        else:
            runs.append((at, at + 1))
    return runs


def changes(old: bytes, new: bytes) -> bytes:
    """Return what turns some bytes into as many others."""
    # A block that is erased is one run, whatever it held.
    whole = len(new) > _CHUNK and new == new[:1] * len(new) and old != new
    runs = [(0, len(new))] if whole else _runs(old, new)
    parts, end = [number(len(runs))], 0
    for start, stop in runs:
        content = new[start:stop]
        fill = len(content) > 2 and content == content[:1] * len(content)
        parts += (number(start - end), number(2 * len(content) + fill),
                  content[:1] if fill else content)
        end = stop
    return b''.join(parts)


class Writer:
    """A trace that is being recorded."""

    def __init__(self, firmware: str, workload: str, initial: bytes) -> None:
        """Begin it.

        :param initial: the region of the flash.
        """
        head = {'format': FORMAT, 'firmware': firmware, 'workload': workload}
        self._parts = [json.dumps(head).encode() + b'\n',
                       changes(bytes(len(initial)), initial)]
        self.writes = self.erases = self.operations = 0

    def write(self, offset: int, old: bytes, new: bytes) -> None:
        """Add a write.

        :param old: what was there before.
        """
        if offset + len(new) > REGION:
            raise ValueError(f'a write at {offset} beyond the region')
        self.writes += 1
        self.erases += len(new) > 4096
        self._parts += (b'W', number(offset), number(len(new)),
                        changes(old, new))

    def mark(self, *words: object) -> None:
        """Add what the guest does now."""
        self.operations += words[0] == 'begin'
        text = json.dumps(words, separators=(',', ':')).encode()
        self._parts += (b'M', number(len(text)), text)

    def save(self, path: pathlib.Path) -> int:
        """Write the file and return its size in bytes."""
        packed = lzma.compress(b''.join(self._parts),
                               preset=9 | lzma.PRESET_EXTREME)
        path.write_bytes(packed)
        return len(packed)
