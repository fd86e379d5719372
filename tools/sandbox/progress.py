# SPDX-License-Identifier: Apache-2.0
"""What a person sees while long work runs."""
from collections.abc import Iterator
import contextlib
import sys
import threading
import time

_STARTED = time.monotonic()
_ALIVE_SECONDS = 10
_lock = threading.Lock()


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    with _lock:
        print(f'[{time.monotonic() - _STARTED:6.1f}s] {text}', flush=True)


def begin(earlier: float) -> None:
    """Count seconds that another process has spent before this one."""
    global _STARTED
    _STARTED = time.monotonic() - earlier


def elapsed() -> float:
    """Return the seconds since the start."""
    return time.monotonic() - _STARTED


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a piece of work, show that it is alive, say how it ended."""
    begun = time.monotonic()
    done = threading.Event()

    def alive() -> None:
        while not done.wait(_ALIVE_SECONDS):
            say(f'{name} ... {time.monotonic() - begun:.0f}s')

    threading.Thread(target=alive, daemon=True).start()
    try:
        yield
    except BaseException:
        say(f'{name} FAILED after {time.monotonic() - begun:.1f}s')
        raise
    else:
        say(f'{name} ok {time.monotonic() - begun:.1f}s')
    finally:
        done.set()
        sys.stdout.flush()
