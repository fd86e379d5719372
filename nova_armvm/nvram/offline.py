# SPDX-License-Identifier: Apache-2.0
"""The variables of a server that is off: read and replaced on its volume."""
from nova_armvm import exception
from nova_armvm.nvram import access
from nova_armvm.nvram import qcow2
from nova_armvm.nvram import seed
from nova_armvm.uefi import varstore


def read(volume: access.VolumeBytes, whole: bool = False) -> bytes:
    """Return the flash on a volume.

    :param whole: all of it, and not only the part with the variables.
    :raises StoreImageInvalid: there is none.
    """
    if not seed.is_seeded(volume):
        raise exception.StoreImageInvalid(
            reason='no firmware has been given it yet')
    reader = qcow2.Qcow2Reader(volume.read_at)
    length = reader.virtual_size
    return reader.read(0, length if whole
                       else min(length, varstore.READ_SIZE))


def write(volume: access.VolumeBytes, present: bytes, flash: bytes) -> int:
    """Replace a flash, or the beginning of it.

    Only the blocks that differ, backwards: until the header of the store
    comes, last of all, what counts is the old one where the new one is
    formatted anew.

    :param volume: not in use by a guest.
    :param present: what read() has returned.
    :param flash: what is to be there, of the same length.
    :returns: how many bytes were written.
    :raises StoreImageInvalid: the image is not one of ours.
    :raises OSError: the volume cannot be written.
    """
    if len(flash) != len(present):
        raise ValueError('a flash cannot change its size')
    reader, written = qcow2.Qcow2Reader(volume.read_at), 0
    for start, place, length in reversed(reader.places(len(flash))):
        block = flash[start:start + length]
        if block == present[start:start + length]:
            continue
        volume.write_at(place, block)
        volume.flush()
        written += length
    return written
