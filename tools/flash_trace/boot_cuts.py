# SPDX-License-Identifier: Apache-2.0
"""Boots real firmware from what is left when a trace is cut off.

For some writes of a trace, evenly spread: the store that was committed last
when it was written is given to the firmware, and what the guest sees is
compared with what it was told is written.
"""
import argparse
import dataclasses
import pathlib
import sys

from nova_armvm.nvramd import whole
from nova_armvm.uefi import varstore
from tests.unit.nvramd import replay
from tests.unit.nvramd import trace_files
from tools.flash_trace import commands
from tools.flash_trace import disk
from tools.flash_trace import machine
from tools.flash_trace import record
from tools.flash_trace import seen


@dataclasses.dataclass(frozen=True)
class Cut:
    """A trace that ends early.

    :ivar write: the last one that was made.
    :ivar state: of the flash then.
    :ivar canonical: the store that was committed last.
    :ivar acknowledged: what the guest was told, None for what it deleted.
    :ivar under_way: what it was not told the end of.
    """

    write: int
    state: str
    canonical: bytes
    acknowledged: dict[varstore.VariableKey, trace_files.Value | None]
    under_way: trace_files.Begin | None


def cuts_of(path: pathlib.Path, count: int) -> list[Cut]:
    """Cut a trace at so many of its writes, evenly spread."""
    events = trace_files.Trace(path).events()
    writes = sum(isinstance(event, trace_files.Write) for event in events)
    chosen = {(2 * number + 1) * writes // (2 * count)
              for number in range(count)}
    cuts: list[Cut] = []

    def cut(running: replay.Replay) -> None:
        if running.writes in chosen:
            cuts.append(Cut(running.writes, running.judge.state,
                            running.canonical, dict(running.acknowledged),
                            running.under_way))

    replay.Replay(trace_files.Trace(path), whole.Flash,
                  after_write=cut).run()
    return cuts


def flash_of(canonical: bytes) -> bytearray:
    """Return the flash that QEMU is started with."""
    return bytearray(
        whole.region_of(canonical).ljust(machine.FLASH_SIZE, b'\0'))


def differences(cut: Cut, found: seen.Contents) -> list[str]:
    """Return what a guest that was started from a cut misses.

    What it sees is to be what was committed, and that what it was told.
    """
    stored = whole.variables_of(cut.canonical).variables
    committed = replay.variables_in(whole.region_of(cut.canonical))
    wrong = []
    for key, value in cut.acknowledged.items():
        allowed = {value}
        if cut.under_way is not None and cut.under_way.key == key:
            allowed.add(cut.under_way.value)
        expected = stored.get(key) and seen.content_of(
            stored[key].attributes, stored[key].content)
        if committed.get(key) not in allowed or found.get(key) != expected:
            wrong.append(key.name)
    return wrong


def gone(canonical: bytes, found: seen.Contents) -> list[str]:
    """Return the committed variables that the firmware deleted itself.

    Those that operating systems cannot see are left out.
    """
    return sorted(
        key.name for key, variable
        in whole.variables_of(canonical).variables.items()
        if variable.attributes & 4 and key not in found)


def boot(cut: Cut, code: pathlib.Path, guest: pathlib.Path) -> str:
    """Boot from a cut and return what came of it; begins with "lost" or not.

    :param code: the firmware's program.
    """
    with machine.Machine(record.WORK, code, guest,
                         flash_of(cut.canonical)) as running:
        running.wait_for_guest()
        found = seen.by_guest(running)
    wrong = differences(cut, found)
    if wrong:
        return f'lost: {", ".join(wrong)}'
    present = sum(value is not None for value in cut.acknowledged.values())
    dropped = ', '.join(gone(cut.canonical, found)) or 'none'
    return (f'all {present} acknowledged are there; deleted by the firmware '
            f'at this start: {dropped}')


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='tools.flash_trace.boot_cuts',
        description='Boot firmware from the last commit before some writes.')
    parser.add_argument('--firmware', type=pathlib.Path, required=True,
                        help='directory of AAVMF_CODE.fd')
    parser.add_argument('--count', type=int, default=15,
                        help='how many writes (default: %(default)s)')
    parser.add_argument('trace', nargs='+', type=pathlib.Path)
    arguments = parser.parse_args(words)
    record.WORK.mkdir(parents=True, exist_ok=True)
    failed = 0
    try:
        guest = disk.build(record.WORK)
        for path in arguments.trace:
            for cut in cuts_of(path, arguments.count):
                text = boot(cut, arguments.firmware / 'AAVMF_CODE.fd', guest)
                failed += text.startswith('lost')
                print(f'{path.name.partition(".trace")[0]}, write '
                      f'{cut.write} ({cut.state}): {text}', flush=True)
    except commands.TraceError as error:
        print(error, file=sys.stderr)
        return 1
    print(f'{failed} cuts with losses')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
