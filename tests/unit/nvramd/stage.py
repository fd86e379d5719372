# SPDX-License-Identifier: Apache-2.0
"""A host with a flash service in this process, and volumes that can fail."""
from collections.abc import Callable
import os
import tempfile
import threading
import uuid

import fixtures

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import export
from nova_armvm.nvramd import service
from nova_armvm.nvramd import slots
from nova_armvm.nvramd import whole
from tests.unit.nvramd import edk2

GIB = 1 << 30
MIB = 1 << 20
FLASH = 64 * MIB
BLOCK = 4096
SECTOR = 512
INSTANCE = '6f70656e-7374-4163-8b21-000000000001'
OTHER = '6f70656e-7374-4163-8b21-000000000002'


class Died(BaseException):
    """The process ends here; nothing is cleaned up."""


class Disk:
    """What is on a volume, sparse; survives those who have it open.

    :ivar writes: how many there were.
    :ivar fail: called with each write before it is done, may raise.
    :ivar fail_read: likewise with each read.
    :ivar torn: sectors of the write that failed which arrive, in bytes.
    """

    def __init__(self, size: int = GIB) -> None:
        self.size = size
        self.blocks: dict[int, bytes] = {}
        self.writes = 0
        self.fail: Callable[[int], None] = lambda _number: None
        self.fail_read: Callable[[], None] = lambda: None
        self.torn = 0

    def copy(self) -> 'Disk':
        other = Disk(self.size)
        other.blocks = dict(self.blocks)
        return other

    def read_at(self, offset: int, length: int) -> bytes:
        self.fail_read()
        end = min(offset + length, self.size)
        first, last = offset // BLOCK, -(-end // BLOCK)
        present = [number for number in range(first, last)
                   if number in self.blocks]
        if not present:
            return bytes(max(0, end - offset))
        raw = bytearray((last - first) * BLOCK)
        for number in present:
            start = (number - first) * BLOCK
            raw[start:start + BLOCK] = self.blocks[number]
        return bytes(memoryview(raw)[offset - first * BLOCK:
                                     end - first * BLOCK])

    def write_at(self, offset: int, content: bytes) -> None:
        if offset % BLOCK or len(content) % BLOCK or (
                offset + len(content) > self.size):
            raise AssertionError(f'{len(content)} bytes written to {offset}')
        try:
            self.fail(self.writes)
        except BaseException:
            self.put(offset, content[:self.torn])
            raise
        finally:
            self.writes += 1
        self.put(offset, content)

    def put(self, offset: int, content: bytes) -> None:
        """Change bytes, of which whole sectors are at once."""
        for start in range(0, len(content), BLOCK):
            number = (offset + start) // BLOCK
            new = content[start:start + BLOCK]
            old = self.blocks.get(number, bytes(BLOCK))
            self.blocks[number] = bytes(new) + old[len(new):]

    def used(self) -> int:
        """Return how many bytes are allocated."""
        return len(self.blocks) * BLOCK


class DiskVolume:
    """An open volume."""

    def __init__(self, disk: Disk) -> None:
        self.disk, self.size, self.is_open = disk, disk.size, True

    def _check(self) -> None:
        if not self.is_open:
            raise AssertionError('the volume is closed')

    def read_at(self, offset: int, length: int) -> bytes:
        self._check()
        return self.disk.read_at(offset, length)

    def write_at(self, offset: int, content: bytes) -> None:
        self._check()
        self.disk.write_at(offset, content)

    def discard(self, offset: int, length: int) -> bool:
        self._check()
        for number in range(offset // BLOCK, (offset + length) // BLOCK):
            self.disk.blocks.pop(number, None)
        return True

    def close(self) -> None:
        self.is_open = False

    def abandon(self) -> None:
        pass


class Host(fixtures.Fixture):
    """A compute host, whose service can die and be started again.

    :ivar disks: by path; one that is not there cannot be opened.
    :ivar step: called at each step of the service.
    """

    def __init__(self, disks: dict[str, Disk] | None = None) -> None:
        super().__init__()
        self.disks = {'/dev/a': Disk()} if disks is None else disks
        self.step: Callable[[str], None] = lambda _name: None
        self.steps: list[str] = []
        self.volumes: list[DiskVolume] = []
        self.boot = 'boot-1'

    def _setUp(self) -> None:
        self.log = self.useFixture(fixtures.FakeLogger('nova_armvm.nvramd'))
        memory = '/dev/shm' if os.path.isdir('/dev/shm') else None
        directory = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.state = os.path.join(self.directory, 'state')
        os.mkdir(self.state)
        self.start()
        self.addCleanup(lambda: self.service.shut_down())

    def start(self, patience: float = 10.0) -> None:
        """Start a service, whatever has become of the one before."""
        self.service = service.Service(
            self.directory, self.state, open_volume=self._open,
            steps=self._step, boot=self.boot)
        self.service.recover(patience)

    def restart(self) -> None:
        self.service.shut_down()
        self.start()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self.step(name)

    def _open(self, connection: flash_protocol.Connection,
              _predecessor: str | None) -> DiskVolume:
        disk = self.disks.get(connection.path)
        if disk is None:
            raise FileNotFoundError(2, 'No such file or directory')
        disk.fail_read()
        volume = DiskVolume(disk)
        self.volumes.append(volume)
        return volume

    def open(self, instance: str = INSTANCE, path: str = '/dev/a') -> dict:
        return self.service.open(instance,
                                 flash_protocol.PathConnection(path))

    def serve(self, mode: str = 'start', instance: str = INSTANCE,
              path: str = '/dev/a', owner: str = 'host-1',
              store: bytes | None = b'') -> export.Export:
        """Serve a flash, with a store on its volume that is new.

        :param store: None to keep what is there.
        """
        self.open(instance, path)
        if store is not None:
            self.service.format(instance, FLASH, store, 'first-boot')
        self.service.serve(instance, mode, owner)
        return self.service.export(instance)


def newest(disk: Disk, instance: str = INSTANCE) -> bytes:
    """Return the canonical store that a server would be started from."""
    log = slots.Log.open(DiskVolume(disk), instance)
    return log.read(log.newest)


def variables(disk: Disk, instance: str = INSTANCE) -> dict[str, bytes]:
    """Return the variables that a server would be started with."""
    found = whole.variables_of(newest(disk, instance)).variables
    return {key.name: variable.content for key, variable in found.items()}


def firmware(served: export.Export) -> edk2.Firmware:
    """Return firmware that has started on a flash."""
    content = bytearray(served.pread(0, 3 * 256 * 1024))
    made = edk2.Firmware(content, edk2.EDK2_2025_02, served.pwrite)
    made.boot()
    return made


def fresh() -> str:
    """Return the uuid of a new instance."""
    return str(uuid.uuid4())


class Background:
    """Something that is done meanwhile."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._action = action
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self.error = error

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def join(self, timeout: float = 10.0) -> BaseException | None:
        """Return how it ended."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AssertionError('it does not end')
        return self.error
