# SPDX-License-Identifier: Apache-2.0
"""The NVRAM of one instance, on this host.

The flash service has the volume open and commits what the guest writes; here
is what happens around that: where the volume is, what a store begins with,
which firmware it fits, and when it is served to QEMU.

If the process dies: a store that is half loaded has no log yet, or the log of
before, and is loaded again by the next start; a store that is served goes on
being served, and is stopped and served again by the next start.
"""
from collections.abc import Callable, Mapping
import dataclasses
import typing as ty

from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.host import record
from nova_armvm.host import volumes as host_volumes
from nova_armvm.profile import guest_xml
from nova_armvm.store import attachments
from nova_armvm.store import cinder
from nova_armvm.store import metadata
from nova_armvm.store import origin as store_origin
from nova_armvm.store import ref as instance_ref
from nova_armvm.uefi import region
from nova_armvm.uefi import varstore

LOG = logging.getLogger(__name__)

#: Asked for an origin only when a store needs one: that defines the domain.
FindOrigin = Callable[[], store_origin.Origin]

# Reasons of versions, in the log for ever; see store.change for the others.
FIRST_BOOT, REBUILD, TAKE_OVER = 'first-boot', 'rebuild', 'take-over'
RESET = 'reset'


@dataclasses.dataclass(frozen=True)
class Content:
    """What a store holds when its guest is about to start.

    :ivar flash_size: bytes of flash that the guest will see.
    :ivar variables: as of now; None where the store cannot be understood.
    :ivar facts: of the firmware, that the volume does not remember yet.
    :ivar new: the store has just been made from its origin.
    """

    flash_size: int
    variables: varstore.VariableStore | None
    facts: Mapping[str, str]
    new: bool


class Stores:
    """The stores of the instances on this host.

    :ivar attachments: of their volumes.
    """

    def __init__(self, host_name: str, volumes: cinder.StoreVolumes,
                 host: attachments.HostVolumes, records: record.HostRecords,
                 service: flash_service.FlashService,
                 templates: store_origin.TemplateReader) -> None:
        self.host_name = host_name
        self.volumes = volumes
        self.records = records
        self.service = service
        self.templates = templates
        self.attachments = attachments.Attachments(volumes, host, records)

    def of(self, ref: instance_ref.InstanceRef) -> 'Store':
        """Return the store of an instance; nothing is asked yet."""
        return Store(self, ref)

    def recorded(self) -> list[instance_ref.InstanceRef]:
        """Return the instances whose volumes were connected here."""
        return [instance_ref.InstanceRef(known.instance, known.project)
                for known in self.records if not known.to_delete]


class Store:
    """The NVRAM of one instance."""

    def __init__(self, stores: Stores,
                 ref: instance_ref.InstanceRef) -> None:
        """Stand for a store; see Stores.of()."""
        self._stores = stores
        self._service = stores.service
        self.ref = ref
        self._connected: attachments.ConnectedVolume | None = None

    # What is known of it

    def recorded(self) -> record.HostRecord | None:
        """Return what this host remembers of it, None for nothing."""
        return self._stores.records.get(self.ref.uuid)

    def is_here(self) -> bool:
        """Return whether its volume is connected to this host, as recorded."""
        known = self.recorded()
        return (known is not None and known.connection_info is not None and
                not known.to_delete)

    def find(self) -> cinder.StoreVolume | None:
        """Return its volume as Cinder shows it, None if there is none.

        :raises StoreError: if Cinder does not say, or several claim to be
            it.
        """
        return self._stores.volumes.find(self.ref)

    def decided_hardware(self) -> Mapping[str, str]:
        """Return what was decided about the machine when it first started.

        From this host's record, else from the volume; empty where neither
        knows.

        :raises StoreError: if Cinder does not say.
        """
        known = self.recorded()
        if known is not None and known.hardware:
            return known.hardware
        volume = self.find()
        return volume.facts.hardware if volume is not None else {}

    @property
    def volume(self) -> cinder.StoreVolume:
        """Return its volume as it was when it was attached."""
        assert self._connected is not None, 'not attached'
        return self._connected.volume

    # Where it is

    def attach(self, may_create: bool) -> None:
        """Have its volume here, open in the flash service, and only here.

        See attachments.Attachments.attach().
        """
        self._connected = self._stores.attachments.attach(self.ref,
                                                          may_create)

    def attach_shared(self) -> None:
        """Have its volume here while another host still uses it."""
        self._connected = self._stores.attachments.attach_shared(self.ref)

    def check_can_move(self) -> None:
        """Refuse a live migration; see Attachments.check_can_move()."""
        self._stores.attachments.check_can_move(self.ref)

    def release(self) -> None:
        """Let its volume go from this host; see Attachments.release()."""
        self._stores.attachments.release(self.ref)

    def delete(self) -> None:
        """Remove everything of it; see Attachments.delete()."""
        self._stores.attachments.delete(self.ref)

    # What it holds

    def load(self, fresh: bool, rebuild: bool, find_origin: FindOrigin,
             take_over: bool = False) -> Content:
        """Return what it holds; made from its origin where that is due.

        :param fresh: the instance never ran: whatever the volume holds does
            not count.
        :param rebuild: begin again with the origin; what was there before
            stays in the history.
        :param find_origin: asked when the store begins with its origin, and
            for one whose firmware the volume does not remember.
        :param take_over: begin with the file that the origin names; a log
            that is there already keeps its history.
        :raises StoreImageInvalid: if the volume holds no store of this
            instance and the instance has run before.
        :raises StoreChangeUnfinished: if an operator's change of a store of
            the old form was cut short.
        :raises StoreError: if it cannot be read or written.
        """
        facts = self.volume.facts
        reset = facts.reset_pending
        begins = rebuild or reset or take_over
        if facts.old_change and not (fresh or begins):
            raise exception.StoreChangeUnfinished(volume_id=self.volume.id)
        found = self._opened().content
        seeded = facts.flash_size is not None
        if fresh or (found in ('blank', 'foreign') and not seeded):
            # Nothing that is found on a volume is trusted before the
            # instance has run: it may be another tenant's.
            return self._begin(find_origin(), 'format')
        if found == 'qcow2':
            self._convert()
        elif found != 'log':
            raise exception.StoreImageInvalid(
                reason='the store that it once held is gone')
        if begins:
            content = self._begin(find_origin(), REBUILD if rebuild else
                                  RESET if reset else TAKE_OVER)
            if reset:
                # Before the guest can write what another reset would lose.
                self._stores.volumes.note_anew(
                    self.volume, {metadata.RESET_KEY: str(False)})
            return content
        return self._present(None if seeded else find_origin())

    def load_resumed(self) -> None:
        """Make sure that there is a store for a guest that is resumed.

        One of the old form is converted; the guest brings its flash along.

        :raises StoreImageInvalid: if the volume holds none.
        :raises StoreError: if it cannot be read or written.
        """
        content = self._opened().content
        if content == 'qcow2':
            self._convert()
        elif content != 'log':
            raise exception.StoreImageInvalid(
                reason='the store that it once held is gone')

    def _opened(self) -> flash_service.Opened:
        assert self._connected is not None, 'not attached'
        return self._connected.opened

    def _asking(self) -> ty.ContextManager[None]:
        return host_volumes.translated(self.volume.id)

    def _convert(self) -> None:
        with self._asking():
            self._service.convert(self.ref.uuid)
        LOG.info('Converted NVRAM volume %s to a log of versions',
                 self.volume.id, instance_uuid=self.ref.uuid)

    def _begin(self, origin: store_origin.Origin, reason: str) -> Content:
        """Make it from its origin.

        :param reason: ``format`` for a new log, else of the new version.
        """
        _check_same(self.volume.facts, origin)
        failed = (exception.StoreSeedFailed if origin.file is None else
                  exception.StoreTakeOverFailed)
        try:
            new = store_origin.content(origin, self._stores.templates)
        except exception.ArmVMError:
            raise
        except Exception as error:
            raise failed(volume_id=self.volume.id) from error
        try:
            self._write(origin, new, reason)
        except exception.StoreReadFailed as error:
            raise failed(volume_id=self.volume.id) from error
        LOG.info('Seeded NVRAM volume %(volume)s from %(origin)s',
                 {'volume': self.volume.id, 'origin': origin},
                 instance_uuid=self.ref.uuid)
        return Content(
            new.flash_size, _understood(new.canonical, self.ref),
            self._facts(origin, new), new=True)

    def _write(self, origin: store_origin.Origin,
               new: store_origin.Content, reason: str) -> None:
        """Put what a store begins with on the volume."""
        with self._asking():
            # Whatever is still served is of before.
            self._service.stop(self.ref.uuid)
            if reason == 'format':
                self._service.format(
                    self.ref.uuid, flash_size=new.flash_size,
                    store=new.canonical, reason=(
                        FIRST_BOOT if origin.file is None else TAKE_OVER))
            else:
                self._service.commit(self.ref.uuid, new.canonical, reason,
                                     flash_size=new.flash_size)

    def _present(self, unnoted: store_origin.Origin | None) -> Content:
        """Return the newest version.

        :param unnoted: where the process that made it died before it could
            note the firmware.
        """
        with self._asking():
            stored = self._service.read(self.ref.uuid)
        facts: dict[str, str] = {metadata.FORM_KEY: metadata.LOG_FORM}
        if unnoted is not None:
            facts |= self._facts(unnoted, store_origin.content(
                dataclasses.replace(unnoted, file=None, image=None),
                self._stores.templates))
        return Content(stored.flash_size,
                       _understood(stored.store, self.ref), facts, new=False)

    def _facts(self, origin: store_origin.Origin,
               new: store_origin.Content) -> dict[str, str]:
        """Return what the volume is to remember of a new store."""
        facts = {metadata.FORM_KEY: metadata.LOG_FORM,
                 metadata.FLASH_SIZE_KEY: str(new.flash_size),
                 metadata.DESCRIPTOR_KEY: origin.descriptor.name,
                 metadata.TEMPLATE_KEY: new.template_sha256,
                 metadata.SECURE_BOOT_KEY: str(origin.secure_boot)}
        image = origin.image
        if image is not None:
            facts |= {metadata.IMAGE_KEY: image.image_id,
                      metadata.IMAGE_CHECKSUM_KEY: image.checksum}
        elif self.volume.facts.template_image is not None:
            # Of an image that the server was rebuilt from before.
            facts |= {metadata.IMAGE_KEY: '', metadata.IMAGE_CHECKSUM_KEY: ''}
        old = self.volume.facts
        if old.reset_pending:
            facts[metadata.RESET_KEY] = str(False)
        if old.old_change:
            facts[metadata.OLD_CHANGING_KEY] = str(False)
        return facts

    def check_firmware(self, content: Content, flash_size: int | None,
                       secure_boot: bool) -> None:
        """Refuse a firmware that it was not made for.

        :param flash_size: of the firmware's template; None if that cannot be
            read.
        :raises FirmwareMismatch: if the flash is of another size, or Secure
            Boot was switched.
        """
        if flash_size != content.flash_size:
            raise exception.FirmwareMismatch(
                stored=f'{content.flash_size} bytes of flash',
                offered=f'{flash_size}')
        stored = self.volume.facts.secure_boot
        if stored is not None and stored != secure_boot:
            words = {True: 'Secure Boot', False: 'Secure Boot switched off'}
            raise exception.FirmwareMismatch(stored=words[stored],
                                             offered=words[secure_boot])

    def note(self, facts: Mapping[str, str],
             hardware: Mapping[str, str]) -> None:
        """Keep facts and what was decided with the volume and this host.

        :raises StoreError: if Cinder could not.
        """
        noted = dict(facts)
        if hardware:
            noted[metadata.HARDWARE_KEY] = metadata.hardware_to_text(hardware)
        self.record_hardware(hardware)
        self._stores.volumes.note(self.volume, noted)
        self._stores.volumes.drop_old_snapshot(self.volume)

    def record_hardware(self, hardware: Mapping[str, str]) -> None:
        """Keep what was decided about the machine on this host."""
        with self._stores.records.updating(
                self.ref.uuid, self.ref.project_id) as known:
            known.hardware = dict(hardware)

    # When it is served

    def serve(self) -> None:
        """Serve it to the QEMU that starts now, and to no other host's.

        :raises StoreError: if the flash service could not.
        """
        self._serve('start')

    def serve_arriving(self) -> None:
        """Serve it to a QEMU into which a running guest comes.

        From another host, or from its saved memory. The store is claimed
        with the first change, or by take().

        :raises StoreError: if the flash service could not.
        """
        self._serve('incoming')

    def _serve(self, mode: str) -> None:
        with self._asking():
            # No QEMU of before is left when another one is started.
            self._service.stop(self.ref.uuid)
            state = self._service.serve(self.ref.uuid, mode,
                                        self._stores.host_name)
        LOG.debug('Serving NVRAM volume %(volume)s (%(mode)s): version '
                  '%(sequence)s, epoch %(epoch)s',
                  {'volume': self.volume.id, 'mode': mode,
                   'sequence': state.sequence, 'epoch': state.epoch},
                  instance_uuid=self.ref.uuid)

    def take(self) -> None:
        """Claim it for this host, where the guest runs now.

        :raises StoreError: if the flash service could not.
        """
        with host_volumes.translated('of ' + self.ref.uuid):
            self._service.take(self.ref.uuid)

    def count_writes(self) -> int | None:
        """Return how often the guest has written to its flash.

        :returns: None where the flash service does not say; a guest that
            writes stands still then.
        """
        try:
            return self._service.state(self.ref.uuid).writes
        except flash_service.FlashServiceError as error:
            LOG.debug('Failed to ask for the writes to the flash: %s', error,
                      instance_uuid=self.ref.uuid)
            return None

    # A file of the stock driver

    def record_file(self, file: guest_xml.FlashFile) -> None:
        """Remember where the variables are, until they are taken over.

        Nova undefines the guest before every start; from then on nobody else
        knows. Ignored for an instance whose volume is in use here.
        """
        if not self.is_here():
            with self._stores.records.updating(
                    self.ref.uuid, self.ref.project_id) as known:
                known.flash_file = (file.path, file.format)

    def recorded_file(self) -> guest_xml.FlashFile | None:
        """Return what record_file() was told."""
        known = self.recorded()
        if known is None or known.flash_file is None:
            return None
        return guest_xml.FlashFile(*known.flash_file)

    def forget_file(self) -> None:
        """End what record_file() began."""
        known = self.recorded()
        if known is None or known.flash_file is None:
            return
        if known.connection_info is None:
            self._stores.records.drop(self.ref.uuid)
            return
        with self._stores.records.updating(
                self.ref.uuid, self.ref.project_id) as known:
            known.flash_file = None


def _check_same(facts: metadata.StoreMetadata,
                origin: store_origin.Origin) -> None:
    """Refuse an image that is not what it was when the store began with it.

    Glance never changes the content of an image, but an id can be used
    again once the image is gone.

    :raises TemplateUnusable: if it is another.
    """
    image = origin.image
    if (image is not None and facts.template_image == image.image_id and
            facts.template_image_sha256 != image.checksum):
        raise exception.TemplateUnusable(
            image_id=image.image_id, reason='its content is not what it was '
            'when the server first started')


def _understood(canonical: bytes, ref: instance_ref.InstanceRef
                ) -> varstore.VariableStore | None:
    """Return the variables, for what the driver decides by them.

    A guest can write anything into its store, and what the firmware makes of
    it is between the two, as on real hardware: no reason not to start.
    """
    try:
        return region.variables_of(canonical)
    except exception.VariableStoreInvalid as error:
        LOG.warning('Starting with a variable store that cannot be '
                    'understood: %s', error, instance_uuid=ref.uuid)
        return None
