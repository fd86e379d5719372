# SPDX-License-Identifier: Apache-2.0
"""Disks that lie in their file in blocks, and not one after the other."""
from collections.abc import Callable
import dataclasses

from nova_armvm import exception

SECTOR = 512
#: As large as a disk that OpenStack could give, in bytes.
MAX_DISK = 64 * 1024 ** 4

#: Returns a part of a block, by the number of the block and where in it, in
#: bytes, the part begins and how long it is.
Piece = Callable[[int, int, int], bytes]


@dataclasses.dataclass(frozen=True)
class BlockDisk:
    """A disk that is read block by block; see disk.Disk.

    :ivar size: of the disk, in bytes.
    :ivar block: size of a block, in bytes.
    :ivar piece: where the content comes from.
    """

    size: int
    block: int
    piece: Piece

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly so many bytes of the disk."""
        if offset < 0 or offset + length > self.size:
            raise exception.ImageInvalid(
                reason='its content refers to what lies behind its end')
        pieces = []
        while length:
            number, begin = divmod(offset, self.block)
            present = min(length, self.block - begin)
            pieces.append(self.piece(number, begin, present))
            offset += present
            length -= present
        return b''.join(pieces)
