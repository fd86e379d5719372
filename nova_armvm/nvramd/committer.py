# SPDX-License-Identifier: Apache-2.0
"""How versions of one served store come to its volume.

What does not work is tried again until it does: a guest that waits for its
write is better off than one that is told its variables are kept when they are
not. Only a store that another host has taken over is given up.
"""
from collections.abc import Callable
import errno
import logging
import threading
import time
import typing as ty

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import slots

LOG = logging.getLogger(__name__)

#: Seconds between two attempts, doubled each time.
RETRY_FIRST, RETRY_MAX = 0.1, 5.0
#: Seconds after which what still fails is logged again.
REMIND_AFTER = 30.0
#: Seconds after which a volume that is silent is told to be in trouble.
SILENT_AFTER = 2.0

#: Called with the name of each step, at which the service may die.
Steps = Callable[[str], None]
#: Returns whether somebody still waits for the answer.
Waits = Callable[[], bool]


def no_steps(_name: str) -> None:
    """Do nothing at a step."""


def describe(error: Exception) -> str:
    """Return what an error says, without the number of the system's."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class Committer:
    """Appends versions to a log as the host that owns it.

    :ivar epoch: under which this host commits; None before it has claimed.
    :ivar base: the newest version that this host knows.
    :ivar fenced: how it was lost to another host, None while it was not.
    :ivar ending: set when nothing is to be tried again.
    """

    def __init__(self, log: slots.Log, owner: str, flash_size: int,
                 epoch: int | None, steps: Steps = no_steps) -> None:
        """Commit to a log whose newest version is known.

        :param owner: name of this host.
        :param flash_size: in bytes.
        :param epoch: of an earlier claim, None if there was none.
        """
        self.log = log
        self.epoch = epoch
        self.base = log.newest
        self.fenced: str | None = None
        self._error: str | None = None
        self._begun: float | None = None
        self.ending = threading.Event()
        self._owner = owner
        self._flash_size = flash_size
        self._steps = steps

    @property
    def error(self) -> str | None:
        """Return why what is to be done is not done yet."""
        begun = self._begun
        if self._error is None and begun is not None:
            silent = time.monotonic() - begun
            if silent > SILENT_AFTER:
                return f'the volume has not answered for {silent:.0f} seconds'
        return self._error

    def say(self, level: int, message: str, *values: ty.Any) -> None:
        """Log a message of the instance."""
        LOG.log(level, f'{message} instance=%s', *values, self.log.instance)

    def claim(self) -> None:
        """Make this host the owner, if it has not claimed the log yet.

        :raises OSError: if the volume cannot be read or written.
        """
        if self.epoch is None:
            self.epoch = self.log.claim(self._owner, time.time())
            self._steps('claimed')
            self.say(logging.INFO, 'Claimed the store, epoch %d', self.epoch)

    def commit(self, canonical: bytes, accepted: bool) -> None:
        """Append a version.

        :param accepted: see whole.Flash.
        :raises Fenced: if another host has claimed the log.
        :raises OSError: if the volume cannot be read or written.
        """
        reason = 'guest'
        if accepted:
            reason = 'formatted-by-firmware'
            self.say(logging.ERROR, 'Accepted a store that the firmware has '
                     'formatted; what it held before is in version %s',
                     self.base and self.base.sequence)
        try:
            self.base = self.log.append(self.epoch, reason, self._flash_size,
                                        canonical, time.time())
        except errors.Fenced as error:
            self._fence(error)
            raise
        self._steps('appended')
        self.say(logging.DEBUG, 'Committed version %d', self.base.sequence)

    def check_owner(self) -> None:
        """Fence this host if another one has claimed the log.

        :raises OSError: if the volume cannot be read.
        """
        owner = self.log.owner()
        if self.epoch is not None and owner.epoch != self.epoch:
            self._fence(errors.Fenced(
                f'the store was claimed by host "{owner.name}" (epoch '
                f'{owner.epoch}, not {self.epoch})'))

    def persist(self, action: Callable[[], None], waits: Waits) -> None:
        """Do something until it works.

        :raises OSError: if the store was taken over (EIO), serving ends
            (ESHUTDOWN) or nobody waits any more (EIO).
        """
        self._begun = time.monotonic()
        try:
            self._persist(action, waits)
        finally:
            self._begun = None

    def _persist(self, action: Callable[[], None], waits: Waits) -> None:
        delay, reminded = RETRY_FIRST, 0.0
        while True:
            try:
                action()
            except errors.Fenced as error:
                raise OSError(errno.EIO, str(error)) from error
            except Exception as error:
                # Also a fault of this program: to go on would be to tell the
                # guest that its variables are kept.
                reminded = self._note_failure(error, reminded)
            else:
                self._note_success()
                return
            if self.ending.wait(delay):
                raise OSError(errno.ESHUTDOWN, 'serving ends')
            if not waits():
                raise OSError(errno.EIO, 'the connection has ended')
            delay = min(2 * delay, RETRY_MAX)

    def _fence(self, error: errors.Fenced) -> None:
        self.fenced, self._error = str(error), None
        self.say(logging.ERROR, 'Refused to commit, now and from now on: %s',
                 error)

    def _note_failure(self, error: Exception, reminded: float) -> float:
        self._error = describe(error)
        now = time.monotonic()
        if reminded and now - reminded < REMIND_AFTER:
            return reminded
        is_fault = not isinstance(error, OSError | errors.FlashError)
        LOG.error('Failed to commit, the guest waits; will retry: %s '
                  'instance=%s', self._error, self.log.instance,
                  exc_info=is_fault)
        return now

    def _note_success(self) -> None:
        if self._error is not None:
            self._error = None
            self.say(logging.INFO, 'Committed after failures')
