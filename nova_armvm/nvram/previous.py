# SPDX-License-Identifier: Apache-2.0
"""What a store held before an operator changed it.

Kept as a snapshot of its volume until the server has started with what
replaced it. The volume's metadata names the snapshot, and says while a change
is under way, so that no guest is started from one that was cut short.
"""
import contextlib
import time
import typing as ty

from cinderclient import exceptions as cinder_errors
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.nvram import volume as cinder_volume

LOG = logging.getLogger(__name__)

SNAPSHOT_KEY = 'armvm_previous'
CHANGING_KEY = 'armvm_changing'

_POLL_SECONDS = 0.5


def snapshot_of(volume: cinder_volume.Volume) -> str | None:
    """Return the id of the snapshot with the previous content, if any."""
    return volume.metadata.get(SNAPSHOT_KEY) or None


def check_whole(volume: cinder_volume.Volume) -> None:
    """Refuse a store whose change was cut short.

    :raises StoreChangeUnfinished: it was.
    """
    if volume.metadata.get(CHANGING_KEY) == str(True):
        raise exception.StoreChangeUnfinished(volume_id=volume.id)


class PreviousContents:
    """Snapshots of stores, through the client of their volumes."""

    def __init__(self, volumes: cinder_volume.StoreVolumes,
                 limit: float) -> None:
        """Prepare.

        :param limit: seconds to wait for Cinder.
        """
        self._volumes = volumes
        self._limit = limit

    def keep(self, volume: cinder_volume.Volume) -> str:
        """Keep what a store holds now; return the snapshot's id.

        Of several changes without a start between them the content before
        the first is the one that is kept: the server ran with that.

        :raises StoreError: Cinder could not.
        """
        kept = snapshot_of(volume)
        if kept and self._find(kept) is not None:
            return kept
        with cinder_volume.translated('keep the present content'):
            made = self._volumes.client().volume_snapshots.create(
                volume.id, force=True,
                name=f'{cinder_volume.NAME_PREFIX}{volume.instance}',
                description='UEFI variables before a change by an operator',
                metadata={cinder_volume.INSTANCE_KEY: volume.instance})
        self._wait(made.id)
        self._volumes.note(volume, {SNAPSHOT_KEY: made.id})
        LOG.info('Snapshot %(snapshot)s keeps what volume %(volume)s holds.',
                 {'snapshot': made.id, 'volume': volume.id})
        return made.id

    def _wait(self, snapshot_id: str) -> None:
        deadline = time.monotonic() + self._limit
        while True:
            snapshot = self._find(snapshot_id)
            status = snapshot.status if snapshot is not None else 'gone'
            if status == 'available':
                return
            if status != 'creating' or time.monotonic() >= deadline:
                raise exception.StoreSnapshotFailed(
                    snapshot_id=snapshot_id, status=status)
            time.sleep(_POLL_SECONDS)

    def _find(self, snapshot_id: str) -> ty.Any:
        with cinder_volume.translated('look at the snapshot'):
            try:
                return self._volumes.client().volume_snapshots.get(
                    snapshot_id)
            except cinder_errors.NotFound:
                return None

    @contextlib.contextmanager
    def changing(self, volume: cinder_volume.Volume):
        """Mark a volume while its store is changed.

        The mark stays when that fails: the content may be half of each.
        """
        self._volumes.note(volume, {CHANGING_KEY: str(True)})
        yield
        self._volumes.note_anew(volume, {CHANGING_KEY: str(False)})

    @contextlib.contextmanager
    def volume_from(self, volume: cinder_volume.Volume):
        """Give a volume with the previous content; it is gone afterwards.

        :raises StoreNothingKept: there is no snapshot.
        :raises StoreError: Cinder could not.
        """
        kept = snapshot_of(volume)
        if not kept or self._find(kept) is None:
            raise exception.StoreNothingKept(server=volume.instance)
        with cinder_volume.translated('make a volume of the snapshot'):
            made = self._volumes.client().volumes.create(
                cinder_volume.VOLUME_GIB, snapshot_id=kept,
                name=f'armvm-previous-{volume.instance}')
        try:
            yield self._volumes.wait_usable(made.id)
        finally:
            found = self._volumes.get(made.id)
            if found is not None:
                self._volumes.delete(found)

    def drop(self, volume: cinder_volume.Volume) -> None:
        """Give up the previous content; harmless when there is none.

        :raises StoreError: Cinder could not.
        """
        kept = snapshot_of(volume)
        if not kept:
            return
        with cinder_volume.translated('delete the snapshot'):
            with contextlib.suppress(cinder_errors.NotFound):
                self._volumes.client().volume_snapshots.delete(kept)
        self._volumes.note(volume, {SNAPSHOT_KEY: ''})
        LOG.info('Snapshot %s with UEFI variables before a change was '
                 'deleted.', kept)
