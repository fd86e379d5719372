# SPDX-License-Identifier: Apache-2.0
"""What a store held before an operator changed it.

Kept as a snapshot of its volume until the server has started with what
replaced it. The volume's metadata names the snapshot, and says while a change
is under way, so that no guest is started from one that was cut short. It also
has a checksum of what the change has left: where the store holds something
else, the guest has run since, whatever became of the snapshot, and what it
wrote must not be taken back.
"""
from collections.abc import Callable, Iterator
import contextlib
import hashlib
import time
import typing as ty
import uuid

from cinderclient import exceptions as cinder_errors
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.nvram import volume as cinder_volume
from nova_armvm.uefi import varstore

LOG = logging.getLogger(__name__)

SNAPSHOT_KEY = 'armvm_previous'
CHANGING_KEY = 'armvm_changing'
CHANGED_TO_KEY = 'armvm_changed_to'
#: An operator wants the next start to begin with the template again.
RESET_KEY = 'armvm_reset'

_POLL_SECONDS = 0.5


def snapshot_of(volume: cinder_volume.Volume) -> str | None:
    """Return the id of the snapshot with the previous content, if any."""
    return volume.metadata.get(SNAPSHOT_KEY) or None


def mark_of(volume: cinder_volume.Volume) -> str | None:
    """Return the mark of a change that is under way or was cut short."""
    mark = volume.metadata.get(CHANGING_KEY) or str(False)
    return None if mark == str(False) else mark


def check_whole(volume: cinder_volume.Volume) -> None:
    """Refuse a store whose change was cut short.

    :raises StoreChangeUnfinished: it was.
    """
    if mark_of(volume):
        raise exception.StoreChangeUnfinished(volume_id=volume.id)


def waits_for_reset(volume: cinder_volume.Volume) -> bool:
    """Tell whether the next start begins with the template."""
    return volume.metadata.get(RESET_KEY) == str(True)


def checksum(flash: bytes) -> str:
    """Return what tells the content of a store from another.

    :param flash: all of it, or the part with the variables.
    """
    return hashlib.sha256(flash[:varstore.READ_SIZE]).hexdigest()


def has_run_since(volume: cinder_volume.Volume, flash: bytes) -> bool:
    """Tell whether a guest has written since the last change.

    The snapshot goes when the guest starts; but Cinder may be away then, or
    the compute service die.

    :param flash: what the store holds now.
    """
    return not (mark_of(volume) or waits_for_reset(volume) or
                volume.metadata.get(CHANGED_TO_KEY) == checksum(flash))


class PreviousContents:
    """Snapshots of stores, through the client of their volumes."""

    def __init__(self, volumes: cinder_volume.StoreVolumes,
                 limit: float) -> None:
        """Prepare.

        :param limit: seconds to wait for Cinder.
        """
        self._volumes = volumes
        self._limit = limit

    def keep(self, volume: cinder_volume.Volume, flash: bytes) -> str:
        """Keep what a store holds now; return the snapshot's id.

        Of several changes without a start between them the content before
        the first is the one that is kept: the server ran with that.

        :param flash: what it holds now.
        :raises StoreError: Cinder could not.
        """
        kept = snapshot_of(volume)
        if kept and self._find(kept) is not None:
            if not has_run_since(volume, flash):
                return kept
            self.drop(volume)
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
    def changing(self, volume: cinder_volume.Volume, flash: bytes,
                 check: Callable[[], None],
                 reset: bool = False) -> Iterator[None]:
        """Mark a volume while its store is changed.

        The mark stays when that fails: the content may be half of each. A
        host that starts the server either sees the mark, or had Nova say so
        before, which check() sees.

        :param flash: what the store will hold.
        :param check: raises ServerNotOff or ServerLocked when the store must
            not be changed after all.
        :param reset: the next start is to begin with the template.
        """
        self._volumes.note_anew(volume, {CHANGING_KEY: str(uuid.uuid4())})
        try:
            check()
        except exception.ServerNotOff:
            # Nothing was written. After ServerLocked the mark is perhaps
            # another command's, and stays.
            self._volumes.note_anew(
                volume, {CHANGING_KEY: mark_of(volume) or str(False)})
            raise
        yield
        self._volumes.note_anew(volume, {
            CHANGING_KEY: str(False), RESET_KEY: str(reset),
            CHANGED_TO_KEY: checksum(flash)})

    @contextlib.contextmanager
    def volume_from(self, volume: cinder_volume.Volume
                    ) -> Iterator[cinder_volume.Volume]:
        """Give a volume with the previous content; it is gone afterwards.

        :param volume: one for which check_kept() has nothing to say.
        :raises StoreError: Cinder could not.
        """
        kept = snapshot_of(volume)
        with cinder_volume.translated('make a volume of the snapshot'):
            made = self._volumes.client().volumes.create(
                cinder_volume.VOLUME_GIB, snapshot_id=kept,
                name=f'armvm-previous-{volume.instance}')
        try:
            yield self._volumes.wait_usable(made.id)
        finally:
            self._delete(made.id)

    def _delete(self, volume_id: str) -> None:
        """Delete a volume; return when it is gone, or after the limit.

        While it is there some back ends (RBD) keep the snapshot that it was
        made from.
        """
        deadline = time.monotonic() + self._limit
        found = self._volumes.get(volume_id)
        if found is not None:
            self._volumes.delete(found)
        while found is not None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            found = self._volumes.get(volume_id)

    def check_kept(self, volume: cinder_volume.Volume, flash: bytes) -> None:
        """Refuse to take back what a guest has written.

        :param flash: what the store holds now.
        :raises StoreNothingKept: there is no snapshot, or the guest has run
            since.
        """
        kept = snapshot_of(volume)
        if not kept or self._find(kept) is None or has_run_since(volume,
                                                                 flash):
            raise exception.StoreNothingKept(server=volume.instance)

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
