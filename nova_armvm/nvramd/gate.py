# SPDX-License-Identifier: Apache-2.0
"""Who is connected to a flash, and whether writes may have been lost.

One QEMU at a time. QEMU connects again after its connection was lost, and
repeats the write that was not answered; but it gives up after a while, and
its guest is told nothing of a write that failed. So a QEMU that was there
before an interruption leaves a gap: what it has in memory is to be verified.
A QEMU that was started later has read what is served.
"""
import collections.abc
import dataclasses
import logging
import os
import threading
import time

from nova_armvm.nvramd import errors

LOG = logging.getLogger(__name__)

#: Seconds that a new connection waits for the end of the one before.
PATIENCE = 2.0
#: The kernel counts in hundredths when a process was started.
_TICK = 0.02


class Processes:
    """The processes of this host."""

    @staticmethod
    def now() -> float:
        """Return the seconds since the host was booted."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    @staticmethod
    def exists(pid: int) -> bool:
        """Return whether there is a process."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @staticmethod
    def started(pid: int) -> float | None:
        """Return when a process was started, on the clock of now().

        :returns: None for one that cannot be seen.
        """
        try:
            with open(f'/proc/{pid}/stat', encoding='ascii',
                      errors='replace') as stream:
                fields = stream.read().rpartition(')')[2].split()
        except OSError:
            return None
        return int(fields[19]) / os.sysconf('SC_CLK_TCK')


@dataclasses.dataclass(eq=False)
class Peer:
    """A connection.

    :ivar pid: of the process at the other end, 0 if that is not known.
    :ivar superseded: another has taken its place.
    """

    pid: int
    superseded: bool = False


class Gate:
    """The connections to one flash.

    :ivar gap: writes may have been lost.
    :ivar disconnected_since: seconds since 1970; None while connected.
    """

    def __init__(self, restarted: bool = False,
                 processes: Processes | None = None,
                 log: collections.abc.Callable[..., None] = LOG.log) -> None:
        """Open the gate.

        :param restarted: somebody was connected before the service started.
        :param log: takes a level, a message and its arguments.
        """
        self._processes = processes or Processes()
        self._log = log
        self._changed = threading.Condition()
        self._peer: Peer | None = None
        self._is_shut = False
        self._was_connected = restarted
        # Whoever was started later has seen no interruption.
        self._since = self._processes.now()
        self._last_pid = 0
        self.gap = False
        self.disconnected_since: float | None = time.time()

    @property
    def connected(self) -> int:
        """Return how many connections there are."""
        return int(self._peer is not None)

    def enter(self, pid: int, patience: float = PATIENCE) -> Peer:
        """Let a connection in.

        :raises Busy: if another one is alive.
        :raises NotServed: if the gate is shut.
        """
        deadline = time.monotonic() + patience
        with self._changed:
            while self._peer is not None and not self._gives_way(pid):
                left = deadline - time.monotonic()
                if self._is_shut or not self._changed.wait(max(0, left)):
                    break
            if self._is_shut:
                raise errors.NotServed('the flash is not served any more')
            if self._peer is not None:
                if not self._gives_way(pid):
                    raise errors.Busy(
                        f'process {self._peer.pid} is connected to the flash')
                self._supersede()
            self._note_gap(pid)
            self._peer = Peer(pid)
            self._was_connected, self._last_pid = True, pid
            self._since = self._processes.now()
            self.disconnected_since = None
            return self._peer

    def _gives_way(self, pid: int) -> bool:
        """Return whether the connection that is there is a dead one's.

        QEMU has one connection to its flash: when the same process comes
        again, it has given the other one up.
        """
        before = self._peer.pid
        return before > 0 and (before == pid or
                               not self._processes.exists(before))

    def _supersede(self) -> None:
        self._log(logging.WARNING, 'Dropped the connection of process %d, '
                  'which has connected again or is gone', self._peer.pid)
        self._peer.superseded = True
        self._leave()

    def _note_gap(self, pid: int) -> None:
        started = self._processes.started(pid) if pid > 0 else None
        if started is None:
            interrupted = self._was_connected
        else:
            interrupted = (pid == self._last_pid or
                           started + _TICK < self._since)
        if interrupted and not self.gap:
            self._log(logging.WARNING, 'Connected process %d again after an '
                      'interruption; writes may have been lost', pid)
        self.gap = self.gap or interrupted

    def leave(self, peer: Peer) -> None:
        """Note that a connection has ended. Idempotent."""
        with self._changed:
            if self._peer is peer:
                self._leave()
                self._changed.notify_all()

    def _leave(self) -> None:
        self._peer = None
        self.disconnected_since = time.time()

    def shut(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._is_shut = True
            self._changed.notify_all()
