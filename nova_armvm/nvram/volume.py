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
import uuid

from cinderclient import exceptions as cinder_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import context as nova_context
from nova import exception as nova_exception
from nova.volume import cinder
from oslo_log import log as logging
from oslo_utils import timeutils

from nova_armvm import exception

LOG = logging.getLogger(__name__)

#: Attachments carry a uuid made from the instance's in this name space: Nova
#: deletes attachments of its own instances that it does not know.
ATTACHMENT_NAMESPACE = uuid.UUID('5b0c6c1e-6d0c-5e4f-9a53-0d2b8a4a6f11')

NAME_PREFIX = 'armvm-nvram-'
INSTANCE_KEY = 'armvm_instance'
PROJECT_KEY = 'armvm_project'

VOLUME_GIB = 1
MOUNTPOINT = 'nvram'

#: Statuses of a volume that is on its way to be usable.
_COMING = ('creating', 'downloading')
_USABLE = ('available', 'reserved', 'attaching', 'in-use')

_FIRST_POLL_SECONDS = 0.1
_POLL_GROWTH = 1.5


@dataclasses.dataclass(frozen=True)
class Owner:
    """The instance that a store belongs to.

    :ivar uuid: of the instance.
    :ivar project_id: of its tenant.
    :ivar availability_zone: for the volume; None lets Cinder choose.
    :ivar instance: Nova's object, handed through to Nova's volume drivers.
    """

    uuid: str
    project_id: str
    availability_zone: str | None = None
    instance: ty.Any = dataclasses.field(default=None, compare=False,
                                         repr=False)

    @property
    def volume_name(self) -> str:
        return NAME_PREFIX + self.uuid

    @property
    def attachment_uuid(self) -> str:
        return str(uuid.uuid5(ATTACHMENT_NAMESPACE, self.uuid))


@dataclasses.dataclass(frozen=True)
class Volume:
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
        return self.metadata[INSTANCE_KEY]


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

    def find(self, owner: Owner) -> Volume | None:
        """Return the volume of an instance, None if there is none.

        Names and metadata are compared here again: Cinder may drop a filter
        that its policy does not know.

        :raises StoreVolumeAmbiguous: several claim to be it.
        """
        found = self.find_all(owner)
        if len(found) > 1:
            raise exception.StoreVolumeAmbiguous(
                volume_ids=', '.join(volume.id for volume in found))
        return found[0] if found else None

    def find_all(self, owner: Owner) -> list[Volume]:
        """Return every volume that claims to be an instance's store."""
        with translated('look for the volume'):
            listed = self.client().volumes.list(
                detailed=True, search_opts={'name': owner.volume_name})
        return [_volume(each) for each in listed
                if each.name == owner.volume_name and
                each.metadata.get(INSTANCE_KEY) == owner.uuid and
                each.status != 'deleting' and not _is_copy(each)]

    def all_stores(self) -> list[Volume]:
        """Return the volumes of all instances of this cloud, whatever status.

        A call for each thousand volumes of the project.
        """
        with translated('list the volumes'):
            listed = self.client().volumes.list(detailed=True)
        return [_volume(each) for each in listed
                if INSTANCE_KEY in each.metadata and
                each.name == NAME_PREFIX + each.metadata[INSTANCE_KEY] and
                not _is_copy(each)]

    def create(self, owner: Owner) -> str:
        """Ask Cinder for a volume; wait_usable() has to follow.

        :returns: its id.
        :raises StoreQuotaExceeded, StoreUnreachable, StoreRefused:
        """
        with translated('make the volume'):
            created = self._api.create(
                self._context(), VOLUME_GIB, owner.volume_name,
                f'UEFI variables of server {owner.uuid}',
                volume_type=self._volume_type,
                availability_zone=owner.availability_zone,
                metadata={INSTANCE_KEY: owner.uuid,
                          PROJECT_KEY: owner.project_id})
        LOG.info('Volume %s was made for the UEFI variables', created['id'],
                 instance_uuid=owner.uuid)
        return created['id']

    def wait_usable(self, volume_id: str) -> Volume:
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

    def _get(self, volume_id: str) -> Volume:
        with translated('look at the volume'):
            return _volume(self.client().volumes.get(volume_id))

    def get(self, volume_id: str) -> Volume | None:
        """Return a store's volume, None if there is none of that id."""
        with translated('look at the volume'):
            try:
                found = self.client().volumes.get(volume_id)
            except cinder_errors.NotFound:
                return None
        return _volume(found)

    def note(self, volume: Volume, facts: Mapping[str, str]) -> None:
        """Add to a volume's metadata what is not there yet."""
        if all(volume.metadata.get(key) == value
               for key, value in facts.items()):
            return
        self.note_anew(volume, facts)

    def note_anew(self, volume: Volume, facts: Mapping[str, str]) -> None:
        """Put facts into a volume's metadata, whatever was seen there."""
        with translated('write the volume\'s metadata'):
            self.client().volumes.set_metadata(volume.id, dict(facts))

    def retype(self, volume: Volume, volume_type: str) -> None:
        """Ask Cinder to move a volume that is not attached to another type.

        Returns at once; the volume is ``retyping`` until it is there.
        """
        with translated('move the volume to another type'):
            self.client().volumes.retype(volume.id, volume_type, 'on-demand')

    def own_attachment(self, volume: Volume) -> Attachment | None:
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

    def attach(self, volume: Volume, owner: Owner,
               connector: Mapping[str, ty.Any]) -> Attachment:
        """Attach a volume to this host; complete() has to follow.

        :param volume: as found.
        :param owner: its instance.
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
                    self._context(), volume.id, owner.attachment_uuid,
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

    def detach_elsewhere(self, volume: Volume) -> None:
        """Delete the attachments of every other host.

        :param volume: as found before this host had its attachment.
        """
        for attachment_id, host in volume.hosts.items():
            if host != self._host:
                LOG.info('Volume %(volume)s with UEFI variables is detached '
                         'from host %(host)s.',
                         {'volume': volume.id, 'host': host})
                self.detach(attachment_id)

    def drop_incomplete(self, volume: Volume) -> None:
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

    def delete(self, volume: Volume) -> None:
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
    """Tell whether Cinder is still filling it, for a move to another type.

    Administrators are shown it, with the name and metadata of the original
    (Cinder 29); a half made copy must not be taken for a store.
    """
    return (getattr(found, 'migration_status', None) or '').startswith(
        'target:')


def _volume(found: ty.Any) -> Volume:
    changed = getattr(found, 'updated_at', None) or found.created_at
    return Volume(
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
