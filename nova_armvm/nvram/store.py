# SPDX-License-Identifier: Apache-2.0
"""Stores on this host: from "this instance needs one" to "it is gone".

What is left when the process dies, and who cleans up:

* after the volume was asked for: it is found again by name at the next try
  and by the deletion of the instance;
* after the attachment was made: it is incomplete, and dropped by the next
  attach or the deletion;
* after the volume was connected: the host's record says so;
* while the seed was written: the volume has no magic number yet and is
  seeded again (nova_armvm.nvram.seed);
* after the instance was deleted and before its volume was: the host's record
  says that it has to go.
"""
from collections.abc import Callable
import contextlib
import dataclasses
import typing as ty

from os_brick import exception as brick_errors
from oslo_concurrency import processutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.nvram import access
from nova_armvm.nvram import firmware
from nova_armvm.nvram import ftw
from nova_armvm.nvram import qcow2
from nova_armvm.nvram import record
from nova_armvm.nvram import seed
from nova_armvm.nvram import varstore
from nova_armvm.nvram import volume as cinder_volume
from nova_armvm.profile import guest_xml

LOG = logging.getLogger(__name__)

# What a volume remembers of the firmware that its store was made for.
FLASH_SIZE_KEY = 'armvm_flash_size'
DESCRIPTOR_KEY = 'armvm_firmware'
TEMPLATE_KEY = 'armvm_template_sha256'
SECURE_BOOT_KEY = 'armvm_secure_boot'
OFFERED_KEY = 'armvm_boot_offered'


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


@dataclasses.dataclass(frozen=True)
class Content:
    """What a store holds when its guest is about to start.

    :ivar flash_size: bytes of flash that the guest will see.
    :ivar variables: as of now; None where the store cannot be understood.
    :ivar made_for: facts of the firmware that the volume does not hold yet.
    :ivar new: the store was seeded just now.
    """

    flash_size: int
    variables: varstore.VariableStore | None
    made_for: dict[str, str]
    new: bool


class Stores:
    """The stores of the instances on this host."""

    def __init__(self, volumes: cinder_volume.StoreVolumes,
                 host_side: HostSide, records: record.HostRecords,
                 seeds: seed.SeedBuilder) -> None:
        self._volumes = volumes
        self._host_side = host_side
        self._records = records
        self._seeds = seeds

    def provide(self, owner: cinder_volume.Owner,
                may_create: bool) -> ConnectedStore:
        """Find or make an instance's volume, attach it and connect it.

        :param owner: the instance.
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
        attachment = self._volumes.own_attachment(volume)
        if attachment is None:
            attachment = self._volumes.attach(
                volume, owner, connector or self._host_side.connector(owner))
        return ConnectedStore(owner, volume,
                              self._connected(owner, volume, attachment))

    def _connected(
            self, owner: cinder_volume.Owner, volume: cinder_volume.Volume,
            attachment: cinder_volume.Attachment) -> cinder_volume.Attachment:
        info = attachment.connection_info
        try:
            _check_suitable(info)
            self._records.put(record.HostRecord(
                instance=owner.uuid, project=owner.project_id,
                connection_info=info))
            self._host_side.connect(owner, info)
            if not attachment.completed:
                attachment = self._volumes.complete(attachment)
                LOG.info('Volume %s was attached for the UEFI variables',
                         volume.id, instance_uuid=owner.uuid)
            # connect() has put the device's path into it.
            self._records.put(record.HostRecord(
                instance=owner.uuid, project=owner.project_id,
                connection_info=info))
            return attachment
        except Exception as error:
            if not attachment.completed:
                self._undo(owner, attachment)
            if isinstance(error, exception.ArmVMError):
                raise
            raise exception.StoreConnectFailed(
                volume_id=volume.id) from error

    def _undo(self, owner: cinder_volume.Owner,
              attachment: cinder_volume.Attachment) -> None:
        """Take back a new attachment; the error that led here is raised."""
        try:
            self._host_side.disconnect(owner, attachment.connection_info)
            self._volumes.detach(attachment.id)
            self._records.drop(owner.uuid)
        except Exception as error:
            LOG.warning('Attachment %(attachment)s could not be taken back; '
                        'the next start or the deletion of the instance '
                        'will: %(error)s',
                        {'attachment': attachment.id, 'error': error},
                        instance_uuid=owner.uuid)

    def source(self, store: ConnectedStore) -> guest_xml.NvramSource:
        """Return how libvirt is told of a store."""
        return self._host_side.source(store.attachment.connection_info)

    def content(
            self, store: ConnectedStore, reset: bool,
            template: Callable[[], tuple[firmware.Descriptor, bool]]
    ) -> Content:
        """Read a store, after seeding it when it is new.

        :param store: not in use by a guest.
        :param reset: begin again with the template (rebuild).
        :param template: asked when the volume does not say what it was made
            for: the firmware that the guest gets and whether it is for
            Secure Boot.
        :raises StoreSeedFailed: the template could not be written.
        :raises StoreReadFailed: the volume could not be read.
        :raises StoreImageInvalid: it holds something else than a store.
        """
        known = FLASH_SIZE_KEY in store.volume.metadata
        # Asked before the volume is opened: what fails in it is not ours.
        firmware_for_it = template() if reset or not known else None
        with self._opened(store) as volume:
            if not reset and seed.is_seeded(volume):
                return self._read(store, volume, firmware_for_it)
            if firmware_for_it is None:
                raise exception.StoreImageInvalid(
                    reason='the store that it once held is gone')
            return self._seed(store, volume, *firmware_for_it)

    def _read(self, store: ConnectedStore, volume: access.VolumeBytes,
              unnoted: tuple[firmware.Descriptor, bool] | None) -> Content:
        reader = qcow2.Qcow2Reader(volume.read_at)
        flash = reader.read(0, min(reader.virtual_size, varstore.READ_SIZE))
        variables = _understood(flash, store.owner)
        if variables is not None and variables.erased:
            LOG.warning('The host went down while the firmware rewrote the '
                        'variable store; finishing that from the copy.',
                        instance_uuid=store.owner.uuid)
            finish_rewrite(flash, reader, volume)
        made_for = {}
        if unnoted is not None:
            # Seeded by a process that died before it could note the rest.
            made_for = _facts(self._seeds.seed_for(
                unnoted[0].template, unnoted[0].template_format), *unnoted)
        return Content(reader.virtual_size, variables, made_for, new=False)

    @contextlib.contextmanager
    def _opened(self, store: ConnectedStore):
        try:
            with self._host_side.open(
                    store.attachment.connection_info) as volume:
                yield volume
        except exception.ArmVMError:
            raise
        except Exception as error:
            raise exception.StoreReadFailed(
                volume_id=store.volume.id) from error

    def _seed(self, store: ConnectedStore, volume: access.VolumeBytes,
              descriptor: firmware.Descriptor, secure_boot: bool) -> Content:
        try:
            new = self._seeds.seed_for(descriptor.template,
                                       descriptor.template_format)
            seed.write(new, volume)
        except exception.ArmVMError:
            raise
        except Exception as error:
            raise exception.StoreSeedFailed(
                volume_id=store.volume.id) from error
        LOG.info('Volume %(volume)s was seeded from firmware %(firmware)s',
                 {'volume': store.volume.id, 'firmware': descriptor.name},
                 instance_uuid=store.owner.uuid)
        return Content(new.flash_size, varstore.parse(b''),
                       _facts(new, descriptor, secure_boot), new=True)

    def check_fits(self, store: ConnectedStore, content: Content,
                   descriptor: firmware.Descriptor,
                   secure_boot: bool) -> None:
        """Refuse a firmware that a store was not made for.

        :raises FirmwareMismatch: flash of another size, or Secure Boot
            switched.
        """
        offered = self._seeds.flash_size(descriptor.template,
                                         descriptor.template_format)
        if offered != content.flash_size:
            raise exception.FirmwareMismatch(
                stored=f'{content.flash_size} bytes of flash',
                offered=f'{offered}')
        stored = store.volume.metadata.get(SECURE_BOOT_KEY)
        if stored is not None and stored != str(secure_boot):
            words = {True: 'Secure Boot', False: 'Secure Boot switched off'}
            raise exception.FirmwareMismatch(
                stored=words[stored == str(True)],
                offered=words[secure_boot])

    def note(self, store: ConnectedStore, facts: dict[str, str]) -> None:
        """Keep facts about a store with its volume."""
        self._volumes.note(store.volume, facts)

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


def finish_rewrite(flash: bytes, reader: qcow2.Qcow2Reader,
                   volume: access.VolumeBytes) -> None:
    """Finish the rewrite of a store that was cut short after it was erased.

    AAVMF formats such a store at its next start although the copy that it
    made is complete (tried with 2022.11), and everything would be lost.
    Written backwards: until the volume header comes, last of all, the store
    counts as erased and the copy as what it is.

    :param flash: as read, from a store that is erased.
    :param reader: of the same volume.
    :param volume: not in use by a guest.
    """
    whole = varstore.settled(flash)
    for start, place, length in reversed(reader.places(ftw.BLOCK_SIZE)):
        volume.write_at(place, whole[start:start + length])
        volume.flush()


def _facts(made: seed.Seed, descriptor: firmware.Descriptor,
           secure_boot: bool) -> dict[str, str]:
    """Return what a volume remembers of the firmware."""
    return {FLASH_SIZE_KEY: str(made.flash_size),
            DESCRIPTOR_KEY: descriptor.name,
            TEMPLATE_KEY: made.checksum,
            SECURE_BOOT_KEY: str(secure_boot)}


def _understood(flash: bytes,
                owner: cinder_volume.Owner) -> varstore.VariableStore | None:
    """Read the variables, for what the driver decides by them.

    A guest can write anything into its store, and what the firmware makes of
    it is between the two, as on real hardware: no reason not to start.
    """
    try:
        return varstore.parse(flash)
    except exception.VariableStoreInvalid as error:
        LOG.warning('%s It is left as it is.', error,
                    instance_uuid=owner.uuid)
        return None


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
