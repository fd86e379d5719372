# SPDX-License-Identifier: Apache-2.0
"""Talking to the sandbox's guest over its serial console."""
from collections.abc import Callable, Iterator
import os
import pathlib
import re
import struct
import tty

from nova_armvm_tempest_plugin import guest
from tools.sandbox.guest import load_option
from tools.sandbox import process

_ANSWER_SECONDS = 60
GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'

#: The vendor GUID of the guest's own variable; UEFI firmware takes only names
#: that it knows under the global one.
OURS = 'a9d1b2f4-6c0e-4d53-9b71-2f6d1c3e5a80'
PROBE = 'ArmvmProbe'

Event = guest.Event
numbers = guest.numbers


def parse(line: bytes) -> Event | None:
    """Return what a line of the console says, None if it is not for us."""
    return guest.parse(line.decode(errors='replace'))


def secure_boot(event: Event) -> str:
    """Put into words what a report says of Secure Boot."""
    on = {'01': 'on', '00': 'off'}.get(event['secure_boot'], 'unknown')
    enrolled = {'00': 'keys enrolled', '01': 'no keys'}.get(
        event['setup_mode'], 'mode unknown')
    return f'disk {event["disk"]}, Secure Boot {on}, {enrolled}'


def refusal(text: str, option: str) -> str | None:
    """Find what the firmware says when it refuses a program.

    :param text: of the console.
    :param option: that it was to be started by, as a regular expression.
    """
    found = re.search(f'failed to load ({option}) .*: (Access Denied)', text)
    return f'{found[1]} {found[2]}' if found else None


class Console:
    """A guest's console: a file with what it said, a terminal to answer."""

    def __init__(self, log: pathlib.Path, terminal: Callable[[], str]) -> None:
        """Begin at the start of the log.

        :param log: what the console has shown; may not exist yet.
        :param terminal: returns the pseudo-terminal's path as of now.
        """
        self._log = log
        self._terminal = terminal
        self._offset = 0
        self._sequence = 0

    def move(self, log: pathlib.Path, terminal: Callable[[], str]) -> None:
        """Go on where the guest is now, at the start of the log there."""
        self._log = log
        self._terminal = terminal
        self._offset = 0

    def skip(self) -> None:
        """Forget what was said up to now."""
        self._offset = self._log.stat().st_size if self._log.exists() else 0

    def restart(self) -> None:
        """Begin at the start of the log, which was made anew."""
        self._offset = 0

    def _events(self) -> Iterator[Event]:
        if not self._log.exists():
            return
        if self._log.stat().st_size < self._offset:
            # A new QEMU has begun the file anew.
            self._offset = 0
        with open(self._log, 'rb') as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b'\n'):
                    return
                self._offset += len(line)
                event = parse(line)
                if event is not None:
                    yield event

    def wait(self, event: str, seconds: float, sequence: int = 0,
             meanwhile: Callable[[], None] = lambda: None) -> Event:
        """Wait until the guest says something.

        :param meanwhile: done before each look.

        :raises SandboxError: with the end of the console.
        """
        def said() -> Event | None:
            meanwhile()
            return next((found for found in self._events()
                         if found['event'] == event and
                         found['sequence'] == sequence), None)
        return process.wait_for(said, seconds, f'the guest\'s "{event}"',
                                self._log)

    def ask(self, event: str, seconds: float, *words: str) -> Event:
        """Give the guest a command and wait for its answer.

        QEMU listens to a pseudo-terminal only while somebody has it open,
        and stalls when what it says there is not taken away.
        """
        self._sequence += 1
        line = ' '.join((str(self._sequence), *words)) + '\n'
        handle = os.open(self._terminal(),
                         os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            # Or the terminal would echo the guest's output back to it.
            tty.setraw(handle)
            os.write(handle, line.encode())
            return self.wait(event, seconds, self._sequence,
                             meanwhile=lambda: _drain(handle))
        finally:
            os.close(handle)

    def write(self, name: str, content: bytes) -> None:
        """Have the guest write a variable and read it back.

        :raises SandboxError: it could not.
        """
        raw = struct.pack('<I', load_option.ATTRIBUTES) + content
        done = self.ask('written', _ANSWER_SECONDS, 'write',
                        f'{name}-{OURS if name == PROBE else GLOBAL}',
                        raw.hex())
        if done['result'] != 'ok':
            raise process.SandboxError(
                f'the guest could not write {name}: {self._log}')

    def report(self) -> Event:
        """Ask the guest for its variables."""
        return self.ask('report', _ANSWER_SECONDS, 'report')

    def hardware(self) -> Event:
        """Ask the guest for the machine that it sees."""
        return self.ask('hardware', _ANSWER_SECONDS, 'hardware')

    def be_busy(self, seed: int) -> int:
        """Have the guest write all the time, after reboots as well.

        :returns: the number of the operation before its first.
        """
        return self.ask('busy', _ANSWER_SECONDS, 'busy',
                        str(seed))['operation']

    def reboot(self) -> None:
        """Have the guest reset itself."""
        self.ask('rebooting', _ANSWER_SECONDS, 'reboot')


def _drain(terminal: int) -> None:
    """Take away what the guest said; the log has it as well."""
    try:
        while os.read(terminal, 65536):
            pass
    except BlockingIOError:
        return
