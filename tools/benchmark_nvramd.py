# SPDX-License-Identifier: Apache-2.0
"""What the flash service costs a compute host, and how fast it is.

``python -m tools.benchmark_nvramd [GUESTS ...]``: memory, commits a second
and time to recover after a SIGKILL with that many guests, each with a volume
in a file and a connection as QEMU has it. Needs nbdkit with its Python
plugin. ``--volumes DIRECTORY`` says where the files go (1 GiB each, sparse),
``--ceph CONF POOL USER`` takes new RBD images instead.
"""
import argparse
from collections.abc import Callable, Iterator
import concurrent.futures
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import uuid

import prettytable

from nova_armvm.host import flash_protocol
from nova_armvm.host import flash_service
from tests.unit.nvramd import edk2
from tests.unit.nvramd import nbd

GIB = 1 << 30
FLASH = 64 << 20
REGION = 768 * 1024
#: What QEMU asks for at once.
_PIECE = 256 * 1024
#: As many guests write at a time.
_THREADS = 8
_SECONDS = 5.0

MakeVolume = Callable[[str], flash_protocol.Connection]


class Service:
    """A service in a process of its own, on tmpfs."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.directory = os.path.join(base, 'run')
        self.client = flash_service.FlashService(self.directory, timeout=300)
        self._process: subprocess.Popen | None = None

    def start(self) -> float:
        """Start it; return the seconds until every flash is served."""
        begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'nova_armvm.nvramd.main', '--directory',
             self.directory, '--state', os.path.join(self._base, 'state'),
             '--log-level', 'ERROR'])
        while True:
            try:
                states = self.client.list()
            except flash_service.FlashServiceAway:
                time.sleep(0.02)
                continue
            if all(state.served for state in states):
                return time.monotonic() - begun
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def memory(self) -> tuple[int, int]:
        """Return the bytes of the process alone, and those of the flashes."""
        with open(f'/proc/{self._process.pid}/smaps_rollup',
                  encoding='ascii') as stream:
            own = int(re.search(r'Anonymous:\s+(\d+) kB', stream.read())[1])
        flashes = sum(os.stat(entry.path).st_blocks * 512 for entry in
                      os.scandir(os.path.join(self.directory, 'flash')))
        return own * 1024, flashes


class Guest:
    """A guest that sets variables."""

    def __init__(self, service: Service, instance: str) -> None:
        self._service, self._instance = service, instance
        self._number = 0
        self._client: nbd.Client | None = None
        content = bytearray()
        for offset in range(0, REGION, _PIECE):
            content += self._connected().read(offset, _PIECE)
        self._firmware = edk2.Firmware(content, edk2.EDK2_2025_02,
                                       self._write)
        self._firmware.boot()

    def _connected(self) -> nbd.Client:
        if self._client is None:
            self._client = nbd.Client(
                os.path.join(self._service.directory,
                             flash_protocol.NBD_SOCKET), self._instance)
        return self._client

    def _write(self, offset: int, content: bytes) -> None:
        if self._connected().write(offset, content):
            raise AssertionError('a write failed')

    def reconnect(self) -> None:
        self.close()
        self._connected()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def set(self) -> None:
        """Set a variable of 100 bytes."""
        self._number += 1
        self._firmware.set('Name', self._number.to_bytes(100, 'big'))


def _commits(service: Service, guests: list[Guest], threads: int) -> float:
    """Return how many commits there are a second."""
    def total() -> int:
        return sum(state.sequence for state in service.client.list())

    def work(part: list[Guest]) -> None:
        while time.monotonic() < end:
            for guest in part:
                guest.set()
    before, begun = total(), time.monotonic()
    end = begun + _SECONDS
    parts = [guests[number::threads] for number in range(threads)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _done in pool.map(work, [part for part in parts if part]):
            pass
    return (total() - before) / (time.monotonic() - begun)


def _measured(count: int, make: MakeVolume) -> list[str]:
    """Return a line of the table."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as base:
        service = Service(base)
        service.start()
        empty, _none = service.memory()
        guests = []
        for _number in range(count):
            instance = str(uuid.uuid4())
            service.client.open(instance, make(instance))
            service.client.format(instance, flash_size=FLASH, store=b'',
                                  reason='first-boot')
            service.client.serve(instance, 'start', 'host')
            guests.append(Guest(service, instance))
            guests[-1].set()
        own, flashes = service.memory()
        one = _commits(service, guests[:1], 1)
        many = _commits(service, guests, _THREADS)
        for guest in guests:
            guest.close()
        service.kill()
        recovered = service.start()
        for guest in guests:
            guest.reconnect()
            guest.set()
            guest.close()
        service.kill()
        return [str(count), f'{own / 1e6:.1f}', f'{flashes / 1e6:.1f}',
                f'{(own - empty + flashes) / count / 1024:.0f}',
                f'{one:.0f}', f'{many:.0f}', f'{recovered:.2f}']


@contextlib.contextmanager
def _files(directory: str | None) -> Iterator[MakeVolume]:
    with tempfile.TemporaryDirectory(dir=directory) as base:
        def make(instance: str) -> flash_protocol.Connection:
            path = pathlib.Path(base, instance)
            with open(path, 'wb') as stream:
                stream.truncate(GIB)
            return flash_protocol.PathConnection(str(path))
        yield make


@contextlib.contextmanager
def _images(conf: str, pool: str, user: str) -> Iterator[MakeVolume]:
    command = ['rbd', '--conf', conf, '--id', user]
    names: list[str] = []

    def make(instance: str) -> flash_protocol.Connection:
        names.append(instance)
        subprocess.run([*command, 'create', '--size', '1G',
                        f'{pool}/{instance}'], check=True)
        return flash_protocol.RbdConnection(pool, instance, user=user,
                                            conf=conf)
    try:
        yield make
    finally:
        for name in names:
            subprocess.run([*command, 'remove', '--no-progress',
                            f'{pool}/{name}'], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('guests', type=int, nargs='*', default=[1, 50, 300])
    parser.add_argument('--volumes', metavar='DIRECTORY')
    parser.add_argument('--ceph', nargs=3, metavar=('CONF', 'POOL', 'USER'))
    options = parser.parse_args()
    table = prettytable.PrettyTable([
        'guests', 'process MB', 'flashes MB', 'KiB a guest',
        'commits/s of one', 'commits/s of all', 'seconds to recover'])
    table.align = 'r'
    volumes = (_images(*options.ceph) if options.ceph
               else _files(options.volumes))
    with volumes as make:
        for count in options.guests:
            table.add_row(_measured(count, make))
    print(table)


if __name__ == '__main__':
    main()
