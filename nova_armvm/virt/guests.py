# SPDX-License-Identifier: Apache-2.0
"""The ARM guests of this host: what the driver decides about each."""
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os

from nova.compute import power_state
from nova.compute import task_states
from nova.compute import vm_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.virt.libvirt import driver as libvirt_driver
from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.host import flash_protocol
from nova_armvm.host import flash_service
from nova_armvm.host import privileged
from nova_armvm.host import record
from nova_armvm.host import volumes as host_volumes
from nova_armvm.profile import guest_xml
from nova_armvm.profile.handlers import nvram
from nova_armvm.store import cinder
from nova_armvm.store import metadata
from nova_armvm.store import origin
from nova_armvm.store import ref as instance_ref
from nova_armvm.store import store as nvram_store
from nova_armvm.virt import background
from nova_armvm.virt import build
from nova_armvm.virt import flash_watch
from nova_armvm.virt import image_gate
from nova_armvm.virt import instances
from nova_armvm.virt import knowledge
from nova_armvm.virt import lifecycle
from nova_armvm.virt import machines
from nova_armvm.virt import moves
from nova_armvm.virt import start
from nova_armvm.virt import upkeep

LOG = logging.getLogger(__name__)


class Guests:
    """State of the driver beyond Nova's: stores and builds in progress.

    :ivar machines: what is decided about their hardware.
    :ivar moves: what is decided when a guest goes from host to host.
    :ivar knows: whether an instance has a store.
    :ivar builds: in progress.
    """

    def __init__(self, driver, conf: cfg.ConfigOpts) -> None:
        """Read the options and prepare.

        :param driver: the compute driver, initialised.
        :param conf: nova.conf.
        """
        own = os.path.join(conf.state_path, 'armvm')
        directory = conf.armvm.nvramd_directory
        self._host_name = conf.host
        self._libvirt = driver._host
        volumes = cinder.StoreVolumes(
            conf.host, conf.armvm.nvram_volume_type,
            cinder.Patience(
                limit=(conf.block_device_allocate_retries *
                       conf.block_device_allocate_retries_interval),
                interval=conf.block_device_allocate_retries_interval))
        service = flash_service.FlashService(directory)
        self.machines = machines.Machines(driver._host, conf)
        self._gate = image_gate.ImageGate(conf)
        self._refs = instances.Refs(conf.cinder.cross_az_attach)
        self._stores = nvram_store.Stores(
            conf.host, volumes,
            host_volumes.LibvirtHostVolumes(driver, service),
            record.HostRecords(os.path.join(own, 'stores')), service,
            origin.TemplateReader(os.path.join(own, 'templates')))
        self.knows = knowledge.Knowledge(self._stores, self._refs)
        self._starter = start.Starter(
            driver._host,
            os.path.join(directory, flash_protocol.NBD_SOCKET),
            conf.armvm.nvram_reconnect_seconds,
            lambda: firmware.load_descriptors(
                conf.armvm.firmware_descriptor_dirs))
        self.moves = moves.Moves(conf.host, self.knows)
        self._upkeep = upkeep.Upkeep(
            conf.host, driver._host, self._stores, self.moves,
            lambda instance: self._delete(self._refs.ref(instance)))
        self._flash_watch = flash_watch.FlashWatch(driver._host, service)
        self.builds = build.Builds(conf.host, self.knows, self.machines,
                                   self._delete)
        # Instances whose rescue disk Nova is about to start.
        self._rescues: set[str] = set()

    def abandon(self, instance: objects.Instance) -> None:
        """Undo what was prepared for a build that did not come to spawn()."""
        ended = self.builds.end(instance)
        if ended is not None and ended.volume is not None:
            self._delete_if_possible(instance)

    # Every start

    def had_flash_file(self, instance: objects.Instance,
                       xml: str) -> None:
        """Record where a guest of the stock driver has its variables.

        :param xml: of the guest as it is defined.
        """
        file = guest_xml.flash_file(xml)
        undecided = instances.NVRAM_KEY not in instance.system_metadata
        if (file is not None and instance.vm_state != vm_states.RESCUED and
                (undecided or instances.has_store(instance)) and
                # A first boot that was cut short has defined one that no
                # QEMU has ever made.
                privileged.file_size(file.path) is not None):
            self.knows.store(instance).record_file(file)

    def _file_to_take_over(self, instance: objects.Instance
                           ) -> guest_xml.FlashFile | None:
        """Return the file of a guest that this driver has not had yet.

        Decides and records where its variables live from now on. A guest
        that has a volume has left its file behind long ago.
        """
        store = self.knows.store(instance)
        file = store.recorded_file()
        if file is None:
            return None
        if instances.NVRAM_KEY not in instance.system_metadata:
            self.machines.decide(instance, instance.image_meta)
        if not instances.has_store(instance):
            store.forget_file()
            return None
        return file

    @contextlib.contextmanager
    def rescuing(self, instance: objects.Instance) -> Iterator[None]:
        """Know that what is started within is the rescue disk."""
        self._rescues.add(instance.uuid)
        try:
            yield
        finally:
            self._rescues.discard(instance.uuid)

    @contextlib.contextmanager
    def starting(self, context: nova_context.RequestContext,
                 instance: objects.Instance,
                 xml: str) -> Iterator[start.Form]:
        """Give the form in which a guest is defined."""
        if not guest_xml.is_arm(xml):
            yield start.Form(xml, xml, False)
            return
        if instance.vm_state == vm_states.BUILDING:
            self._gate.check(instance)
        resuming = instance.task_state == task_states.RESUMING
        file = None if resuming else self._file_to_take_over(instance)
        if not self.builds.begins_afresh(instance):
            self.knows.restore(instance)
        if not resuming:
            xml = self.machines.described(instance, xml,
                                          self._starter.as_chosen)
        kind = lifecycle.start_kind(
            arm=True, persistent=instances.has_store(instance),
            rescue_disk=instance.uuid in self._rescues,
            task_state=instance.task_state)
        with self._form(context, instance, xml, kind, file) as form:
            yield form

    @contextlib.contextmanager
    def _form(self, context: nova_context.RequestContext,
              instance: objects.Instance, xml: str,
              kind: lifecycle.StartKind,
              file: guest_xml.FlashFile | None) -> Iterator[start.Form]:
        if kind is lifecycle.StartKind.VOLATILE:
            yield start.Form(xml, xml, False)
        elif kind is lifecycle.StartKind.RESCUE:
            if file is not None:
                # The scratch file would be made in its place.
                self._take_over(context, instance, xml, file)
            # The rescue system gets a store of its own, a plain file.
            self._starter.discard_scratch(guest_xml.without_nvram(xml))
            yield start.Form(xml, xml, False)
        elif kind is lifecycle.StartKind.RESUME:
            with self._resuming(instance, xml) as form:
                yield form
        else:
            self._check_has_flash(xml)
            with self._starting(context, instance, xml, file) as form:
                yield form

    @staticmethod
    def _check_has_flash(xml: str) -> None:
        if not guest_xml.has_variable_flash(xml):
            raise exception.PropertyUnmet(
                name=nvram.PROPERTY.image_name, value=nvram.PERSISTENT,
                reason='the server has no UEFI firmware with variables')

    def _loader(self, context: nova_context.RequestContext,
                instance: objects.Instance) -> start.LoadImage:
        return lambda: self.builds.load_image(context, instance)

    def _take_over(self, context: nova_context.RequestContext,
                   instance: objects.Instance, xml: str,
                   file: guest_xml.FlashFile) -> None:
        """Bring the variables of a stock guest onto a volume, whole."""
        store = build.attached(self.knows.store(instance), may_create=True)
        with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
            form = self._starter.form(
                xml, store, False, False, file,
                self._loader(context, instance))
            store.note(form.facts, instances.hardware(instance).decided())
            store.forget_file()

    @contextlib.contextmanager
    def _resuming(self, instance: objects.Instance,
                  xml: str) -> Iterator[start.Form]:
        """Serve a store to a guest that comes from its saved memory."""
        store = build.attached(self.knows.store(instance), may_create=False)
        with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
            store.load_resumed()
            self._starter.mend_saved_image(instance.uuid, instance)
            store.serve_arriving()
            with self._noting(
                    store, {metadata.FORM_KEY: metadata.LOG_FORM},
                    instances.hardware(instance).decided()):
                yield self._starter.resumed_form(xml, store)
            store.take()

    @contextlib.contextmanager
    def _starting(self, context: nova_context.RequestContext,
                  instance: objects.Instance, xml: str,
                  file: guest_xml.FlashFile | None) -> Iterator[start.Form]:
        """Load a store and serve it to a guest that starts."""
        building = self.builds.of(instance)
        chosen = None
        if building.volume is not None:
            # A new store will want to know; there is time while it is made.
            chosen = self._starter.as_chosen(xml)
            store = building.volume.result()
        else:
            store = build.attached(self.knows.store(instance),
                                   may_create=file is not None)
        if instance.task_state == task_states.UNRESCUING:
            self._starter.discard_scratch(guest_xml.without_nvram(xml))
        with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
            form = self._starter.form(
                xml, store, instance.vm_state == vm_states.BUILDING,
                building.reset, file,
                self._loader(context, instance), chosen)
            store.serve()
            store.forget_file()
            with self._noting(
                    store, form.facts,
                    instances.hardware(instance).decided()):
                yield form

    @contextlib.contextmanager
    def _noting(self, store: nvram_store.Store, facts: Mapping[str, str],
                hardware: Mapping[str, str]) -> Iterator[None]:
        """Keep what the volume is to remember, while QEMU starts.

        Not worth a failed start: what is missing is noted by the next.
        """
        work = background.Background(
            f'armvm-note-{store.ref.uuid}',
            lambda: store.note(facts, hardware))
        try:
            yield
        finally:
            work.wait()
        try:
            work.result()
        except exception.StoreError as error:
            LOG.warning('Failed to update the metadata of the NVRAM volume; '
                        'will retry at the next start: %s', error,
                        instance_uuid=store.ref.uuid)

    def launched(self, guest, form: start.Form, resume: bool) -> None:
        """Leave the boot order to a guest that was started paused."""
        self._starter.launched(guest, form, resume)

    def redefined(self, instance: objects.Instance) -> None:
        """Leave the boot order to a guest that Nova has defined anew.

        Not worth a failed operation: Nova would take away the disk that the
        guest already uses.
        """
        try:
            self._starter.redefined(instance)
        except (libvirt_driver.libvirt.libvirtError,
                nova_exception.NovaException):
            LOG.exception('Failed to remove Nova\'s boot order from the '
                          'persistent definition; a soft reboot would use '
                          'it. Hard reboot the instance', instance=instance)

    def check_as_destination(self, instance: objects.Instance,
                             migrate_data: moves.MigrateData) -> None:
        """Say that a running guest can go on here.

        :raises nova.exception.MigrationPreCheckError: it cannot now.
        """
        if instances.is_arm(instance.image_meta):
            self.machines.check_here(instance)
            self.moves.check_as_destination(instance, migrate_data)

    def arrived(self, instance: objects.Instance) -> None:
        """Finish the live migration of a guest that runs here now.

        :raises nova.exception.NovaException: there is no such guest.
        :raises libvirt.libvirtError: it cannot be resumed.
        """
        self.moves.arrived(instance)
        if (instance.vm_state != vm_states.ACTIVE or
                not self.knows.may_have_store(instance)):
            return
        guest = self._libvirt.get_guest(instance)
        if guest.get_power_state(self._libvirt) == power_state.PAUSED:
            LOG.info('Resuming the guest that was paused to be migrated',
                     instance=instance)
            guest.resume()

    # The end

    def ending(self, instance: objects.Instance,
               destroy_disks: bool) -> lifecycle.Ending:
        """Judge a destroy() before it is carried out."""
        ending = lifecycle.ending(
            deleted=bool(instance.deleted), vm_state=instance.vm_state,
            task_state=instance.task_state,
            on_this_host=instance.host == self._host_name,
            destroy_disks=destroy_disks)
        if (ending is not lifecycle.Ending.NONE and
                not self.knows.may_have_store(instance)):
            return lifecycle.Ending.NONE
        return ending

    def ended(self, instance: objects.Instance,
              ending: lifecycle.Ending) -> None:
        """Remove the store of an instance that is no more.

        :raises StoreError: after a failed build; Nova then tries no other
            host, where the left-over would be in the way.
        """
        if ending is lifecycle.Ending.NONE:
            return
        ended = self.builds.end(instance)
        aborted = ended is not None and ended.aborted
        failure = self._delete_if_possible(instance)
        if (failure is not None and not aborted and
                ending is lifecycle.Ending.NEVER_RAN):
            raise failure

    def _delete_if_possible(self, instance: objects.Instance
                            ) -> exception.StoreError | None:
        """Delete a store; return what was in the way, to be tried again."""
        try:
            self._delete(self._refs.ref(instance))
        except exception.StoreError as error:
            LOG.warning('Failed to delete the NVRAM volume; will retry: %s',
                        error, instance=instance)
            return error
        return None

    def _delete(self, ref: instance_ref.InstanceRef) -> None:
        with lockutils.lock(f'armvm-nvram-{ref.uuid}'):
            self._stores.of(ref).delete()

    # Again and again

    def upkeep(self) -> None:
        """Finish what was cut short."""
        self._flash_watch.run()
        self._upkeep.run()
