# SPDX-License-Identifier: Apache-2.0
"""Volumes in memory that tear, delay and interleave what is written."""
from collections.abc import Callable, Iterable
import threading

from nova_armvm.nvramd import slots

SECTOR = 512


class PowerCut(Exception):
    """The host ends here."""


class Memory:
    """A volume of exactly what a log may use.

    :ivar writes: place and content of each write.
    """

    def __init__(self, content: bytes = bytes(slots.LOG_BYTES)) -> None:
        self.content = bytearray(content)
        self.writes: list[tuple[int, bytes]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        if not 0 <= offset <= offset + length <= slots.LOG_BYTES:
            raise AssertionError(f'{length} bytes read from {offset}')
        return bytes(self.content[offset:offset + length])

    def write_at(self, offset: int, content: bytes) -> None:
        self.land(offset, content)
        self.writes.append((offset, content))

    def land(self, offset: int, content: bytes) -> None:
        """Have a write reach the volume."""
        if offset % slots.BLOCK or len(content) % slots.BLOCK or (
                offset + len(content) > slots.LOG_BYTES):
            raise AssertionError(f'{len(content)} bytes written to {offset}')
        self.content[offset:offset + len(content)] = content


class Torn(Memory):
    """A volume that dies in one write, of which some sectors arrive."""

    def __init__(self, content: bytes, number: int,
                 arrive: Callable[[int], Iterable[int]]) -> None:
        """Use a copy of a volume.

        :param number: of the write that is torn, from 0.
        :param arrive: returns the sectors that do, of so many.
        """
        super().__init__(content)
        self._left, self._arrive = number, arrive

    def write_at(self, offset: int, content: bytes) -> None:
        self._left -= 1
        if self._left >= 0:
            super().write_at(offset, content)
            return
        for number in self._arrive(len(content) // SECTOR):
            start = number * SECTOR
            self.content[offset + start:offset + start + SECTOR] = (
                content[start:start + SECTOR])
        raise PowerCut


class Held(Memory):
    """A view of a volume whose writes fail, and arrive when they are let."""

    def __init__(self, volume: Memory) -> None:
        super().__init__(b'')
        self._volume, self.content = volume, volume.content

    def write_at(self, offset: int, content: bytes) -> None:
        self.writes.append((offset, content))
        raise OSError('timed out')

    def let(self) -> None:
        for offset, content in self.writes:
            self._volume.land(offset, content)
        self.writes.clear()


class Stepped:
    """A view of a volume each operation of which waits for its turn."""

    def __init__(self, volume: Memory) -> None:
        self._volume = volume
        self._turn, self._waits = threading.Semaphore(0), threading.Event()
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.done = False

    def start(self, action: Callable[[], None]) -> None:
        """Begin an action, up to its first operation."""
        def run() -> None:
            try:
                action()
            except BaseException as error:
                self.error = error
            self.done = True
            self._waits.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._waits.wait()

    def step(self) -> None:
        """Do one operation, and go on to the next."""
        if self.done:
            return
        self._waits.clear()
        self._turn.release()
        self._waits.wait()
        if self.done:
            self._thread.join()

    def finish(self) -> None:
        while not self.done:
            self.step()

    def _wait(self) -> None:
        self._waits.set()
        self._turn.acquire()

    def read_at(self, offset: int, length: int) -> bytes:
        self._wait()
        return self._volume.read_at(offset, length)

    def write_at(self, offset: int, content: bytes) -> None:
        self._wait()
        self._volume.write_at(offset, content)
