# SPDX-License-Identifier: Apache-2.0
"""Where a store is: its volume, its attachments and this host's connection.

What is left when the process dies, and who cleans up:

* after the volume was asked for: it is found again by name at the next try
  and by the deletion of the instance;
* after the attachment was made: it is incomplete, and dropped by the next
  attach or the deletion;
* after the volume was connected: the host's record says so;
* after the guest has moved on: the host's record is still there, and
  Upkeep finds that the instance is on another host;
* after the instance was deleted and before its volume was: the host's record
  says that it has to go.

A completed attachment is what protects a volume from being deleted. So a
host that a guest leaves keeps its attachment until the next host has one:
that one drops those of all others before the guest starts there.
"""
import dataclasses
import typing as ty

from os_brick import exception as brick_errors
from oslo_concurrency import processutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.host import record
from nova_armvm.host import volumes as host_volumes
from nova_armvm.store import cinder
from nova_armvm.store import ref as instance_ref

LOG = logging.getLogger(__name__)


class HostVolumes(ty.Protocol):
    """Connects volumes to this host and its flash service.

    As nova_armvm.host.volumes.LibvirtHostVolumes does.
    """

    def connector(self, instance: ty.Any) -> dict[str, ty.Any]:
        """Return this host's connector properties (os-brick)."""

    def connect(self, uuid: str, connection_info: host_volumes.ConnectionInfo,
                instance: ty.Any = None) -> flash_service.Opened:
        """Connect and have opened; harmless when it is."""

    def disconnect(self, uuid: str,
                   connection_info: host_volumes.ConnectionInfo,
                   instance: ty.Any = None) -> None:
        """Have closed and disconnect; harmless when it is."""


@dataclasses.dataclass(frozen=True)
class ConnectedVolume:
    """A volume that is attached to this host and open in its flash service.

    :ivar opened: what the flash service found on it.
    """

    volume: cinder.StoreVolume
    attachment: cinder.Attachment
    opened: flash_service.Opened


class Attachments:
    """The NVRAM volumes of the instances on this host."""

    def __init__(self, volumes: cinder.StoreVolumes, host: HostVolumes,
                 records: record.HostRecords) -> None:
        self._volumes = volumes
        self._host = host
        self._records = records

    # To this host

    def attach(self, ref: instance_ref.InstanceRef,
               may_create: bool) -> ConnectedVolume:
        """Find or create an instance's volume and make it this host's alone.

        :param ref: the instance, about to be started here.
        :param may_create: the instance never ran, or is taken over.
        :raises StoreVolumeMissing: if there is none and none may be made.
        :raises StoreError: if Cinder or the host could not; what was done in
            this call towards the attachment is undone.
        """
        volume = self._volumes.find(ref)
        connector = None
        if volume is None:
            if not may_create:
                raise exception.StoreVolumeMissing(name=ref.volume_name)
            volume_id = self._volumes.create(ref)
            # Asks the host a lot, so it is done while Cinder works.
            connector = self._host.connector(ref.instance)
            volume = self._volumes.wait_usable(volume_id)
        elif volume.status == 'creating':
            volume = self._volumes.wait_usable(volume.id)
        connected = self._here(ref, volume, connector)
        # The host that the guest has left, or one that is dead: neither may
        # write from now on, as with Nova's own volumes. What it writes all
        # the same is fenced by the log.
        self._volumes.detach_elsewhere(volume)
        return connected

    def attach_shared(self,
                      ref: instance_ref.InstanceRef) -> ConnectedVolume:
        """Attach and connect a volume that another host uses, too.

        For the destination of a live migration, between whose beginning and
        end the volume is attached to both hosts.

        :raises StoreVolumeMissing: if there is none.
        :raises StoreError: as attach() does.
        """
        return self._here(ref, self.existing(ref), None)

    def existing(self, ref: instance_ref.InstanceRef) -> cinder.StoreVolume:
        """Return the volume of an instance.

        :raises StoreVolumeMissing: if there is none.
        """
        volume = self._volumes.find(ref)
        if volume is None:
            raise exception.StoreVolumeMissing(name=ref.volume_name)
        return volume

    def check_can_move(self, ref: instance_ref.InstanceRef) -> None:
        """Refuse a live migration that Cinder would refuse half-way.

        :raises StoreVolumeMissing: if there is no volume.
        :raises StoreVolumeBusy: if it cannot get a second attachment now, as
            during a backup.
        :raises StoreOfOldForm: if the guest was started by a release that
            gave QEMU the volume.
        """
        volume = self.existing(ref)
        if not volume.facts.has_log:
            raise exception.StoreOfOldForm(volume_id=volume.id)
        if volume.status != 'in-use':
            raise exception.StoreVolumeBusy(volume_id=volume.id,
                                            status=volume.status)

    def _here(self, ref: instance_ref.InstanceRef,
              volume: cinder.StoreVolume,
              connector: dict[str, ty.Any] | None) -> ConnectedVolume:
        attachment = self._volumes.own_attachment(volume)
        if attachment is None:
            attachment = self._create_attachment(
                ref, volume, connector or self._host.connector(ref.instance))
        return self._connect(ref, volume, attachment)

    def _create_attachment(self, ref: instance_ref.InstanceRef,
                           volume: cinder.StoreVolume,
                           connector: dict[str, ty.Any]
                           ) -> cinder.Attachment:
        # Before Cinder makes it: if this process dies in between, or the
        # answer is lost, release() still knows of it.
        with self._records.updating(ref.uuid, ref.project_id):
            pass
        try:
            return self._volumes.attach(volume, ref, connector)
        except (exception.StoreAttachFailed, exception.StoreVolumeBusy):
            # Then Cinder has none.
            self._forget_connection(ref)
            raise

    def _connect(self, ref: instance_ref.InstanceRef,
                 volume: cinder.StoreVolume,
                 attachment: cinder.Attachment) -> ConnectedVolume:
        info = attachment.connection_info
        try:
            _check_suitable(info)
            self._record_connected(ref, info)
            with host_volumes.translated(volume.id):
                opened = self._host.connect(ref.uuid, info, ref.instance)
            if not attachment.completed:
                attachment = self._volumes.complete(attachment)
                LOG.info('Attached NVRAM volume %s', volume.id,
                         instance_uuid=ref.uuid)
            # connect() has put the device's path into it.
            self._record_connected(ref, info)
            return ConnectedVolume(volume, attachment, opened)
        except Exception as error:
            if not attachment.completed:
                self._roll_back(ref, attachment)
            if isinstance(error, exception.ArmVMError):
                raise
            raise exception.StoreConnectFailed(
                volume_id=volume.id) from error

    def _record_connected(self, ref: instance_ref.InstanceRef,
                          info: host_volumes.ConnectionInfo) -> None:
        with self._records.updating(ref.uuid, ref.project_id) as known:
            known.connection_info = info
            known.disconnected = False
            known.to_delete = False

    def _roll_back(self, ref: instance_ref.InstanceRef,
                   attachment: cinder.Attachment) -> None:
        """Take back a new attachment; the error that led here is raised."""
        try:
            self._disconnect(ref, attachment.connection_info)
            self._volumes.detach(attachment.id)
            self._forget_connection(ref)
        except Exception as error:
            LOG.warning('Failed to roll back attachment %(attachment)s; the '
                        'next start or the deletion of the instance will: '
                        '%(error)s',
                        {'attachment': attachment.id, 'error': error},
                        instance_uuid=ref.uuid)

    # From this host

    def _disconnect(self, ref: instance_ref.InstanceRef,
                    info: host_volumes.ConnectionInfo) -> None:
        """Disconnect once, and record that it was done.

        Its device or LUN may be another volume's as soon as Cinder has it
        back, so it is never done again from an old record.

        :raises StoreError, os_brick.exception.BrickException, OSError,
            oslo_concurrency.processutils.ProcessExecutionError: if the host
            could not; to be done again.
        """
        with host_volumes.translated(str(info.get('serial'))):
            self._host.disconnect(ref.uuid, info, ref.instance)
        with self._records.updating(ref.uuid, ref.project_id) as known:
            known.connection_info = None
            known.disconnected = True
        LOG.info('Disconnected NVRAM volume %s', info.get('serial'),
                 instance_uuid=ref.uuid)

    def _connection(self, ref: instance_ref.InstanceRef,
                    own: cinder.Attachment | None
                    ) -> host_volumes.ConnectionInfo | None:
        """Return what is still to be disconnected, None for nothing."""
        known = self._records.get(ref.uuid)
        if known is not None and known.disconnected:
            return None
        if known is not None and known.connection_info is not None:
            return known.connection_info
        return own.connection_info if own is not None else None

    def release(self, ref: instance_ref.InstanceRef) -> None:
        """Take a volume from this host, where its guest no longer runs.

        This host's attachment goes if another host has one. If not, it
        stays and protects the volume until the guest starts elsewhere.
        Harmless where nothing is left.

        :raises StoreError: if Cinder could not; to be done again.
        :raises os_brick.exception.BrickException, OSError,
            oslo_concurrency.processutils.ProcessExecutionError: if the host
            could not; to be done again.
        """
        known = self._records.get(ref.uuid)
        if known is not None and (known.to_delete or known.only_in_file):
            return
        volume = self._volumes.find(ref)
        if volume is not None and volume.status == 'attaching':
            # A process that died here before it could complete its own.
            self._volumes.drop_incomplete(volume)
        own = self._volumes.own_attachment(volume) if volume else None
        info = self._connection(ref, own)
        if info is not None:
            self._disconnect(ref, info)
        if own is not None and len(volume.hosts) > 1:
            self._volumes.detach(own.id)
        self._records.drop(ref.uuid)

    def detach_everywhere(self, ref: instance_ref.InstanceRef) -> None:
        """Disconnect a volume here and delete its every attachment.

        For what Cinder does only with a volume that nobody uses; attach()
        has to follow. Harmless when done already.

        :raises StoreError: as release(), and so with the host's errors.
        """
        volume = self.existing(ref)
        info = self._connection(ref, self._volumes.own_attachment(volume))
        if info is not None:
            self._disconnect(ref, info)
        for attachment_id in volume.hosts:
            self._volumes.detach(attachment_id)
        self._records.drop(ref.uuid)

    def _forget_connection(self, ref: instance_ref.InstanceRef) -> None:
        known = self._records.get(ref.uuid)
        if known is None or known.flash_file is None:
            self._records.drop(ref.uuid)
            return
        with self._records.updating(ref.uuid, ref.project_id) as known:
            known.connection_info = None
            known.disconnected = False

    # The end

    def delete(self, ref: instance_ref.InstanceRef) -> None:
        """Remove everything of an instance's store, here and in Cinder.

        Only for an instance that is really gone or never ran. When it fails
        the host's record keeps the intention, and Upkeep tries again.

        :raises StoreError: if the volume or an attachment is still there.
        """
        # Before anything is undone: after a crash the deletion is retried.
        with self._records.updating(ref.uuid, ref.project_id) as known:
            known.to_delete = True
            known.flash_file = None
            info = None if known.disconnected else known.connection_info
        try:
            if info is not None:
                self._disconnect(ref, info)
        except (exception.StoreError, brick_errors.BrickException,
                processutils.ProcessExecutionError, OSError) as error:
            # The device of a volume that is about to vanish: as Nova does
            # for the data volumes of a server that is being deleted.
            LOG.warning('Failed to disconnect an NVRAM volume that is being '
                        'deleted: %s', error, instance_uuid=ref.uuid)
            # Not again, once Cinder has the LUN back.
            with self._records.updating(ref.uuid, ref.project_id) as known:
                known.disconnected = True
        for volume in self._volumes.find_all(ref):
            self._volumes.delete(volume)
        self._records.drop(ref.uuid)

    def pending_deletions(self) -> list[instance_ref.InstanceRef]:
        """Return the instances whose volumes could not be deleted yet."""
        return [instance_ref.InstanceRef(known.instance, known.project)
                for known in self._records if known.to_delete]

    def keep(self, ref: instance_ref.InstanceRef) -> None:
        """Take back the intention to delete a store."""
        if self._records.get(ref.uuid) is not None:
            with self._records.updating(ref.uuid, ref.project_id) as known:
                known.to_delete = False


def _check_suitable(connection_info: host_volumes.ConnectionInfo) -> None:
    """Refuse volumes in which a store would be lost or unreadable."""
    details = connection_info['data']
    if details.get('encrypted'):
        raise exception.StoreVolumeUnsuitable(
            reason='its volume type is encrypted')
    if details.get('access_mode') == 'ro':
        raise exception.StoreVolumeUnsuitable(reason='it is read-only')
    if connection_info.get('multiattach'):
        raise exception.StoreVolumeUnsuitable(
            reason='its volume type is multi-attach')
    if details.get('format') not in (None, 'raw'):
        raise exception.StoreVolumeUnsuitable(
            reason='its back end keeps volumes in a format of their own')
