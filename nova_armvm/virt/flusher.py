# SPDX-License-Identifier: Apache-2.0
"""Kernel block devices: what guests wrote does not stay in this host's cache.

QEMU's flash sends no flush with a guest's writes (QEMU 10.0), so the kernel
keeps them until it likes. librbd has no such cache of its own here.
"""
from collections.abc import Callable
import threading

from oslo_log import log as logging

from nova_armvm.nvram import privileged

LOG = logging.getLogger(__name__)


class Flusher:
    """Flushes the stores of this host again and again."""

    def __init__(self, interval: float,
                 paths: Callable[[], list[str]]) -> None:
        """Prepare.

        :param interval: seconds between two rounds.
        :param paths: returns the devices of the stores connected here.
        """
        self._interval = interval
        self._paths = paths
        self._wake = threading.Event()

    def start(self) -> None:
        """Begin, for as long as the process lives."""
        threading.Thread(target=self._run, name='armvm-flush',
                         daemon=True).start()

    def soon(self) -> None:
        """Do the next round now: a guest has stopped."""
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval)
            self._wake.clear()
            self.flush()

    def flush(self) -> None:
        """Do one round; all devices in one call of the privileged part."""
        try:
            paths = self._paths()
            failed = privileged.flush(paths) if paths else {}
        except OSError as error:
            LOG.warning('UEFI variables could not be flushed: %s', error)
            return
        for path, reason in failed.items():
            LOG.warning('UEFI variables on %(path)s could not be flushed: '
                        '%(reason)s', {'path': path, 'reason': reason})
