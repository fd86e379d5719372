# SPDX-License-Identifier: Apache-2.0
"""Other programs, run to their end."""
import os
import subprocess


class TraceError(Exception):
    """A recording or a trial did not work; the message says why."""


def run(*words: str | os.PathLike, stdin: bytes = b'',
        cwd: str | os.PathLike | None = None) -> bytes:
    """Run a program and return what it prints.

    :raises TraceError: if it fails or is not installed.
    """
    try:
        done = subprocess.run(words, input=stdin, cwd=cwd,
                              capture_output=True,
                              env={**os.environ, 'MTOOLS_SKIP_CHECK': '1'})
    except FileNotFoundError as error:
        raise TraceError(f'{words[0]} is not installed') from error
    if done.returncode:
        raise TraceError(f'{words[0]} failed: '
                         f'{done.stderr.decode(errors="replace").strip()}')
    return done.stdout
