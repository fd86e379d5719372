# SPDX-License-Identifier: Apache-2.0
"""The Cinder volumes that hold variable stores, and their attachments.

Cinder is the source of truth: a volume is found by its name and metadata,
an attachment by volume and host. Every call is made with the credentials of
[cinder], never with those of a tenant, so the volumes belong to the service
project.
"""
from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import datetime
import time
import typing as ty

from cinderclient import exceptions as cinder_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import context as nova_context
from nova import exception as nova_exception
from nova.volume import cinder
from oslo_log import log as logging
from oslo_utils import timeutils

from nova_armvm import exception
from nova_armvm.store import metadata as facts
from nova_armvm.store import ref as instance_ref

LOG = logging.getLogger(__name__)

VOLUME_GIB = 1
MOUNTPOINT = 'nvram'

#: Statuses of a volume that is on its way to be usable.
_COMING = ('creating', 'downloading')
_USABLE = ('available', 'reserved', 'attaching', 'in-use')

_FIRST_POLL_SECONDS = 0.1
_POLL_GROWTH = 1.5


@dataclasses.dataclass(frozen=True)
class StoreVolume:
    """A volume as Cinder shows it.

    :ivar hosts: host name by attachment id, of completed attachments.
    :ivar changed_at: when Cinder last changed it, in UTC.
    """

    id: str
    status: str
    metadata: Mapping[str, str]
    hosts: Mapping[str, str]
    changed_at: datetime.datetime | None = None
    volume_type: str | None = None
    migration_status: str | None = None

    @property
    def instance(self) -> str:
        """Return the uuid of the instance whose store it says it is."""
        return self.metadata[facts.INSTANCE_KEY]

    @property
    def facts(self) -> facts.StoreMetadata:
        """Return what it remembers of the store."""
        return facts.StoreMetadata.from_cinder(self.metadata)


@dataclasses.dataclass(frozen=True)
class Attachment:
    """A volume attached to this host.

    :ivar connection_info: in the form of nova.volume.cinder.
    :ivar completed: Cinder knows that the host uses it.
    """

    id: str
    connection_info: dict[str, ty.Any]
    completed: bool


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait for Cinder.

    :ivar limit: seconds in all.
    :ivar interval: the longest pause between two questions, in seconds.
    """

    limit: float
    interval: float


@contextlib.contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn errors of Cinder's client into ours.

    :param action: what was tried, as in "could not be reached to <action>".
    """
    try:
        yield
    except (nova_exception.OverQuota, cinder_errors.OverLimit) as error:
        raise exception.StoreQuotaExceeded() from error
    except (nova_exception.CinderConnectionFailed,
            cinder_errors.ConnectionError,
            keystone_errors.ConnectFailure,
            keystone_errors.ConnectionError,
            keystone_errors.DiscoveryFailure,
            keystone_errors.EndpointNotFound) as error:
        LOG.error('Cinder cannot be reached to %(action)s: %(error)s',
                  {'action': action, 'error': error})
        raise exception.StoreUnreachable(action=action) from error
    except (nova_exception.NovaException, cinder_errors.ClientException,
            keystone_errors.ClientException) as error:
        LOG.error('Cinder refused to %(action)s: %(error)s',
                  {'action': action, 'error': error})
        raise _refusal(action, error) from error


def _refusal(action: str, error: Exception) -> exception.StoreError:
    """Tell a service that is away from one that answered."""
    if getattr(error, 'code', None) in (502, 503, 504):
        return exception.StoreUnreachable(action=action)
    return exception.StoreRefused(action=action)


class StoreVolumes:
    """The volumes of all stores, seen from one host."""

    def __init__(self, host: str, volume_type: str | None,
                 patience: Patience,
                 context_factory: Callable[[], nova_context.RequestContext]
                 = nova_context.get_admin_context) -> None:
        """Prepare; nothing is asked yet.

        :param host: this host's name, as in the connector.
        :param volume_type: name or id, None for Cinder's default.
        :param patience: how long to wait for a volume.
        :param context_factory: must return an admin context without token.
        """
        self._host = host
        self._volume_type = volume_type
        self._patience = patience
        self._context = context_factory
        self._api = cinder.API()

    def client(self) -> ty.Any:
        """Return Cinder's client with the credentials of [cinder]."""
        return cinder.cinderclient(self._context(), '3.44',
                                   skip_version_check=True)

    def find(self, ref: instance_ref.InstanceRef) -> StoreVolume | None:
        """Return the volume of an instance, None if there is none.

        Names and metadata are compared here again: Cinder may drop a filter
        that its policy does not know.

        :raises StoreVolumeAmbiguous: several claim to be it.
        """
        found = self.find_all(ref)
        if len(found) > 1:
            raise exception.StoreVolumeAmbiguous(
                volume_ids=', '.join(volume.id for volume in found))
        return found[0] if found else None

    def find_all(self, ref: instance_ref.InstanceRef) -> list[StoreVolume]:
        """Return every volume that claims to be an instance's store."""
        with translated('look for the volume'):
            listed = self.client().volumes.list(
                detailed=True, search_opts={'name': ref.volume_name})
        return [_volume(each) for each in listed
                if each.name == ref.volume_name and
                each.metadata.get(facts.INSTANCE_KEY) == ref.uuid and
                each.status != 'deleting' and not _is_copy(each)]

    def all_stores(self) -> list[StoreVolume]:
        """Return the volumes of all instances of this cloud, whatever status.

        A call for each thousand volumes of the project.
        """
        with translated('list the volumes'):
            listed = self.client().volumes.list(detailed=True)
        return [_volume(each) for each in listed
                if facts.INSTANCE_KEY in each.metadata and
                each.name == instance_ref.NAME_PREFIX +
                each.metadata[facts.INSTANCE_KEY] and
                not _is_copy(each)]

    def create(self, ref: instance_ref.InstanceRef) -> str:
        """Ask Cinder for a volume; wait_usable() has to follow.

        :returns: its id.
        :raises StoreQuotaExceeded, StoreUnreachable, StoreRefused:
        """
        with translated('make the volume'):
            created = self._api.create(
                self._context(), VOLUME_GIB, ref.volume_name,
                f'UEFI variables of server {ref.uuid}',
                volume_type=self._volume_type,
                availability_zone=ref.availability_zone,
                metadata={facts.INSTANCE_KEY: ref.uuid,
                          facts.PROJECT_KEY: ref.project_id})
        LOG.info('Volume %s was made for the UEFI variables', created['id'],
                 instance_uuid=ref.uuid)
        return created['id']

    def wait_usable(self, volume_id: str) -> StoreVolume:
        """Wait until a volume has been created.

        :raises StoreVolumeFailed: it went to another status.
        :raises StoreVolumeTimeout: it did not in time.
        """
        deadline = time.monotonic() + self._patience.limit
        pause = _FIRST_POLL_SECONDS
        while True:
            # Before the first question, too: no back end is that quick.
            time.sleep(min(pause, self._patience.interval))
            pause *= _POLL_GROWTH
            volume = self._get(volume_id)
            if volume.status in _USABLE:
                return volume
            if volume.status not in _COMING:
                raise exception.StoreVolumeFailed(
                    volume_id=volume_id, status=volume.status)
            if time.monotonic() >= deadline:
                raise exception.StoreVolumeTimeout(
                    volume_id=volume_id, status=volume.status,
                    seconds=self._patience.limit)

    def _get(self, volume_id: str) -> StoreVolume:
        with translated('look at the volume'):
            return _volume(self.client().volumes.get(volume_id))

    def get(self, volume_id: str) -> StoreVolume | None:
        """Return a store's volume, None if there is none of that id."""
        with translated('look at the volume'):
            try:
                found = self.client().volumes.get(volume_id)
            except cinder_errors.NotFound:
                return None
        return _volume(found)

    def note(self, volume: StoreVolume, noted: Mapping[str, str]) -> None:
        """Add to a volume's metadata what is not there yet."""
        if all(volume.metadata.get(key) == value
               for key, value in noted.items()):
            return
        self.note_anew(volume, noted)

    def note_anew(self, volume: StoreVolume, noted: Mapping[str, str]) -> None:
        """Put facts into a volume's metadata, whatever was seen there."""
        with translated('write the volume\'s metadata'):
            self.client().volumes.set_metadata(volume.id, dict(noted))

    def drop_old_snapshot(self, volume: StoreVolume) -> None:
        """Delete the snapshot that a change of the old form has left.

        :raises StoreError: Cinder could not.
        """
        snapshot = volume.facts.old_snapshot
        if snapshot is None:
            return
        with translated('delete the snapshot'):
            with contextlib.suppress(cinder_errors.NotFound):
                self.client().volume_snapshots.delete(snapshot)
        self.note_anew(volume, {facts.OLD_SNAPSHOT_KEY: ''})
        LOG.info('Deleted snapshot %s of a NVRAM volume', snapshot,
                 instance_uuid=volume.instance)

    def retype(self, volume: StoreVolume, volume_type: str) -> None:
        """Ask Cinder to move a volume that is not attached to another type.

        Returns at once; the volume is ``retyping`` until it is there.
        """
        with translated('move the volume to another type'):
            self.client().volumes.retype(volume.id, volume_type, 'on-demand')

    def own_attachment(self, volume: StoreVolume) -> Attachment | None:
        """Return this host's completed attachment with fresh connection."""
        for attachment_id, host in volume.hosts.items():
            if host == self._host:
                with translated('look at the attachment'):
                    found = self._api.attachment_get(self._context(),
                                                     attachment_id)
                return Attachment(
                    attachment_id,
                    _with_serial(found['connection_info'], volume.id), True)
        return None

    def attach(self, volume: StoreVolume, ref: instance_ref.InstanceRef,
               connector: Mapping[str, ty.Any]) -> Attachment:
        """Attach a volume to this host; complete() has to follow.

        :param volume: as found.
        :param ref: its instance.
        :param connector: of this host, from os-brick.
        :raises StoreVolumeBusy: its status does not allow it.
        :raises StoreAttachFailed: Cinder could not.
        """
        if volume.status not in _USABLE:
            raise exception.StoreVolumeBusy(volume_id=volume.id,
                                            status=volume.status)
        # A process that died between attach and complete leaves one that
        # blocks every other. A new volume has none: no need to ask.
        if volume.status != 'available':
            self.drop_incomplete(volume)
        try:
            with translated('attach the volume'):
                made = self._api.attachment_create(
                    self._context(), volume.id, ref.attachment_uuid,
                    connector=dict(connector), mountpoint=MOUNTPOINT)
        except exception.StoreError as error:
            # Cinder keeps a row of an attachment that failed (Cinder 29).
            self.drop_incomplete(volume)
            if isinstance(error, exception.StoreUnreachable):
                raise
            raise exception.StoreAttachFailed(volume_id=volume.id) from error
        return Attachment(made['id'],
                          _with_serial(made['connection_info'], volume.id),
                          False)

    def complete(self, attachment: Attachment) -> Attachment:
        """Tell Cinder that this host uses the volume."""
        with translated('complete the attachment'):
            self._api.attachment_complete(self._context(), attachment.id)
        return dataclasses.replace(attachment, completed=True)

    def detach(self, attachment_id: str) -> None:
        """Delete an attachment; one that is gone already is no error."""
        with translated('detach the volume'):
            self._api.attachment_delete(self._context(), attachment_id)

    def detach_elsewhere(self, volume: StoreVolume) -> None:
        """Delete the attachments of every other host.

        :param volume: as found before this host had its attachment.
        """
        for attachment_id, host in volume.hosts.items():
            if host != self._host:
                LOG.info('Volume %(volume)s with UEFI variables is detached '
                         'from host %(host)s.',
                         {'volume': volume.id, 'host': host})
                self.detach(attachment_id)

    def drop_incomplete(self, volume: StoreVolume) -> None:
        """Delete the attachments that no host has completed.

        Not while another host may be making one.
        """
        # Completed ones are listed with the volume, so the rest is not.
        for attachment_id in self._attachment_ids(volume.id):
            if attachment_id not in volume.hosts:
                LOG.info('Dropping the attachment %(attachment)s of volume '
                         '%(volume)s, which was never completed.',
                         {'attachment': attachment_id, 'volume': volume.id})
                self.detach(attachment_id)

    def _attachment_ids(self, volume_id: str) -> list[str]:
        with translated('list the attachments'):
            return [each['id'] for each in self._api.attachment_get_all(
                self._context(), volume_id=volume_id)]

    def delete(self, volume: StoreVolume) -> None:
        """Delete a volume with everything that hangs from it.

        Waits only until Cinder has accepted it. A volume that is gone
        already is no error.
        """
        if volume.status in _COMING:
            # Cinder deletes no volume that is still being made.
            with contextlib.suppress(exception.StoreVolumeFailed):
                volume = self.wait_usable(volume.id)
        for attachment_id in self._attachment_ids(volume.id):
            self.detach(attachment_id)
        with translated('delete the volume'):
            with contextlib.suppress(cinder_errors.NotFound):
                self.client().volumes.delete(volume.id, cascade=True)
        LOG.info('Volume %s with UEFI variables was deleted.', volume.id)


def _is_copy(found: ty.Any) -> bool:
    """Return whether it is the other volume of a move to another type.

    Administrators are shown it, with the name and metadata of the original
    (Cinder 29): the target while it is being filled, and the source that
    could not be deleted afterwards. Neither must be taken for a store.
    """
    status = getattr(found, 'migration_status', None) or ''
    return status.startswith('target:') or status == 'deleting'


def _volume(found: ty.Any) -> StoreVolume:
    changed = getattr(found, 'updated_at', None) or found.created_at
    return StoreVolume(
        id=found.id, status=found.status, metadata=dict(found.metadata),
        changed_at=timeutils.normalize_time(timeutils.parse_isotime(changed)),
        hosts={each['attachment_id']: each.get('host_name')
               for each in found.attachments},
        volume_type=found.volume_type,
        migration_status=getattr(found, 'migration_status', None))


def _with_serial(connection_info: dict[str, ty.Any],
                 volume_id: str) -> dict[str, ty.Any]:
    """Nova's volume drivers find the volume's id there."""
    return {**connection_info, 'serial': volume_id}
