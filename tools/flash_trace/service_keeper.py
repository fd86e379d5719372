# SPDX-License-Identifier: Apache-2.0
"""A flash that the real flash service serves; says when it is erased."""
import mmap
import pathlib
import subprocess
import threading
import uuid

from nova_armvm.host import flash_protocol
from nova_armvm.host import flash_service
from tools.flash_trace import commands
from tools.flash_trace import machine

_VOLUME_BYTES = 64 * 1024 * 1024
_ERASED = b'\xff' * 256
_OWNER = 'flash-trace'


class ServiceKeeper:
    """As keeper.Keeper, with the service in its place.

    Looks at the service's flash file, and kills QEMU when it is erased: a
    few writes may be made before QEMU is dead.

    :ivar source: QEMU's node of the flash.
    """

    def __init__(self, directory: pathlib.Path, volume: pathlib.Path) -> None:
        """Make a volume, and have the service open it.

        :param directory: of the running service.
        :param volume: a file, made anew.
        """
        self._service = flash_service.FlashService(str(directory))
        self._instance = str(uuid.uuid4())
        self._file = directory / 'flash' / self._instance
        with open(volume, 'wb') as stream:
            stream.truncate(_VOLUME_BYTES)
        self._service.open(self._instance,
                           flash_protocol.PathConnection(str(volume)))
        self._service.format(self._instance, flash_size=machine.FLASH_SIZE,
                             store=b'', reason='first-boot')
        self.source = {
            'driver': 'nbd', 'export': self._instance, 'reconnect-delay': 10,
            'server': {'type': 'unix', 'path': str(
                directory / flash_protocol.NBD_SOCKET)}}
        self._left = 0
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self, erases: int) -> bytearray:
        """Have the flash served.

        :param erases: in which erase of the block it is to end.
        """
        self._left = erases
        self._ended.clear()
        self._service.serve(self._instance, 'start', _OWNER)
        # The machine's own flash is not used.
        return bytearray()

    def watch(self, process: subprocess.Popen) -> None:
        """Kill QEMU in the erase that it is to end in."""
        self._watcher = threading.Thread(target=self._watch, args=(process,))
        self._watcher.start()

    def _watch(self, process: subprocess.Popen) -> None:
        with open(self._file, 'rb') as stream, mmap.mmap(
                stream.fileno(), 0, access=mmap.ACCESS_READ) as flash:
            was_erased = False
            while not self._ended.is_set():
                is_erased = flash[:len(_ERASED)] == _ERASED
                self._left -= is_erased and not was_erased
                if self._left <= 0:
                    process.kill()
                    return
                was_erased = is_erased

    def written(self, offset: int, content: bytes) -> None:
        """Refuse a write, which ought to go to the service."""
        raise commands.TraceError('QEMU wrote to another flash')

    @property
    def has_killed(self) -> bool:
        """Return whether QEMU was killed."""
        return self._left <= 0

    @property
    def is_open(self) -> bool:
        """Return whether the flash is not whole; killed late, it may be."""
        return self._service.state(self._instance).state == 'open'

    def stop(self) -> None:
        """End serving."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        self._service.stop(self._instance)

    def close(self) -> None:
        """Have the service forget the volume."""
        self._service.close(self._instance)
