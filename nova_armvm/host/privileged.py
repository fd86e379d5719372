# SPDX-License-Identifier: Apache-2.0
"""Privileged operations (privsep).

The file in which libvirt keeps a guest's variables belongs to root or to
QEMU. Nova's own context (``nova.privsep.sys_admin_pctxt``) is used, whose
rootwrap filter every compute host already has.
"""
import os

import nova.privsep

#: oslo.privsep logs each reply as text at debug and hangs on large ones.
READ_MAX_BYTES = 512 * 1024


@nova.privsep.sys_admin_pctxt.entrypoint
def read_range(path: str, offset: int, length: int) -> bytes:
    """Read from a file, fewer bytes at its end.

    :raises ValueError: if more is asked for than READ_MAX_BYTES.
    """
    if not 0 <= length <= READ_MAX_BYTES:
        raise ValueError(f'{length} bytes are too many for one reply')
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


@nova.privsep.sys_admin_pctxt.entrypoint
def file_size(path: str) -> int | None:
    """Return the size of a file in bytes, None if there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
