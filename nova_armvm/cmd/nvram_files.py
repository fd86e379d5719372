# SPDX-License-Identifier: Apache-2.0
"""Files that commands read variables from and write them to."""
from collections.abc import Iterator
import contextlib
import os
import typing as ty

from nova_armvm import exception
from nova_armvm.store import origin

#: What is all zeros is left out in pieces of this size.
_HOLE_BYTES = 64 * 1024


@contextlib.contextmanager
def new_file(path: str) -> Iterator[ty.IO[bytes]]:
    """Open a file for writing that did not exist; 0600, it may hold keys.

    What is half written does not stay: it would pass for a back-up.

    :raises FileUnusable: it exists, or cannot be made or written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        with os.fdopen(handle, 'wb') as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        os.unlink(path)
        if isinstance(error, OSError):
            raise _unusable(path, error) from error
        raise


def _unusable(path: str, error: OSError) -> exception.FileUnusable:
    return exception.FileUnusable(
        path=path, reason=os.strerror(error.errno) if error.errno
        else str(error))


def content_of(path: str) -> bytes:
    """Read a file that is at most as large as a flash.

    :raises FileUnusable: it cannot be read, or is larger.
    """
    try:
        with open(path, 'rb') as stream:
            content = stream.read(origin.FLASH_MAX_BYTES + 1)
    except OSError as error:
        raise _unusable(path, error) from error
    if len(content) > origin.FLASH_MAX_BYTES:
        raise exception.FileUnusable(path=path,
                                     reason='it is larger than any flash')
    return content


def write_sparse(stream: ty.IO[bytes], content: bytes) -> None:
    """Write a flash, most of which is zeros."""
    for place in range(0, len(content), _HOLE_BYTES):
        block = content[place:place + _HOLE_BYTES]
        if any(block):
            stream.seek(place)
            stream.write(block)
    stream.truncate(len(content))
