# SPDX-License-Identifier: Apache-2.0
"""The demo's table: step, what was expected, what was seen, seconds."""
from collections.abc import Callable
import dataclasses
import enum
import textwrap
import threading
import time

from tools.sandbox import process
from tools.sandbox import progress

_WIDTHS = (34, 44, 52)


class Mark(enum.Enum):
    """How a step went."""

    OK = 'ok'
    FAILED = 'FAIL'
    #: A time that is longer than it should be. Other users of the machine
    #: can do that, so it is shown, but does not fail the demo.
    OVER = 'OVER'


@dataclasses.dataclass(frozen=True)
class Row:
    """A step and how it went."""

    story: str
    step: str
    expected: str
    seen: str
    seconds: float
    mark: Mark


class Table:
    """Collects the rows of several stories that run side by side."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._lock = threading.Lock()

    def check(self, story: str, step: str, expected: str,
              work: Callable[[], tuple[str, bool]],
              otherwise: Mark = Mark.FAILED) -> None:
        """Do a step and keep what was seen.

        :param work: returns what was seen and whether it is as expected.
        :param otherwise: how to mark it when it is not.
        :raises SandboxError: the step could not be done; noted as well.
        """
        begun = time.monotonic()
        try:
            seen, held = work()
        except process.SandboxError as error:
            self._add(Row(story, step, expected, _short(error),
                          time.monotonic() - begun, Mark.FAILED))
            raise
        self._add(Row(story, step, expected, seen, time.monotonic() - begun,
                      Mark.OK if held else otherwise))

    def fail(self, story: str, reason: str) -> None:
        """Keep that something outside the steps went wrong."""
        self._add(Row(story, 'as a whole', 'no error', _short(reason), 0,
                      Mark.FAILED))

    def count(self, mark: Mark) -> int:
        """Return how many steps went that way."""
        return sum(row.mark is mark for row in self.rows)

    def _add(self, row: Row) -> None:
        with self._lock:
            self.rows.append(row)
        progress.say(f'{row.mark.value:4} {row.story}: {row.step} '
                     f'({row.seconds:.1f}s): {row.seen}')

    def print(self) -> None:
        """Print all rows, story by story."""
        heads = ('step', 'expected', 'seen')
        line = '+'.join('-' * (width + 2) for width in _WIDTHS)
        for story in dict.fromkeys(row.story for row in self.rows):
            print(f'\n{story}')
            self._print_cells(heads, 'seconds', '')
            print(f'{line}+---------+------')
            for row in self.rows:
                if row.story == story:
                    self._print_cells(
                        (row.step, row.expected, row.seen),
                        f'{row.seconds:7.1f}', row.mark.value)

    @staticmethod
    def _print_cells(cells: tuple[str, str, str], seconds: str,
                     mark: str) -> None:
        columns = [textwrap.wrap(cell, width) or ['']
                   for cell, width in zip(cells, _WIDTHS)]
        for number in range(max(map(len, columns))):
            texts = [(column[number] if number < len(column) else '').ljust(
                width) for column, width in zip(columns, _WIDTHS)]
            tail = (seconds, mark) if number == 0 else ('', '')
            print(f' {" | ".join(texts)} | {tail[0]:7} | {tail[1]}')


def _short(error: object) -> str:
    """Cut an error down to a table's cell, fit for a terminal."""
    text = f'error: {error}'
    return ''.join(char if char.isprintable() else ' '
                   for char in text[:240])
