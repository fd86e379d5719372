# SPDX-License-Identifier: Apache-2.0
"""The bytes of a volume: a block device or a file of this host.

Read from the device and written to it (O_DIRECT | O_DSYNC): another host may
have written since, and what a guest was told is kept must be kept. RBD images
are in nova_armvm.nvramd.ceph.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import typing as ty

from nova_armvm.nvramd import errors

#: Offsets, lengths and buffers of direct input and output are multiples.
BLOCK = 4096

_BLKDISCARD = 0x1277
_PUNCH_HOLE, _KEEP_SIZE = 0x02, 0x01


class Volume(ty.Protocol):
    """An open volume.

    :ivar size: in bytes.
    """

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes as the volume has them; fewer only at its end.

        :raises OSError: if it fails.
        """

    def write_at(self, offset: int, content: bytes) -> None:
        """Write whole blocks at the start of a block, durably.

        :raises OSError: if it fails; any part may have been written.
        """

    def discard(self, offset: int, length: int) -> bool:
        """Return whether a range was given back; best effort."""

    def close(self) -> None:
        """Close it. Idempotent. Nobody may use it meanwhile."""

    def abandon(self) -> None:
        """Release what outlives this process, which ends at once."""


class PathVolume:
    """A block device or a file."""

    def __init__(self, path: str) -> None:
        """Open it.

        :raises VolumeFailed: if it cannot be opened, is neither, or cannot
            do direct input and output.
        """
        self._fd = _opened(path)
        try:
            self._is_device = _is_device(self._fd, path)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except BaseException:
            os.close(self._fd)
            raise

    def read_at(self, offset: int, length: int) -> bytes:
        """Read as Volume does."""
        end = min(offset + length, self.size)
        if end <= offset:
            return b''
        start = offset - offset % BLOCK
        span = -(-(end - start) // BLOCK) * BLOCK
        with mmap.mmap(-1, span) as buffer, memoryview(buffer) as view:
            done = 0
            while done < end - start:
                with view[done:] as rest:
                    count = os.preadv(self._fd, [rest], start + done)
                if not count or (count % BLOCK and done + count < end - start):
                    raise OSError(errno.EIO, 'the volume ends too early')
                done += count
            return bytes(view[offset - start:end - start])

    def write_at(self, offset: int, content: bytes) -> None:
        """Write as Volume does."""
        if offset % BLOCK or len(content) % BLOCK or not content:
            raise OSError(errno.EINVAL, 'a write is not of whole blocks')
        if offset + len(content) > self.size:
            # A file would grow, which is no volume any more.
            raise OSError(errno.ENOSPC, 'a write reaches beyond the volume')
        with mmap.mmap(-1, len(content)) as buffer:
            buffer.write(content)
            with memoryview(buffer) as view:
                self._write(offset, view)

    def _write(self, offset: int, view: memoryview) -> None:
        done = 0
        while done < len(view):
            with view[done:] as rest:
                count = os.pwritev(self._fd, [rest], offset + done)
            if count % BLOCK or not count:
                raise OSError(errno.EIO, 'a write was cut short')
            done += count

    def discard(self, offset: int, length: int) -> bool:
        """Give a range back as Volume does."""
        try:
            if not self._is_device:
                return _punch_hole(self._fd, offset, length)
            if not _discards(self._fd):
                return False
            fcntl.ioctl(self._fd, _BLKDISCARD,
                        struct.pack('QQ', offset, length))
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Close it as Volume does."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def abandon(self) -> None:
        """Do nothing: a file descriptor ends with its process."""


def _opened(path: str) -> int:
    if not os.path.isabs(path):
        raise errors.VolumeFailed(f'the path "{path}" is not absolute')
    try:
        # Without waiting, should it be a named pipe.
        return os.open(path, os.O_RDWR | os.O_DIRECT | os.O_DSYNC |
                       os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EINVAL:
            reason = ('it cannot be read and written directly (O_DIRECT), '
                      'which is needed to keep what a guest was told is kept')
        raise errors.VolumeFailed(f'{path} cannot be opened: {reason}'
                                  ) from error


def _is_device(fd: int, path: str) -> bool:
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISBLK(mode) or stat.S_ISREG(mode)):
        raise errors.VolumeFailed(f'{path} is neither a block device nor a '
                                  'file')
    return stat.S_ISBLK(mode)


def _discards(fd: int) -> bool:
    """Return whether a block device gives space back.

    Some write zeros instead, which would take the space.
    """
    number = os.fstat(fd).st_rdev
    base = f'/sys/dev/block/{os.major(number)}:{os.minor(number)}'
    for queue in 'queue', '../queue':
        try:
            with open(f'{base}/{queue}/discard_max_bytes',
                      encoding='ascii') as stream:
                return int(stream.read()) > 0
        except FileNotFoundError:
            # A partition has its disk's queue.
            continue
    return False


def _punch_hole(fd: int, offset: int, length: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64,
                               ctypes.c_int64)
    return libc.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0
