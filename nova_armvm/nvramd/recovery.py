# SPDX-License-Identifier: Apache-2.0
"""Trying things again in the background until each of them has worked."""
from collections.abc import Callable, Iterable
import threading
import time

#: As many volumes are opened at once.
THREADS = 8
#: Seconds between two attempts at one thing, doubled each time.
RETRY_FIRST, RETRY_MAX = 0.5, 10.0


class Recovery:
    """Things that are to be done once."""

    def __init__(self, names: Iterable[str],
                 attempt: Callable[[str], bool]) -> None:
        """Begin.

        :param attempt: tries one and returns whether it is done.
        """
        self._attempt = attempt
        self._changed = threading.Condition()
        # Name, when it is due, how long to wait after that.
        self._waiting = [(name, 0.0, RETRY_FIRST) for name in names]
        self._untried = len(self._waiting)
        self._left = len(self._waiting)
        self._stopped = False
        for number in range(min(THREADS, self._left)):
            threading.Thread(target=self._work, name=f'recovery-{number}',
                             daemon=True).start()

    def wait(self, timeout: float) -> None:
        """Wait until each has been tried once."""
        with self._changed:
            self._changed.wait_for(lambda: self._untried <= 0, timeout)

    def stop(self) -> None:
        """Try nothing any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (due := self._next()) is not None:
            name, first, delay = due
            done = self._attempt(name)
            with self._changed:
                self._untried -= first == 0.0
                if done:
                    self._left -= 1
                else:
                    self._waiting.append((name, time.monotonic() + delay,
                                          min(2 * delay, RETRY_MAX)))
                self._changed.notify_all()

    def _next(self) -> tuple[str, float, float] | None:
        """Return what is due, None when all is done."""
        with self._changed:
            while self._left and not self._stopped:
                if self._waiting:
                    soonest = min(self._waiting, key=lambda one: one[1])
                    left = soonest[1] - time.monotonic()
                    if left <= 0:
                        self._waiting.remove(soonest)
                        return soonest
                    self._changed.wait(left)
                else:
                    self._changed.wait()
            return None
