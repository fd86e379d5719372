# SPDX-License-Identifier: Apache-2.0
"""Gates at which a nova-compute waits, made of empty files.

Files, because a process that is killed while it waits leaves nothing that has
to be tidied, and the one that is started after it does not wait again.
"""
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import time
import typing as ty

from tools.sandbox import config

_DIRECTORY = config.RUN / 'steps'
_TRACE = _DIRECTORY / 'trace'
#: How long somebody waits at a gate that nobody opens, in seconds.
LIMIT = 400


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that the driver does for a server on a host."""

    host: str
    name: str


class Gate:
    """Stops a server's operation before a step, once."""

    def __init__(self, server_id: str, step: Step) -> None:
        self.step = step
        self._closed = _DIRECTORY / f'{server_id}@{step.host}@{step.name}'
        self._reached = self._closed.with_name(
            f'{self._closed.name}.reached')

    def close(self) -> None:
        """Let the next who comes wait."""
        self._closed.touch()

    def is_reached(self) -> bool:
        """Tell whether somebody waits."""
        return self._reached.exists()

    def open(self) -> None:
        """Let who waits go on, and who comes go through."""
        self._closed.unlink(missing_ok=True)
        self._reached.unlink(missing_ok=True)

    def pass_through(self) -> None:
        """Wait here if the gate is closed.

        :raises TimeoutError: nobody opened it.
        """
        try:
            self._closed.rename(self._reached)
        except FileNotFoundError:
            return
        deadline = time.monotonic() + LIMIT
        while self._reached.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f'nobody opened {self._reached}')
            time.sleep(0.05)


def spread(places: Sequence[ty.Any], at_most: int) -> list[ty.Any]:
    """Choose some of many, from the middle of parts of the same size.

    :param at_most: how many; 0 for all.
    """
    if not at_most or len(places) <= at_most:
        return list(places)
    return [places[(2 * number + 1) * len(places) // (2 * at_most)]
            for number in range(at_most)]


def prepare() -> None:
    """Open every gate and forget what was passed."""
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    for path in _DIRECTORY.iterdir():
        path.unlink()


def note(server_id: str, step: Step) -> None:
    """Note that a server comes to a step."""
    _append(_TRACE, f'{server_id} {step.host} {step.name}\n')


def _append(path: pathlib.Path, line: str) -> None:
    # In one piece, whoever else writes.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def passed(server_id: str) -> list[Step]:
    """Return the steps that a server came to, each once, in order."""
    if not _TRACE.exists():
        return []
    lines = (line.split() for line in _TRACE.read_text().splitlines())
    return list(dict.fromkeys(Step(host, name) for server, host, name in lines
                              if server == server_id))
