# SPDX-License-Identifier: Apache-2.0
"""Files of who runs the command."""
import os

from nova_armvm import exception


def content_of(path: str, limit: int) -> bytes:
    """Read a file.

    :param limit: bytes that it may have.
    :raises FileUnusable: it cannot be read, or has more.
    """
    try:
        with open(path, 'rb') as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise _unusable(path, error) from error
    if len(content) > limit:
        raise exception.FileUnusable(
            path=path, reason=f'it is larger than {limit} bytes')
    return content


def write_new(path: str, content: bytes) -> None:
    """Write a file that did not exist; nobody else may read it.

    :raises FileUnusable: it exists, or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, 'wb') as stream:
            stream.write(content)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: str, error: OSError) -> exception.FileUnusable:
    return exception.FileUnusable(path=path,
                                  reason=os.strerror(error.errno))
