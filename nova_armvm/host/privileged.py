# SPDX-License-Identifier: Apache-2.0
"""What needs more rights than the nova user has.

Devices of volumes belong to root, or to QEMU while a guest runs. Nova's own
context (``nova.privsep.sys_admin_pctxt``) is used, whose rootwrap filter
every compute host already has.
"""
import os

import nova.privsep
from oslo_concurrency import processutils

#: No flash is larger; what is asked for beyond is a mistake.
READ_MAX_BYTES = 80 * 1024 * 1024


@nova.privsep.sys_admin_pctxt.entrypoint
def read_range(path: str, offset: int, length: int) -> bytes:
    """Read from a device or file, fewer bytes at its end.

    :raises ValueError: more is asked for than any store has.
    """
    if not 0 <= length <= READ_MAX_BYTES:
        raise ValueError(f'{length} bytes are more than a store has')
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # What another host wrote must not be hidden by this host's cache.
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)
        parts = []
        while length:
            part = os.pread(fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b''.join(parts)
    finally:
        os.close(fd)


@nova.privsep.sys_admin_pctxt.entrypoint
def write_range(path: str, offset: int, content: bytes) -> None:
    """Write into an existing device or file and wait until it is durable."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            written = os.pwrite(fd, view, offset)
            offset += written
            view = view[written:]
        os.fsync(fd)
    finally:
        os.close(fd)


@nova.privsep.sys_admin_pctxt.entrypoint
def flush(paths: list[str]) -> dict[str, str]:
    """Make durable what the kernel still keeps of some devices.

    :returns: the reason for each path that could not be flushed; one that is
        gone, because its guest has moved on, is none of them.
    """
    failed = {}
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            failed[path] = error.strerror
            continue
        try:
            os.fsync(fd)
        except OSError as error:
            failed[path] = error.strerror
        finally:
            os.close(fd)
    return failed


@nova.privsep.sys_admin_pctxt.entrypoint
def punch_hole(path: str, offset: int, length: int) -> None:
    """Free a range of a device or file, which then reads as zeros.

    :raises oslo_concurrency.processutils.ProcessExecutionError: the kernel
        or the back end cannot.
    """
    processutils.execute('fallocate', '--punch-hole', '--offset',
                         str(offset), '--length', str(length), path)
