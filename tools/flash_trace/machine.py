# SPDX-License-Identifier: Apache-2.0
"""A QEMU whose flash is served from here, and its guest's console.

One thread does it all: before a request of the flash is looked at, all that
the guest has said is taken in. QEMU's flash waits for the end of each write
and its serial port does not buffer, so what the guest says before a write is
known before the write, and what it says after it is not.
"""
from collections.abc import Callable
import contextlib
import json
import pathlib
import re
import select
import socket
import subprocess
import time

from tools.flash_trace import commands
from tools.flash_trace import nbd

_QEMU = 'qemu-system-aarch64'
FLASH_SIZE = 64 * 1024 * 1024
_LINE = re.compile(rb'^@(.*)$')
#: A guest under emulation takes about 20 s to its first process.
BOOT_SECONDS = 240
ANSWER_SECONDS = 240
#: Of the console, shown when something is waited for in vain.
_TAIL = 600

Written = Callable[[int, bytes], None]


def _listen(path: pathlib.Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


class Ended(commands.TraceError):
    """QEMU has ended."""


class Machine:
    """A running QEMU; a context manager that ends it."""

    def __init__(self, directory: pathlib.Path, code: pathlib.Path,
                 disk: pathlib.Path, flash: bytearray,
                 written: Written = lambda offset, content: None,
                 vars_source: dict | None = None) -> None:
        """Start it.

        :param directory: for sockets and logs.
        :param code: the firmware's program.
        :param flash: its variables; what QEMU writes is written to it.
        :param written: is called before each write.
        :param vars_source: QEMU's block node of the flash, where another
            service than this one serves it.
        """
        self._flash, self._written = flash, written
        self._nbd = _listen(directory / 'nbd.sock')
        serial = _listen(directory / 'serial.sock')
        self._connections: list[nbd.Connection] = []
        self._unread = b''
        self.console = b''
        self.lines: list[bytes] = []
        own = {'driver': 'nbd', 'server': {
            'type': 'unix', 'path': str(directory / 'nbd.sock')}}
        self.process = subprocess.Popen(
            _command(code, disk, vars_source or own,
                     directory / 'serial.sock'),
            stdin=subprocess.DEVNULL,
            stderr=open(directory / 'qemu.log', 'ab'))
        serial.settimeout(60)
        self._serial = serial.accept()[0]
        serial.close()

    def __enter__(self) -> 'Machine':
        return self

    def __exit__(self, *_failure: object) -> None:
        self.kill()
        for connection in (*self._connections, self._nbd, self._serial):
            connection.close()

    def kill(self) -> None:
        """End QEMU as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _listen_to_guest(self) -> None:
        """Take in what the guest has said up to now."""
        while select.select([self._serial], [], [], 0)[0]:
            said = b''
            with contextlib.suppress(ConnectionError):
                said = self._serial.recv(65536)
            if not said:
                raise Ended('QEMU has ended')
            self.console += said
            *lines, self._unread = (self._unread + said).split(b'\n')
            for line in lines:
                found = _LINE.match(line.strip(b'\r'))
                if found:
                    self.lines.append(found[1])

    def step(self, seconds: float = 1) -> None:
        """Serve what comes first, or nothing when nothing comes.

        :raises Ended: if QEMU has.
        """
        ready = select.select(
            [self._serial, self._nbd, *self._connections], [], [], seconds)[0]
        self._listen_to_guest()
        if self._nbd in ready:
            stream = self._nbd.accept()[0]
            with contextlib.suppress(nbd.Disconnected):
                self._connections.append(
                    nbd.Connection(stream, self._flash, self._written))
        for connection in [each for each in self._connections
                           if each in ready]:
            try:
                connection.serve_one()
            except nbd.Disconnected:
                self._connections.remove(connection)

    def wait(self, condition: Callable[[], object], seconds: float,
             what: str) -> object:
        """Serve until a condition is true; return what it returned.

        :raises TraceError: if that takes too long.
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise commands.TraceError(
                    f'{what}: not within {seconds:.0f} s; the console ends '
                    f'with {self.console[-_TAIL:]!r}')
            self.step()
        return found

    def said(self, words: bytes) -> bytes | None:
        """Return the first line that begins so, and forget those before."""
        for number, line in enumerate(self.lines):
            if line.startswith(words):
                del self.lines[:number + 1]
                return line
        return None

    def wait_for_guest(self) -> None:
        """Serve until the guest's first process runs."""
        self.wait(lambda: self.said(b'up'), BOOT_SECONDS, 'the guest')

    def send(self, *words: object) -> None:
        """Tell the guest something."""
        self._serial.sendall(' '.join(map(str, words)).encode() + b'\n')

    def ask(self, command: str, sequence: int, *words: object) -> int:
        """Have the guest do something and return its errno, 0 for success."""
        self.send(command, sequence, *words)
        answer = f'end {sequence} '.encode()
        line = self.wait(lambda: self.said(answer), ANSWER_SECONDS,
                         f'the answer to {command} {sequence}')
        return int(line.split()[2])


def _command(code: pathlib.Path, disk: pathlib.Path, variables: dict,
             serial: pathlib.Path) -> list[str]:
    """Return QEMU's command, with the flash as libvirt gives it."""
    nodes = (
        {'driver': 'file', 'filename': str(code), 'node-name': 'code',
         'read-only': True},
        {**variables, 'node-name': 'vars', 'read-only': False},
        {'driver': 'file', 'filename': str(disk), 'node-name': 'disk',
         'read-only': True})
    return [
        _QEMU, '-machine', 'virt,gic-version=3,pflash0=code,pflash1=vars',
        '-accel', 'tcg', '-cpu', 'cortex-a57', '-m', '512', '-nodefaults',
        '-display', 'none', '-nic', 'none',
        *(word for node in nodes for word in ('-blockdev', json.dumps(node))),
        '-device', 'virtio-blk-pci,drive=disk',
        '-device', 'virtio-rng-pci',
        '-chardev', f'socket,id=serial,path={serial},server=off',
        '-serial', 'chardev:serial']
