# SPDX-License-Identifier: Apache-2.0
"""The demo's table: step, what was expected, what was seen, seconds."""
from collections.abc import Callable
import dataclasses
import textwrap
import threading
import time

from tools.sandbox import process
from tools.sandbox import progress

_WIDTHS = (34, 44, 52)


@dataclasses.dataclass(frozen=True)
class Row:
    """A step and how it went."""

    story: str
    step: str
    expected: str
    seen: str
    seconds: float
    held: bool


class Table:
    """Collects the rows of several stories that run side by side."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._lock = threading.Lock()

    def check(self, story: str, step: str, expected: str,
              work: Callable[[], tuple[str, bool]]) -> None:
        """Do a step and keep what was seen.

        :param work: returns what was seen and whether it is as expected.
        :raises SandboxError: the step could not be done; noted as well.
        """
        begun = time.monotonic()
        try:
            seen, held = work()
        except process.SandboxError as error:
            self._add(Row(story, step, expected, _short(error),
                          time.monotonic() - begun, False))
            raise
        self._add(Row(story, step, expected, seen,
                      time.monotonic() - begun, held))

    def fail(self, story: str, reason: str) -> None:
        """Keep that something outside the steps went wrong."""
        self._add(Row(story, 'as a whole', 'no error', _short(reason), 0,
                      False))

    def _add(self, row: Row) -> None:
        with self._lock:
            self.rows.append(row)
        mark = 'ok  ' if row.held else 'FAIL'
        progress.say(f'{mark} {row.story}: {row.step} ({row.seconds:.1f}s): '
                     f'{row.seen}')

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
                        f'{row.seconds:7.1f}', 'ok' if row.held else 'FAIL')

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
