# SPDX-License-Identifier: Apache-2.0
"""The entries of a FAT directory, with long names (fatgen103)."""
from collections.abc import Iterator
import dataclasses
import struct

_ENTRY = struct.Struct('<11sBBxHHHHHHHI')
_SIZE = 32
_LONG_NAME, _VOLUME, _DIRECTORY = 0x0f, 0x08, 0x10
_FREE, _END = 0xe5, 0x00
_LAST_PIECE = 0x40
_CHARACTERS = 13
_MAX_PIECES = 20


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file or directory.

    :ivar names: its long and its short name, case folded.
    :ivar size: in bytes, 0 for a directory.
    """

    names: frozenset[str]
    is_directory: bool
    first_cluster: int
    size: int


class _LongName:
    """Collects the pieces of a name, which stand in front, last one first."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._checksum = self._expected = 0

    def add(self, raw: bytes) -> None:
        number = raw[0] & ~_LAST_PIECE
        if raw[0] & _LAST_PIECE:
            self._pieces = []
            self._checksum = raw[13]
        elif number != self._expected or raw[13] != self._checksum:
            number = 0
        if not 1 <= number <= _MAX_PIECES:
            self.forget()
            return
        self._pieces.insert(0, raw[1:11] + raw[14:26] + raw[28:32])
        self._expected = number - 1

    def forget(self) -> None:
        self._pieces, self._expected = [], 0

    def of(self, short: bytes) -> str | None:
        """Return the name if it is whole and belongs to a short one."""
        whole = (self._pieces and not self._expected and
                 self._checksum == _checksum(short))
        raw = b''.join(self._pieces) if whole else b''
        self.forget()
        text = raw.decode('utf-16-le', 'replace')
        return text.split('\0')[0] or None


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xff
    return total


def _short_name(raw: bytes) -> str:
    # What is not ASCII differs from code page to code page.
    base = raw[:8].decode('ascii', 'replace').rstrip(' ')
    extension = raw[8:].decode('ascii', 'replace').rstrip(' ')
    return f'{base}.{extension}' if extension else base


def entries(pieces: Iterator[bytes]) -> Iterator[Entry]:
    """Go through a directory, up to its end.

    :param pieces: its content, each a multiple of 32 bytes.
    """
    long_name = _LongName()
    for piece in pieces:
        for place in range(0, len(piece), _SIZE):
            raw = piece[place:place + _SIZE]
            if raw[0] == _END:
                return
            entry = _entry(raw, long_name)
            if entry is not None:
                yield entry


def _entry(raw: bytes, long_name: _LongName) -> Entry | None:
    short, attributes, _, _, _, _, high, _, _, low, size = _ENTRY.unpack(raw)
    if raw[0] == _FREE:
        long_name.forget()
        return None
    if attributes & 0x3f == _LONG_NAME:
        long_name.add(raw)
        return None
    name = long_name.of(short)
    if attributes & _VOLUME:
        return None
    names = {_short_name(short)} | ({name} if name else set())
    return Entry(frozenset(each.casefold() for each in names),
                 bool(attributes & _DIRECTORY), high << 16 | low, size)
