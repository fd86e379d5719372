# SPDX-License-Identifier: Apache-2.0
"""The beginning of a flash in memory, which outlives the service.

A file on tmpfs, mapped: what is stored there survives the death of the
process at any instruction, and costs no write to a disk.
"""
import errno
import mmap
import os


class FlashFile:
    """A mapped file.

    :ivar map: its bytes, to be changed in place.
    """

    def __init__(self, path: str) -> None:
        """Map an existing file.

        :raises OSError: if it cannot be mapped.
        """
        self._path = path
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
            if not size:
                raise OSError(errno.EINVAL, 'the flash file is empty', path)
            self.map = mmap.mmap(fd, size)
        finally:
            os.close(fd)

    @classmethod
    def create(cls, path: str, content: bytes) -> 'FlashFile':
        """Make a file with a content, in one step, and map it.

        Written, not just sized: a tmpfs that is full says so here, and not
        with a SIGBUS at a guest's write.

        :raises OSError: if it cannot be made.
        """
        scratch = f'{path}.new'
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC |
                     os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, 'wb') as stream:
                stream.write(content)
            os.rename(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise
        return cls(path)

    def close(self) -> None:
        """Unmap the file, which stays. Nobody may hold a view on it."""
        self.map.close()

    def remove(self) -> None:
        """Remove the file. Idempotent."""
        remove(self._path)


def remove(path: str) -> None:
    """Remove a flash file, if it is there."""
    for name in path, f'{path}.new':
        try:
            os.unlink(name)
        except FileNotFoundError:
            continue
