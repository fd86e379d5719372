# SPDX-License-Identifier: Apache-2.0
"""One piece of work beside Nova's own."""
from collections.abc import Callable
from concurrent import futures
import threading
import typing as ty

from oslo_context import context as oslo_context


class Background:
    """Runs a function in a thread of its own.

    A plain thread does the right thing in both of Nova's concurrency modes
    (eventlet has replaced it with a green one) and cannot wait for a place
    in a pool of Nova's that is full.
    """

    def __init__(self, name: str, work: Callable[[], ty.Any]) -> None:
        self._outcome: futures.Future = futures.Future()
        caller = oslo_context.get_current()

        def run() -> None:
            if caller is not None:
                # Log lines keep the id of the request.
                caller.update_store()
            try:
                self._outcome.set_result(work())
            except BaseException as error:
                self._outcome.set_exception(error)

        threading.Thread(target=run, name=name, daemon=True).start()

    def result(self) -> ty.Any:
        """Wait for the end; return what the function returned or raise."""
        return self._outcome.result()

    def wait(self) -> None:
        """Wait for the end, however it is."""
        futures.wait([self._outcome])
