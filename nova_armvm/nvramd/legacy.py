# SPDX-License-Identifier: Apache-2.0
"""Volumes of before: a qcow2 image from the first byte on, without versions.

The image and the log want the same place, so the log is made elsewhere and
moved, and at each point where the host may die there is a whole store:

1. the log is made at STAGE, its header last; the image is untouched;
2. the first block of the image is zeroed. Its magic number lies in one
   sector, so there is an image before and none after: then the staged log
   counts;
3. the log is copied to the front, its header last, and then counts itself;
4. the space is given back, and last the header of the staged log zeroed.

Whoever finds an image begins at 1, whatever is staged: a guest may have
written to it since. Who finds neither image nor log goes on with 3.
"""
import logging

from nova_armvm import exception
from nova_armvm.nvramd import bytes as volumes
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import qcow2
from nova_armvm.nvramd import slots
from nova_armvm.nvramd import whole

LOG = logging.getLogger(__name__)

#: Where the log is made; an image of a flash of 64 MiB ends far before.
STAGE = 512 * 1024 * 1024
REASON = 'conversion'

_BLOCK = volumes.BLOCK
_HEAD = 4096
#: What was left of an image is looked at no further than here.
_IMAGE_MAX = 80 * 1024 * 1024


def is_image(volume: volumes.Volume) -> bool:
    """Return whether a volume holds a store of before.

    Also one whose conversion was interrupted.

    :raises OSError: if it cannot be read.
    """
    return qcow2.has_magic(volume.read_at(0, _BLOCK)) or (
        slots.header_of(volume) is None and _staged(volume) is not None)


def instance_of(volume: volumes.Volume) -> str | None:
    """Return whose conversion was interrupted, None for an image.

    :raises OSError: if it cannot be read.
    """
    if qcow2.has_magic(volume.read_at(0, _BLOCK)):
        return None
    header = _staged(volume)
    return header and header['instance']


def convert(volume: volumes.Volume, instance: str, now: float) -> slots.Log:
    """Turn the image on a volume into a log. Idempotent.

    :param now: seconds since 1970.
    :raises NotALog: if there is neither, or an image that is damaged.
    :raises ForeignLog: if it is the log of another instance.
    :raises VolumeFailed: if the volume is too small.
    :raises OSError: if it cannot be read or written.
    """
    if slots.header_of(volume) is not None:
        log = slots.Log.open(volume, instance)
        finish(volume)
        return log
    if qcow2.has_magic(volume.read_at(0, _BLOCK)):
        _stage(volume, instance, now)
        # From here on the staged log is the store.
        volume.write_at(0, bytes(_BLOCK))
    elif _staged(volume) is None:
        raise errors.NotALog('the volume holds no store of any form')
    log = _move(volume, instance)
    finish(volume)
    LOG.info('Converted the qcow2 image to a log instance=%s', instance)
    return log


def finish(volume: volumes.Volume) -> None:
    """Remove what an interrupted conversion has left. Idempotent.

    Only where the front of the volume counts, or is about to be made anew.

    :raises OSError: if the volume cannot be written.
    """
    if _staged(volume) is None:
        return
    # Best effort: some back ends take nothing back.
    volume.discard(slots.LOG_BYTES, _IMAGE_MAX - slots.LOG_BYTES)
    for offset in 0, _BLOCK:
        volume.write_at(STAGE + offset, bytes(_BLOCK))
    volume.discard(STAGE, slots.LOG_BYTES)


def _staged(volume: volumes.Volume) -> dict | None:
    """Return the header of a staged log."""
    if volume.size < STAGE + slots.LOG_BYTES:
        return None
    return slots.header_of(slots.Shifted(volume, STAGE))


def _stage(volume: volumes.Volume, instance: str, now: float) -> None:
    if volume.size < STAGE + slots.LOG_BYTES:
        raise errors.VolumeFailed(f'a volume of {volume.size} bytes is too '
                                  'small to convert the store on it')
    try:
        reader = qcow2.Qcow2Reader(volume.read_at)
        size = whole.region_size(reader.read(0, _HEAD))
        flash = reader.read(0, size)
    except (exception.StoreImageInvalid,
            exception.VariableStoreInvalid) as error:
        raise errors.NotALog(f'the image on the volume cannot be converted: '
                             f'{error}') from error
    canonical = whole.canonical_of(flash)
    slots.Log.format(volume, instance, reader.virtual_size, canonical, REASON,
                     now, start=STAGE)


def _move(volume: volumes.Volume, instance: str) -> slots.Log:
    """Copy the staged log to the front."""
    staged = slots.Shifted(volume, STAGE)
    log = slots.Log.open(staged, instance)
    owners, newest = slots.OWNERS, log.newest
    if newest is None:
        raise errors.NotALog('the staged log holds no version')
    for offset, length in ((owners.start, owners.stop - owners.start),
                           (newest.offset, newest.size), (_BLOCK, _BLOCK),
                           (0, _BLOCK)):
        volume.write_at(offset, staged.read_at(offset, length))
    return slots.Log.open(volume, instance)
