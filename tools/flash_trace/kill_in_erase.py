# SPDX-License-Identifier: Apache-2.0
"""Kills QEMU while the block with all variables is erased.

Again and again, in boots and while the guest writes variables of random
sizes; the next start is from the store that was committed last, and has to
show the guest all that it was told is written.
"""
import argparse
from collections.abc import Iterator
import contextlib
import errno
import pathlib
import random
import sys
import time

from nova_armvm.uefi import varstore
from tools.flash_trace import commands
from tools.flash_trace import disk
from tools.flash_trace import keeper
from tools.flash_trace import machine
from tools.flash_trace import record
from tools.flash_trace import seen
from tools.flash_trace import service_keeper
from tools.flash_trace import workload

#: QEMU is killed in one of so many erases.
_ERASES = 25
_OPERATIONS = 10_000
_NEVER = 1_000_000


class Trial:
    """A server that is killed and started again.

    :ivar kills: how often it was.
    :ivar lost: what was missing afterwards, in words.
    """

    def __init__(self, code: pathlib.Path, guest: pathlib.Path,
                 flash: keeper.Keeper | service_keeper.ServiceKeeper,
                 seed: str) -> None:
        self._code, self._guest, self._keeper = code, guest, flash
        self._random = random.Random(seed)
        self._load = workload.Workload(seed)
        self._operations: Iterator[workload.Operation] = self._load.random(
            _OPERATIONS)
        self._acknowledged: dict[varstore.VariableKey,
                                 seen.Content | None] = {}
        self._under_way: workload.Operation | None = None
        self.kills = 0
        self.lost: list[str] = []

    def run(self) -> str:
        """Start the server, kill it, and return in what it was."""
        what = 'in a boot'
        with self._started(1 + self._random.randrange(_ERASES)) as running:
            running.wait_for_guest()
            self._compare(seen.by_guest(running))
            for operation in self._operations:
                what = 'in a write of the guest\'s'
                if self._do(running, operation) == errno.ENOSPC:
                    what = 'in a boot'
                    self._make_room(running)
            raise commands.TraceError(f'no kill in {_OPERATIONS} operations')
        return what

    def _make_room(self, running: machine.Machine) -> None:
        """Reset the guest: only at its start does firmware make room."""
        running.send('reboot', 0)
        running.wait_for_guest()
        self._compare(seen.by_guest(running))

    @contextlib.contextmanager
    def _started(self, erases: int) -> Iterator[machine.Machine]:
        """Run the server until it is killed, or for as long as is wanted.

        :param erases: in which erase it is killed.
        """
        flash = self._keeper.start(erases)
        try:
            with machine.Machine(record.WORK, self._code, self._guest, flash,
                                 self._keeper.written,
                                 self._keeper.source) as running:
                self._keeper.watch(running.process)
                yield running
        except (keeper.Erased, machine.Ended):
            if not self._keeper.has_killed:
                raise
            self.kills += self._keeper.is_open
        finally:
            self._keeper.stop()

    def check(self) -> None:
        """Start the server once more, and look at its variables."""
        with self._started(_NEVER) as running:
            running.wait_for_guest()
            self._compare(seen.by_guest(running))

    def _do(self, running: machine.Machine,
            operation: workload.Operation) -> int:
        """Have the guest do something; return its errno."""
        self._under_way = operation
        result = running.ask(*operation.command)
        self._under_way = None
        self._load.done(operation, result)
        if result == 0:
            self._acknowledged[operation.key] = _content(operation)
        return result

    def _compare(self, found: seen.Contents) -> None:
        """Compare what the guest sees with what it was told."""
        operation, self._under_way = self._under_way, None
        for key, content in self._acknowledged.items():
            allowed = [content]
            if operation is not None and operation.key == key:
                allowed.append(_content(operation))
            if found.get(key) not in allowed:
                self.lost.append(f'{key.name}: {found.get(key)}, not '
                                 f'{" or ".join(map(str, allowed))}')
        if operation is not None:
            # From now on it is what it is.
            self._acknowledged[operation.key] = found.get(operation.key)


def _content(operation: workload.Operation) -> seen.Content | None:
    if operation.length is None:
        return None
    return seen.content_of(workload.ATTRIBUTES, workload.pattern(
        operation.sequence, operation.length))


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools.flash_trace.kill_in_erase',
        description='Kill QEMU while its variables are erased.')
    parser.add_argument('--firmware', type=pathlib.Path, required=True,
                        help='directory of AAVMF_CODE.fd')
    parser.add_argument('--count', type=int, default=12,
                        help='how often (default: %(default)s)')
    parser.add_argument('--seed', default=str(time.time_ns()))
    parser.add_argument('--service', type=pathlib.Path, metavar='DIRECTORY',
                        help='of a running flash service that is to serve '
                             'the flash (default: its judgement alone)')
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    arguments = _arguments(words)
    record.WORK.mkdir(parents=True, exist_ok=True)
    flash = (service_keeper.ServiceKeeper(arguments.service,
                                          record.WORK / 'volume')
             if arguments.service else keeper.Keeper())
    trial = Trial(arguments.firmware / 'AAVMF_CODE.fd',
                  disk.build(record.WORK), flash, arguments.seed)
    try:
        while trial.kills < arguments.count:
            what = trial.run()
            print(f'kill {trial.kills}, {what}; lost up to now: '
                  f'{len(trial.lost)}', *trial.lost, flush=True)
        # What has the last one left?
        trial.check()
    except commands.TraceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        flash.close()
    print(f'{trial.kills} kills, {len(trial.lost)} variables lost')
    return 1 if trial.lost else 0


if __name__ == '__main__':
    sys.exit(main())
