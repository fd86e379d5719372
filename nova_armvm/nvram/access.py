# SPDX-License-Identifier: Apache-2.0
"""Reading and writing the bytes of a connected volume.

Ceph's RBD is reached through os-brick with a connection of our own, also
while a guest uses the volume (reading only, then); everything else is a path
on this host, which Nova's privilege separation opens.
"""
from collections.abc import Callable, Iterator
import contextlib
import typing as ty

from os_brick.initiator import connector
from oslo_log import log as logging

from nova_armvm.host import privileged

LOG = logging.getLogger(__name__)

ConnectionInfo = dict[str, ty.Any]

#: Zeros are looked for in pieces of one size, several at a time.
_PIECE = bytes(64 * 1024)
_READ_SIZE = 16 * len(_PIECE)
#: The least that Ceph takes, and what "rbd sparsify" uses.
_RBD_SPARSE_BYTES = 4096


class VolumeBytes(ty.Protocol):
    """The bytes of a volume.

    :ivar frees_in_use: free_zeros() is harmless while a guest uses it.
    """

    frees_in_use: bool

    def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; OSError when it fails."""

    def write_at(self, offset: int, content: bytes) -> None:
        """Write at ``offset``; durable after flush()."""

    def flush(self) -> None:
        """Return when all that was written is on the back end."""

    def free_zeros(self, length: int) -> None:
        """Give space back that holds nothing but zeros.

        :param length: look at this many bytes from the beginning.
        """


class PathBytes:
    """A block device or a file on this host."""

    # Between reading zeros and freeing them the guest may write.
    frees_in_use = False

    def __init__(self, path: str) -> None:
        self._path = path

    def read_at(self, offset: int, length: int) -> bytes:
        return privileged.read_range(self._path, offset, length)

    def write_at(self, offset: int, content: bytes) -> None:
        privileged.write_range(self._path, offset, content)

    def flush(self) -> None:
        """Nothing to do: each write was synchronised."""

    def free_zeros(self, length: int) -> None:
        for offset, size in zero_ranges(self.read_at, length):
            privileged.punch_hole(self._path, offset, size)


class RbdBytes:
    """An RBD image through os-brick's file-like wrapper.

    The wrapper returns None from write() and is limited to explicit reads
    (os-brick 7.1), so nothing else of it is used.
    """

    # Ceph does it where the objects lie, one at a time.
    frees_in_use = True

    def __init__(self, handle: ty.Any) -> None:
        self._handle = handle

    def read_at(self, offset: int, length: int) -> bytes:
        self._handle.seek(offset)
        return self._handle.read(length)

    def write_at(self, offset: int, content: bytes) -> None:
        self._handle.seek(offset)
        self._handle.write(content)

    def flush(self) -> None:
        self._handle.flush()

    def free_zeros(self, length: int) -> None:
        self._handle.rbd_image.sparsify(_RBD_SPARSE_BYTES)


def zero_ranges(read_at: Callable[[int, int], bytes],
                length: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of what holds nothing but zeros.

    In whole pieces of 64 KiB; neighbours are one range.

    :param read_at: as that of VolumeBytes.
    :param length: look at this many bytes from the beginning.
    """
    begin = None
    for offset in range(0, length - len(_PIECE) + 1, _READ_SIZE):
        block = read_at(offset, min(_READ_SIZE, length - offset))
        for start in range(0, len(block), len(_PIECE)):
            zero = block[start:start + len(_PIECE)] == _PIECE
            if zero and begin is None:
                begin = offset + start
            elif not zero and begin is not None:
                yield begin, offset + start - begin
                begin = None
    if begin is not None:
        yield begin, length // len(_PIECE) * len(_PIECE) - begin


@contextlib.contextmanager
def open_volume(connection_info: ConnectionInfo, root_helper: str,
                rbd_keyring: str | None = None) -> Iterator[VolumeBytes]:
    """Open a volume that is attached to and connected on this host.

    :param connection_info: Cinder's, with ``data.device_path`` where Nova's
        volume driver put it.
    :param root_helper: for os-brick.
    :param rbd_keyring: content of a Ceph keyring for hosts where libvirt
        alone has the key; None to use the one in /etc/ceph.
    :raises OSError, os_brick.exception.BrickException: it cannot be opened.
    """
    details = connection_info['data']
    if connection_info['driver_volume_type'] != 'rbd':
        yield PathBytes(details['device_path'])
        return
    if rbd_keyring is not None:
        details = {**details, 'keyring': rbd_keyring}
    brick = connector.InitiatorConnector.factory('RBD', root_helper)
    device = brick.connect_volume(details)
    try:
        yield RbdBytes(device['path'])
    finally:
        # Also removes the temporary file with the keyring.
        brick.disconnect_volume(details, device)
