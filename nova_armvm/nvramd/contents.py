# SPDX-License-Identifier: Apache-2.0
"""What is on a volume, as clients are told."""
import typing as ty

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import bytes as volumes
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import legacy
from nova_armvm.nvramd import log_format
from nova_armvm.nvramd import slots

Message = dict[str, ty.Any]

_PIECE = 1024 * 1024


def describe(volume: volumes.Volume, instance: str) -> Message:
    """Return what a volume holds.

    :raises OSError: if it cannot be read.
    :raises Incompatible: if it holds a log of the future.
    """
    try:
        log = slots.Log.open(volume, instance)
    except errors.ForeignLog:
        header = slots.header_of(volume) or {}
        return {'content': 'foreign',
                'instance_on_volume': header.get('instance')}
    except errors.NotALog:
        return _describe_other(volume, instance)
    owner, newest = log.owner(), log.newest
    return {'content': 'log', 'instance_on_volume': instance,
            'flash_size': newest and newest.flash_size,
            'newest': newest and version_message(newest),
            'owner': {'epoch': owner.epoch, 'name': owner.name}}


def _describe_other(volume: volumes.Volume, instance: str) -> Message:
    if legacy.is_image(volume):
        staged = legacy.instance_of(volume)
        if staged in (None, instance):
            return {'content': 'qcow2'}
        return {'content': 'foreign', 'instance_on_volume': staged}
    return {'content': 'blank' if _is_blank(volume) else 'foreign'}


def _is_blank(volume: volumes.Volume) -> bool:
    """Return whether nothing is where a log would be."""
    return all(volume.read_at(offset, _PIECE) == bytes(_PIECE)
               for offset in range(0, slots.LOG_BYTES, _PIECE))


def read(volume: volumes.Volume, instance: str,
         sequence: int | None) -> Message:
    """Return a version with its content, by default the newest.

    :raises VersionUnknown: if there is no such version.
    :raises NotALog: if there is no log.
    :raises OSError: if the volume cannot be read.
    """
    log = slots.Log.open(volume, instance)
    for version in log.versions():
        if sequence in (None, version.sequence):
            return {
                'store': flash_protocol.encode_bytes(log.read(version)),
                'flash_size': version.flash_size,
                'version': version_message(version)}
    raise errors.VersionUnknown(f'there is no version {sequence}')


def version_message(version: log_format.Version) -> Message:
    """Return a version as clients see it."""
    return {'sequence': version.sequence, 'epoch': version.epoch,
            'time': version.time, 'reason': version.reason,
            'length': version.length, 'sha256': version.sha256}
