# SPDX-License-Identifier: Apache-2.0
"""Reads consoles while guests move, so that no line of theirs is missed.

A console's file begins anew with each start of QEMU, is put aside when it is
long, and goes away with the directory of a server that has moved.
"""
from collections.abc import Callable, Iterator, Sequence
import contextlib
import os
import pathlib
import threading
import time

from tools.sandbox.guest import console
from tools.sandbox.history import checker
from tools.sandbox.history import events

_PAUSE_SECONDS = 0.05
_PIECE = 1 << 20
#: So much of what was read before is compared, to know a file that began
#: anew and is long already.
_REMEMBERED = 64


class Follower:
    """Reads one console's file, whatever happens to it."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._offset = 0
        self._before = b''
        self._rest = b''

    def lines(self) -> Iterator[bytes]:
        """Return the lines that are new since the last call."""
        if self._handle is None:
            self._open()
        if self._handle is None:
            return
        yield from self._read()
        if self._is_replaced():
            # What came between the reading and the look at it.
            yield from self._read()
            self.close()
            self._open()

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._handle = os.open(self._path, os.O_RDONLY)
        self._begin()

    def _begin(self) -> None:
        self._offset, self._before, self._rest = 0, b'', b''

    def _read(self) -> Iterator[bytes]:
        if self._began_anew():
            self._begin()
        while piece := os.pread(self._handle, _PIECE, self._offset):
            self._offset += len(piece)
            self._before = (self._before + piece)[-_REMEMBERED:]
            *whole, self._rest = (self._rest + piece).split(b'\n')
            yield from whole

    def _began_anew(self) -> bool:
        known = len(self._before)
        return os.pread(self._handle, known,
                        self._offset - known) != self._before

    def _is_replaced(self) -> bool:
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            # It may come back under this name, as when a resize is reverted.
            return False
        mine = os.fstat(self._handle)
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)


class Guest:
    """What a guest has said, on whatever hosts."""

    def __init__(self, paths: Sequence[pathlib.Path], disk: str,
                 first: int = 0) -> None:
        """Follow consoles.

        :param paths: of the guest's console on each host that it may be on.
        :param disk: of its system.
        :param first: operations before it do not count.
        """
        self._followers = [Follower(path) for path in paths]
        self._disk = disk
        self._first = first
        self._lock = threading.Lock()
        self._history = checker.History()
        #: When it last said that an operation has ended.
        self._alive = 0.0

    def listen(self) -> None:
        """Take up what is new."""
        for follower in self._followers:
            for line in follower.lines():
                said = console.parse(line)
                event = said and events.read(said, self._disk)
                if event:
                    self._add(event)

    def _add(self, event: events.Event) -> None:
        if not isinstance(event, events.Facts) and (
                event.operation < self._first):
            return
        with self._lock:
            if self._history.add(event) and isinstance(event, events.End):
                self._alive = time.monotonic()

    def has_written_since(self, moment: float) -> bool:
        """Return whether it has ended an operation after a moment.

        :param moment: of time.monotonic().
        """
        with self._lock:
            return self._alive > moment

    def ask(self, question: Callable[[checker.History], object]):
        """Return what a question to the history returns."""
        with self._lock:
            return question(self._history)

    def close(self) -> None:
        for follower in self._followers:
            follower.close()


class Listener:
    """A thread that listens to many guests."""

    def __init__(self) -> None:
        self._guests: list[Guest] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> 'Listener':
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()
        for guest in self._guests:
            guest.close()

    def add(self, guest: Guest) -> None:
        with self._lock:
            self._guests.append(guest)

    def remove(self, guest: Guest) -> None:
        with self._lock:
            self._guests.remove(guest)
            guest.close()

    def require(self) -> None:
        """Make sure that nothing is missed.

        :raises BaseException: what has ended the listening.
        """
        if self.error is not None:
            raise self.error

    def _listen(self) -> None:
        try:
            while not self._done.wait(_PAUSE_SECONDS):
                with self._lock:
                    for guest in self._guests:
                        guest.listen()
        except BaseException as error:
            # Told by require(): a history with gaps proves nothing.
            self.error = error
            raise
