# SPDX-License-Identifier: Apache-2.0
"""Keeps a flash as the flash service does, and says when it is erased."""
import subprocess
import time

from nova_armvm.nvramd import whole
from tools.flash_trace import machine


class Erased(Exception):
    """The block with the variables was erased just now."""


class Keeper:
    """The flash service's judgement without the service, in memory.

    QEMU waits for the end of the erase while it is killed.

    :ivar source: QEMU's node of the flash, None for the machine's own.
    """

    source: dict | None = None

    def __init__(self) -> None:
        self._committed = b''
        self._flash: whole.Flash
        self._left = 0

    def start(self, erases: int) -> bytearray:
        """Return the flash to start from.

        :param erases: in which erase of the block it is to end.
        """
        self._left = erases
        region = bytearray(whole.region_of(self._committed))
        self._flash = whole.Flash(region, self._committed)
        return bytearray(bytes(region).ljust(machine.FLASH_SIZE, b'\0'))

    def watch(self, process: subprocess.Popen) -> None:
        """Take note of the QEMU that is to be killed."""

    def written(self, offset: int, content: bytes) -> None:
        """Judge a write.

        :raises Erased: if it is the one to end in.
        """
        if self._flash.write(offset, content, time.monotonic()):
            self._committed = self._flash.canonical()
            self._flash.mark_committed()
        if offset == 0 and content == b'\xff' * len(content):
            self._left -= 1
            if self._left <= 0:
                raise Erased

    @property
    def has_killed(self) -> bool:
        """Return whether QEMU was to be killed."""
        return self._left <= 0

    @property
    def is_open(self) -> bool:
        """Return whether the flash is not whole."""
        return self._flash.state == 'open'

    def stop(self) -> None:
        """End serving."""

    def close(self) -> None:
        """Forget the flash."""
