# SPDX-License-Identifier: Apache-2.0
"""The bytes of an image file, and how many of them may be read."""
import collections
import os
import stat
import typing as ty

from nova_armvm import exception

_PAGE = 16 * 1024
_PAGES_KEPT = 256


class Source(ty.Protocol):
    """Where the bytes of an image come from.

    :ivar size: in bytes.
    """

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes; fewer only where the source ends."""


class FileSource:
    """A plain file; to be closed, or used in a with statement."""

    def __init__(self, path: str) -> None:
        """Open a file.

        :raises ImageUnsupported: it cannot be opened, or is something else
            than a file.
        """
        try:
            # Without waiting for the other end of a pipe.
            self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK |
                                   os.O_CLOEXEC)
        except OSError as error:
            raise exception.ImageUnsupported(
                reason=os.strerror(error.errno)) from error
        found = os.fstat(self._handle)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise exception.ImageUnsupported(reason='it is not a plain file')
        self.size = found.st_size

    def read_at(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._handle, length, offset)
        except OSError as error:
            raise exception.ImageUnsupported(
                reason=os.strerror(error.errno)) from error

    def close(self) -> None:
        os.close(self._handle)

    def __enter__(self) -> 'FileSource':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Budgeted:
    """A source of which only so much is read, and nothing twice.

    Reads whole pages and keeps the last ones, because tables of an image are
    looked up entry by entry.

    :ivar size: in bytes.
    :ivar spent: bytes that were read up to now.
    """

    def __init__(self, source: Source, limit: int) -> None:
        """Prepare.

        :param limit: in bytes.
        """
        self.size = source.size
        self.spent = 0
        self._source = source
        self._limit = limit
        self._pages: collections.OrderedDict[int, bytes] = (
            collections.OrderedDict())

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly so many bytes.

        :raises ImageInvalid: the file ends before.
        :raises ImageTooCostly: the limit is reached.
        """
        if offset < 0 or offset + length > self.size:
            raise exception.ImageInvalid(
                reason='it refers to what lies behind its end')
        if length > self._limit:
            raise exception.ImageTooCostly(limit=self._limit // 1024)
        first, last = offset // _PAGE, (offset + length - 1) // _PAGE
        content = b''.join(self._page(number)
                           for number in range(first, last + 1))
        begin = offset - first * _PAGE
        return content[begin:begin + length]

    def _page(self, number: int) -> bytes:
        if number in self._pages:
            self._pages.move_to_end(number)
            return self._pages[number]
        wanted = min(_PAGE, self.size - number * _PAGE)
        if self.spent + wanted > self._limit:
            raise exception.ImageTooCostly(limit=self._limit // 1024)
        page = self._source.read_at(number * _PAGE, wanted)
        self.spent += len(page)
        if len(page) != wanted:
            raise exception.ImageInvalid(
                reason='it became shorter while it was read')
        self._pages[number] = page
        if len(self._pages) > _PAGES_KEPT:
            self._pages.popitem(last=False)
        return page
