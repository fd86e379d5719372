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
import contextlib
import dataclasses
import typing as ty

from os_brick import exception as brick_errors
from oslo_concurrency import processutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import record
from nova_armvm.nvram import access
from nova_armvm.nvram import volume as cinder_volume
from nova_armvm.profile import guest_xml

LOG = logging.getLogger(__name__)


class HostSide(ty.Protocol):
    """How volumes reach this host; the driver's side of the bargain."""

    def connector(self, owner: cinder_volume.Owner) -> dict[str, ty.Any]:
        """Return this host's connector properties (os-brick)."""

    def connect(self, owner: cinder_volume.Owner,
                connection_info: access.ConnectionInfo) -> None:
        """Connect; harmless when connected. Puts device_path in place."""

    def disconnect(self, owner: cinder_volume.Owner,
                   connection_info: access.ConnectionInfo) -> None:
        """Disconnect; harmless when not connected."""

    def source(
            self,
            connection_info: access.ConnectionInfo) -> guest_xml.NvramSource:
        """Return how libvirt is told of the volume."""

    def open(
            self, connection_info: access.ConnectionInfo
    ) -> contextlib.AbstractContextManager[access.VolumeBytes]:
        """Open the connected volume's bytes."""


@dataclasses.dataclass(frozen=True)
class ConnectedStore:
    """A store whose volume is attached to and connected on this host."""

    owner: cinder_volume.Owner
    volume: cinder_volume.Volume
    attachment: cinder_volume.Attachment


class HostedStores:
    """The stores of the instances on this host."""

    def __init__(self, volumes: cinder_volume.StoreVolumes,
                 host_side: HostSide, records: record.HostRecords) -> None:
        self._volumes = volumes
        self._host_side = host_side
        self._records = records

    def provide(self, owner: cinder_volume.Owner,
                may_create: bool) -> ConnectedStore:
        """Find or make an instance's volume and make it this host's alone.

        :param owner: the instance, about to be started here.
        :param may_create: the instance never ran, or starts afresh.
        :raises StoreVolumeMissing: there is none and none may be made.
        :raises StoreError: Cinder or the host could not; what was done in
            this call towards the attachment is undone.
        """
        volume = self._volumes.find(owner)
        connector = None
        if volume is None:
            if not may_create:
                raise exception.StoreVolumeMissing(name=owner.volume_name)
            asked = self._volumes.create(owner)
            # Asks the host a lot, so it is done while Cinder works.
            connector = self._host_side.connector(owner)
            volume = self._volumes.wait_usable(asked)
        elif volume.status == 'creating':
            volume = self._volumes.wait_usable(volume.id)
        store = self._here(owner, volume, connector)
        # The host that the guest has left, or one that is dead: neither may
        # write from now on, as with Nova's own volumes.
        self._volumes.detach_elsewhere(volume)
        return store

    def join(self, owner: cinder_volume.Owner) -> ConnectedStore:
        """Attach and connect a store that another host uses, too.

        For the destination of a live migration, between whose beginning and
        end the volume is attached to both hosts.

        :raises StoreVolumeMissing: there is none.
        :raises StoreError: as provide().
        """
        return self._here(owner, self._existing(owner), None)

    def present(self, owner: cinder_volume.Owner) -> ConnectedStore | None:
        """Return a store that is attached to this host, else None.

        Changes nothing: the guest may have moved on, or be gone.
        """
        volume = self._volumes.find(owner)
        own = self._volumes.own_attachment(volume) if volume else None
        return ConnectedStore(owner, volume, own) if own else None

    def _existing(self, owner: cinder_volume.Owner) -> cinder_volume.Volume:
        volume = self._volumes.find(owner)
        if volume is None:
            raise exception.StoreVolumeMissing(name=owner.volume_name)
        return volume

    def check_can_move(self, owner: cinder_volume.Owner) -> None:
        """Refuse a live migration that Cinder would refuse half-way.

        :raises StoreVolumeMissing: there is no volume.
        :raises StoreVolumeBusy: it cannot get a second attachment now, as
            during a backup.
        """
        volume = self._existing(owner)
        if volume.status != 'in-use':
            raise exception.StoreVolumeBusy(volume_id=volume.id,
                                            status=volume.status)

    def _here(self, owner: cinder_volume.Owner, volume: cinder_volume.Volume,
              connector: dict[str, ty.Any] | None) -> ConnectedStore:
        attachment = self._volumes.own_attachment(volume)
        if attachment is None:
            attachment = self._attach(
                owner, volume, connector or self._host_side.connector(owner))
        return ConnectedStore(owner, volume,
                              self._connected(owner, volume, attachment))

    def _attach(self, owner: cinder_volume.Owner,
                volume: cinder_volume.Volume,
                connector: dict[str, ty.Any]) -> cinder_volume.Attachment:
        known = self._records.get(owner.uuid)
        if known is None:
            # Before Cinder makes it: if this process dies in between, or the
            # answer is lost, leave() still knows of it.
            self._records.put(record.HostRecord(
                instance=owner.uuid, project=owner.project_id))
        try:
            return self._volumes.attach(volume, owner, connector)
        except (exception.StoreAttachFailed, exception.StoreVolumeBusy):
            # Then Cinder has none.
            self._forget_connection(owner)
            raise

    def leave(self, owner: cinder_volume.Owner) -> None:
        """Take a store from this host, where its guest no longer runs.

        This host's attachment goes if another host has one. If not, it
        stays and protects the volume until the guest starts elsewhere.
        Harmless where nothing is left.

        :raises StoreError: Cinder could not; to be done again.
        :raises os_brick.exception.BrickException, OSError,
            oslo_concurrency.processutils.ProcessExecutionError: the host
            could not; to be done again.
        """
        known = self._records.get(owner.uuid)
        if known is not None and (known.to_delete or known.only_in_file):
            return
        connection_info = known.connection_info if known else None
        volume = self._volumes.find(owner)
        if volume is not None and volume.status == 'attaching':
            # A process that died here before it could complete its own.
            self._volumes.drop_incomplete(volume)
        own = self._volumes.own_attachment(volume) if volume else None
        if connection_info is None and own is not None:
            connection_info = own.connection_info
        if connection_info is not None:
            self._host_side.disconnect(owner, connection_info)
        if own is not None and len(volume.hosts) > 1:
            self._volumes.detach(own.id)
        self._records.drop(owner.uuid)
        if connection_info is not None:
            LOG.info('Volume %s with the UEFI variables was disconnected',
                     connection_info.get('serial'), instance_uuid=owner.uuid)

    def let_go(self, owner: cinder_volume.Owner) -> None:
        """Disconnect a store here and drop its every attachment.

        For what Cinder does only with a volume that nobody uses; provide()
        has to follow. Harmless when done already.

        :raises StoreError: as leave(), and so with the host's errors.
        """
        known = self._records.get(owner.uuid)
        volume = self._existing(owner)
        own = self._volumes.own_attachment(volume)
        info = known.connection_info if known else None
        if info is None and own is not None:
            info = own.connection_info
        if info is not None:
            self._host_side.disconnect(owner, info)
        for attachment_id in volume.hosts:
            self._volumes.detach(attachment_id)
        self._records.drop(owner.uuid)

    # Variables in a file of the stock driver

    def keep_in_mind(self, owner: cinder_volume.Owner,
                     file: guest_xml.FlashFile) -> None:
        """Remember where an instance's variables are, until taken over.

        Nova undefines the guest before every start; from then on nobody else
        knows. Ignored for an instance whose volume is in use here.
        """
        known = self._records.get(owner.uuid)
        if known is None or known.connection_info is None:
            self._records.put(record.HostRecord(
                instance=owner.uuid, project=owner.project_id,
                flash_file=(file.path, file.format)))

    def flash_file(self,
                   owner: cinder_volume.Owner) -> guest_xml.FlashFile | None:
        """Return what keep_in_mind() was told."""
        known = self._records.get(owner.uuid)
        if known is None or known.flash_file is None:
            return None
        return guest_xml.FlashFile(*known.flash_file)

    def forget_file(self, owner: cinder_volume.Owner) -> None:
        """End what keep_in_mind() began."""
        known = self._records.get(owner.uuid)
        if known is None or known.flash_file is None:
            return
        if known.connection_info is None:
            self._records.drop(owner.uuid)
        else:
            self._records.put(dataclasses.replace(known, flash_file=None))

    def _forget_connection(self, owner: cinder_volume.Owner) -> None:
        known = self._records.get(owner.uuid)
        if known is not None and known.flash_file is not None:
            self._records.put(dataclasses.replace(known,
                                                  connection_info=None))
        else:
            self._records.drop(owner.uuid)

    def is_recorded(self, owner: cinder_volume.Owner) -> bool:
        """Tell whether a volume was connected here and not disconnected."""
        return self._records.get(owner.uuid) is not None

    def device_paths(self) -> list[str]:
        """Return the devices of this host that stores are connected as."""
        return [path for known in self._records
                for path in _device_paths(known)]

    def device_paths_of(self, instance: str) -> list[str]:
        """Return the device that one store is connected as, if any."""
        return _device_paths(self._records.get(instance))

    def recorded(self) -> list[cinder_volume.Owner]:
        """Return the instances whose volumes were connected here."""
        return [cinder_volume.Owner(known.instance, known.project)
                for known in self._records if not known.to_delete]

    def _connected(
            self, owner: cinder_volume.Owner, volume: cinder_volume.Volume,
            attachment: cinder_volume.Attachment) -> cinder_volume.Attachment:
        info = attachment.connection_info
        try:
            _check_suitable(info)
            self._note_connected(owner, info)
            self._host_side.connect(owner, info)
            if not attachment.completed:
                attachment = self._volumes.complete(attachment)
                LOG.info('Volume %s was attached for the UEFI variables',
                         volume.id, instance_uuid=owner.uuid)
            # connect() has put the device's path into it.
            self._note_connected(owner, info)
            return attachment
        except Exception as error:
            if not attachment.completed:
                self._undo(owner, attachment)
            if isinstance(error, exception.ArmVMError):
                raise
            raise exception.StoreConnectFailed(
                volume_id=volume.id) from error

    def _note_connected(self, owner: cinder_volume.Owner,
                        info: access.ConnectionInfo) -> None:
        known = self._records.get(owner.uuid)
        self._records.put(record.HostRecord(
            instance=owner.uuid, project=owner.project_id,
            connection_info=info,
            flash_file=known.flash_file if known else None))

    def _undo(self, owner: cinder_volume.Owner,
              attachment: cinder_volume.Attachment) -> None:
        """Take back a new attachment; the error that led here is raised."""
        try:
            self._host_side.disconnect(owner, attachment.connection_info)
            self._volumes.detach(attachment.id)
            self._forget_connection(owner)
        except Exception as error:
            LOG.warning('Attachment %(attachment)s could not be taken back; '
                        'the next start or the deletion of the instance '
                        'will: %(error)s',
                        {'attachment': attachment.id, 'error': error},
                        instance_uuid=owner.uuid)

    def delete(self, owner: cinder_volume.Owner) -> None:
        """Remove everything of an instance's store, here and in Cinder.

        Only for an instance that is really gone or never ran. When it fails
        the host's record keeps the intention for retry_deletions().

        :raises StoreError: the volume or an attachment is still there.
        """
        known = self._records.get(owner.uuid)
        info = known.connection_info if known else None
        # Before anything is undone, so that a crash from here on is made good.
        self._records.put(record.HostRecord(
            instance=owner.uuid, project=owner.project_id,
            connection_info=info, to_delete=True))
        try:
            if info is not None:
                self._host_side.disconnect(owner, info)
        except (brick_errors.BrickException,
                processutils.ProcessExecutionError, OSError) as error:
            # The device of a volume that is about to vanish: as Nova does
            # for the data volumes of a server that is being deleted.
            LOG.warning('Ignoring that the volume with the UEFI variables '
                        'was not disconnected cleanly: %s', error,
                        instance_uuid=owner.uuid)
        for volume in self._volumes.find_all(owner):
            self._volumes.delete(volume)
        self._records.drop(owner.uuid)

    def pending_deletions(self) -> list[cinder_volume.Owner]:
        """Return the instances whose volumes could not be deleted yet."""
        return [cinder_volume.Owner(known.instance, known.project)
                for known in self._records if known.to_delete]

    def keep(self, owner: cinder_volume.Owner) -> None:
        """Take back the intention to delete a store."""
        known = self._records.get(owner.uuid)
        if known is not None:
            self._records.put(dataclasses.replace(known, to_delete=False))


def _device_paths(known: record.HostRecord | None) -> list[str]:
    if known is None or known.connection_info is None:
        return []
    # Put there by Nova's volume drivers, for all but those on the network.
    path = known.connection_info['data'].get('device_path')
    return [path] if isinstance(path, str) else []


def _check_suitable(connection_info: access.ConnectionInfo) -> None:
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
