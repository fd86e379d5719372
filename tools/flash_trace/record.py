# SPDX-License-Identifier: Apache-2.0
"""Records traces: boots real firmware and has its guest write variables."""
import argparse
from collections.abc import Iterable
import contextlib
import pathlib
import sys
import time

from tools.flash_trace import commands
from tools.flash_trace import disk
from tools.flash_trace import keys
from tools.flash_trace import machine
from tools.flash_trace import trace_format
from tools.flash_trace import workload

WORK = pathlib.Path('/var/tmp/armvm-flash-trace')
TRACES = (pathlib.Path(__file__).parents[2] /
          'tests' / 'unit' / 'nvramd' / 'traces')
_BLOCK = 256 * 1024
#: After the last write of a boot that ends nowhere.
_IDLE_SECONDS = 20


class Recorder:
    """A flash, the trace of it, and the machine that writes to it."""

    def __init__(self, code: pathlib.Path, guest: pathlib.Path,
                 flash: bytes, trace: trace_format.Writer) -> None:
        self._code, self._guest = code, guest
        self._flash = bytearray(flash)
        self._trace = trace
        self._machine: machine.Machine
        self._written_at = 0.0

    def _written(self, offset: int, content: bytes) -> None:
        self._written_at = time.monotonic()
        self._trace.write(
            offset, bytes(self._flash[offset:offset + len(content)]), content)

    @contextlib.contextmanager
    def powered(self) -> Iterable[None]:
        """Run a machine that is cut off at the end.

        Its working and spare areas are erased, unless nothing was ever
        written to the flash.
        """
        self._trace.mark('power-on')
        if any(self._flash[:_BLOCK]):
            self._flash[_BLOCK:3 * _BLOCK] = b'\xff' * 2 * _BLOCK
        with machine.Machine(WORK, self._code, self._guest, self._flash,
                             self._written) as running:
            self._machine = running
            yield

    def up(self) -> None:
        """Wait for the guest."""
        self._machine.wait_for_guest()
        self._trace.mark('up')

    def idle(self) -> None:
        """Wait until firmware writes nothing any more."""
        started = time.monotonic()
        self._machine.wait(
            lambda: time.monotonic() - max(started, self._written_at) >
            _IDLE_SECONDS, 300, 'the end of writes')

    def reset(self) -> None:
        """Have the guest reset the machine, and wait for it."""
        self._trace.mark('reset')
        self._machine.send('reboot', 0)
        self.up()

    def do(self, load: workload.Workload,
           operations: Iterable[workload.Operation]) -> None:
        """Have the guest do operations."""
        for operation in operations:
            self._trace.mark(*operation.mark)
            result = self._machine.ask(*operation.command)
            self._trace.mark('end', operation.sequence, result)
            load.done(operation, result)


def first_boot(recorder: Recorder, _load: workload.Workload) -> None:
    """A flash that was never used, and one reset."""
    with recorder.powered():
        recorder.up()
        recorder.reset()


def random(recorder: Recorder, load: workload.Workload) -> None:
    """Variables of 1 to 2000 bytes, with resets and power cuts."""
    with recorder.powered():
        recorder.up()
        recorder.do(load, load.random(100))
        recorder.reset()
        recorder.do(load, load.random(100))
    with recorder.powered():
        recorder.up()
        recorder.do(load, load.random(80))
        recorder.reset()


def reclaim(recorder: Recorder, load: workload.Workload) -> None:
    """Variables of 7 to 8 KiB; each boot begins with a store that is full.

    Linux's firmware services do not make room, the next boot does.
    """
    with recorder.powered():
        recorder.up()
        recorder.do(load, load.random(20))
        recorder.do(load, load.fill(30, workload.LARGEST))
        recorder.reset()
        recorder.do(load, load.fill(30, workload.LARGEST))
    with recorder.powered():
        recorder.up()
        recorder.do(load, load.fill(6, workload.LARGEST))
        recorder.reset()
        recorder.do(load, load.random(20))


def full(recorder: Recorder, load: workload.Workload) -> None:
    """A store to which nothing can be added, deletions from it."""
    with recorder.powered():
        recorder.up()
        recorder.do(load, load.full(8))
        recorder.reset()
        recorder.do(load, load.random(30, 200))
        recorder.do(load, load.full(2))
        recorder.reset()


def _enroll(signer: keys.Signer) -> Iterable[workload.Operation]:
    """Yield what ends setup mode, and what is possible only then."""
    database = signer.certificate('db')
    yield signer.set('db', keys.IMAGE_SECURITY, database, 'KEK')
    yield signer.set('KEK', keys.GLOBAL, signer.certificate('KEK'), 'PK')
    yield signer.set('PK', keys.GLOBAL, signer.certificate('PK'), 'PK')
    for number in range(6):
        added = keys.hash_list(number)
        yield signer.set('db', keys.IMAGE_SECURITY, added, 'KEK', database)
        database += added


def secure_boot(recorder: Recorder, load: workload.Workload) -> None:
    """Keys enrolled, taken back, enrolled again; authenticated variables.

    Last, a boot of firmware that starts no disk of ours any more.
    """
    signer = keys.Signer(WORK, load)
    with recorder.powered():
        recorder.up()
        recorder.do(load, _enroll(signer))
        for number in range(8):
            content = workload.pattern(number, 200 * number)
            recorder.do(load, (signer.set('ArmvmSigned', workload.GUIDS[0],
                                          content or b'0', 'db'),))
        recorder.do(load, load.random(30))
        recorder.do(load, (signer.set('PK', keys.GLOBAL, b'', 'PK'),))
        recorder.reset()
        recorder.do(load, (
            signer.set('PK', keys.GLOBAL, signer.certificate('PK'), 'PK'),
            signer.set('ArmvmSigned', workload.GUIDS[0], b'', 'db')))
        recorder.do(load, load.random(20))
    with recorder.powered():
        recorder.idle()


WORKLOADS = {'first-boot': first_boot, 'random': random, 'reclaim': reclaim,
             'full': full, 'secure-boot': secure_boot}


def record(firmware: pathlib.Path, name: str, kind: str) -> str:
    """Record a trace and return what is to be told of it.

    :param firmware: directory with AAVMF_CODE.fd and AAVMF_VARS.fd, and
        AAVMF_CODE.secboot.fd if the first of them lacks Secure Boot.
    :param name: of the firmware.
    """
    flash = (firmware / 'AAVMF_VARS.fd').read_bytes()
    trace = trace_format.Writer(name, kind, flash[:trace_format.REGION])
    code = firmware / 'AAVMF_CODE.fd'
    with_keys = firmware / 'AAVMF_CODE.secboot.fd'
    if kind == 'secure-boot' and with_keys.exists():
        code = with_keys
    recorder = Recorder(code, disk.build(WORK), flash, trace)
    started = time.monotonic()
    WORKLOADS[kind](recorder, workload.Workload(f'{name}-{kind}'))
    TRACES.mkdir(exist_ok=True)
    size = trace.save(TRACES / f'{name}-{kind}.trace.xz')
    return (f'{name}-{kind}: {trace.writes} writes, {trace.erases} of whole '
            f'blocks, {trace.operations} operations, {size} bytes, '
            f'{time.monotonic() - started:.0f} s')


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='tools.flash_trace.record',
                                     description='Record traces.')
    parser.add_argument('--firmware', type=pathlib.Path, required=True,
                        help='directory of AAVMF_CODE.fd and AAVMF_VARS.fd')
    parser.add_argument('--name', required=True, help='of the firmware')
    parser.add_argument('workload', nargs='+', choices=sorted(WORKLOADS))
    arguments = parser.parse_args(words)
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        for kind in arguments.workload:
            print(record(arguments.firmware, arguments.name, kind),
                  flush=True)
    except commands.TraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
