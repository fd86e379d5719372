# SPDX-License-Identifier: Apache-2.0
"""The matrix of operations and faults. Runs in the venv."""
import argparse
from collections.abc import Iterable, Sequence
from concurrent import futures
import sys
import textwrap

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import commands
from tools.sandbox import config
from tools.sandbox.faults import breaking
from tools.sandbox.faults import operations
from tools.sandbox.faults import rounds
from tools.sandbox.faults import steps
from tools.sandbox.faults import subject as subjects
from tools.sandbox.history import following
from tools.sandbox.history import writer
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import ready


class Matrix:
    """Does the rounds and keeps their cells."""

    def __init__(self, names: Iterable[str], at_most: int, only_at: str,
                 listener: following.Listener) -> None:
        """Prepare.

        :param names: of operations.
        :param at_most: how many steps of each operation are tried, spread
            evenly; 0 for all.
        :param only_at: name of the one step that is tried; empty for all.
        :param listener: hears what the guests write all the time.
        """
        self._operator = admin.Operator()
        self._subjects = {name: subjects.Subject(
            name, busy=writer.Writer(listener, number))
            for number, name in enumerate(names, 1)}
        self._at_most = at_most
        self._only_at = only_at
        self.cells: list[rounds.Cell] = []
        self._places: dict[str, list[rounds.Place]] = {}

    def run(self, faults: Sequence[str]) -> None:
        """Try every fault, first without, which tells the steps."""
        together = [name for name in self._subjects
                    if name not in operations.ALONE]
        alone = [[name] for name in self._subjects
                 if name in operations.ALONE]
        for names in filter(None, (together, *alone)):
            self._round('none', {name: None for name in names})
            for fault in faults:
                self._all_steps(fault, names)
            self._end(names)

    def _all_steps(self, fault: str, names: Sequence[str]) -> None:
        wanted = {name: steps.spread(
            [place for place in self._places[name]
             if self._only_at in ('', place.name)], self._at_most)
            for name in names}
        for number in range(max(map(len, wanted.values()))):
            self._round(fault, {name: places[number] for name, places
                                in wanted.items() if number < len(places)})

    def _round(self, fault: str,
               wanted: dict[str, rounds.Place | None]) -> None:
        self._begin(wanted)
        steps.prepare()
        this = rounds.Round(fault, self._operator, {
            self._subjects[name]: place for name, place in wanted.items()})
        cells = this.run()
        self.cells += cells
        for cell in cells:
            progress.say(_line(cell))
            if fault == 'none':
                self._places[cell.operation] = this.places[
                    self._subjects[cell.operation]]
        # What Nova has left of an operation that was interrupted is not to
        # be in the way of the next.
        self._end([cell.operation for cell in cells
                   if cell.diary or cell.reason])
        commands.placement_audit()

    def _begin(self, names: Iterable[str]) -> None:
        """Give every subject a server whose guest has written."""
        def begin(name: str) -> None:
            subject = self._subjects[name]
            if name in operations.FIRST:
                subject.end()
            elif subject.server is None or subject.look() is None:
                subject.begin()
        with futures.ThreadPoolExecutor() as pool:
            list(pool.map(begin, names))

    def _end(self, names: Iterable[str]) -> None:
        with futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self._subjects[name].end(), names))


def _line(cell: rounds.Cell) -> str:
    return (f'{"FAIL" if cell.reason else "ok":4} {cell.operation}, '
            f'{cell.fault}' + (f' ({cell.place})' if cell.place else '') +
            (f': {"; ".join(cell.diary)}' if cell.diary else '') +
            (f' -> {cell.reason}' if cell.reason else '') +
            (f' [{cell.outside}; the variables are there]'
             if cell.outside and not cell.reason else ''))


def _print(cells: Sequence[rounds.Cell]) -> None:
    """Print how many steps of each operation survived each fault."""
    faults = list(dict.fromkeys(cell.fault for cell in cells))
    if not cells:
        return
    heads = [textwrap.wrap(fault, 12) for fault in faults]
    for number in range(max(map(len, heads))):
        print(' ' * 22 + ''.join(
            (head[number] if number < len(head) else '').ljust(14)
            for head in heads).rstrip())
    for operation in dict.fromkeys(cell.operation for cell in cells):
        counts = []
        for fault in faults:
            here = [cell for cell in cells
                    if (cell.operation, cell.fault) == (operation, fault)]
            good = sum(not cell.reason for cell in here)
            counts.append(f'{good} of {len(here)}' if here else '-')
        print(operation.ljust(22) + ''.join(
            count.ljust(14) for count in counts).rstrip())
    for cell in cells:
        if cell.reason or cell.outside:
            print(_line(cell))


def _names(known: Iterable[str]):
    def parse(text: str) -> list[str]:
        names = text.split(',') if text else list(known)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f'unknown: {", ".join(unknown)}. There are: '
                f'{", ".join(known)}')
        return names
    return parse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--ops', type=_names(operations.OPERATIONS),
                        default=list(operations.OPERATIONS),
                        help='operations, with commas between')
    parser.add_argument('--faults', type=_names(breaking.FAULTS),
                        default=list(breaking.FAULTS),
                        help='faults, with commas between')
    parser.add_argument('--steps', type=int, default=0,
                        help='how many steps of each operation; 0 for all')
    parser.add_argument('--at', default='', metavar='STEP',
                        help='only this step, by its name')
    parser.add_argument('--volume-type', default=config.VOLUME_TYPE,
                        choices=(config.VOLUME_TYPE,
                                 config.BLOCK_VOLUME_TYPE))
    arguments = parser.parse_args()
    progress.begin(0)
    steps.prepare()
    operator = admin.Operator()
    cloud.Tenant().clean_up()
    operator.use_only(*breaking.OURS)
    operator.use_volume_type(arguments.volume_type)
    listener = following.Listener()
    matrix = Matrix(arguments.ops, arguments.steps, arguments.at, listener)
    try:
        with listener:
            matrix.run([name for name in arguments.faults if name != 'none'])
    except process.SandboxError as error:
        print(f'ended early: {error}', file=sys.stderr)
        return 1
    finally:
        _print(matrix.cells)
        for host in breaking.OURS:
            if not hosts.ComputeHost(host).is_up():
                operator.bring_back(host)
        operator.use_volume_type(config.VOLUME_TYPE)
        ready.wait_for(operator.cloud, {host.name for host in config.HOSTS})
    bad = sum(bool(cell.reason) for cell in matrix.cells)
    print(f'{len(matrix.cells) - bad} of {len(matrix.cells)} survived')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
