# SPDX-License-Identifier: Apache-2.0
"""Kernel block devices: what guests wrote does not stay in this host's cache.

QEMU's flash sends no flush with a guest's writes (QEMU 10.0), so the kernel
keeps them until it likes. librbd has no such cache of its own here.
"""
import threading

from oslo_log import log as logging

from nova_armvm.host import privileged
from nova_armvm.nvram import hosting
from nova_armvm.virt import background

LOG = logging.getLogger(__name__)


class Flusher:
    """Flushes the stores of this host again and again."""

    def __init__(self, interval: float, hosted: hosting.HostedStores) -> None:
        """Prepare.

        :param interval: seconds between two rounds.
        :param hosted: the stores of this host.
        """
        self._interval = interval
        self._hosted = hosted

    def start(self) -> None:
        """Begin, for as long as the process lives."""
        threading.Thread(target=self._run, name='armvm-flush',
                         daemon=True).start()

    def soon(self, instance: str) -> None:
        """Flush what one guest wrote, beside everything else."""
        paths = self._hosted.device_paths_of(instance)
        if paths:
            background.Background(f'armvm-flush-{instance}',
                                  lambda: _flush(paths))

    def flush_all(self) -> None:
        """Do one round; all devices in one call of the privileged part.

        What goes wrong is logged: the next round comes all the same.
        """
        try:
            paths = self._hosted.device_paths()
            if paths:
                _flush(paths)
        except Exception:
            LOG.exception('UEFI variables could not be flushed; it is tried '
                          'again in %s seconds', self._interval)

    def _run(self) -> None:
        wait = threading.Event().wait
        while not wait(self._interval):
            self.flush_all()


def _flush(paths: list[str]) -> None:
    for path, reason in privileged.flush(paths).items():
        LOG.warning('UEFI variables on %(path)s could not be flushed: '
                    '%(reason)s', {'path': path, 'reason': reason})
