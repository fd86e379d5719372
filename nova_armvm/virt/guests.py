# SPDX-License-Identifier: Apache-2.0
"""The ARM guests of this host: what the driver decides about each."""
from collections.abc import Iterator
import contextlib
import os

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
from nova_armvm.host import record
from nova_armvm.nvram import hosting
from nova_armvm.nvram import seed
from nova_armvm.nvram import store as nvram_store
from nova_armvm.nvram import volume
from nova_armvm.profile import guest_xml
from nova_armvm.profile.handlers import nvram
from nova_armvm.virt import background
from nova_armvm.virt import flusher
from nova_armvm.virt import host_volumes
from nova_armvm.virt import image_gate
from nova_armvm.virt import instances
from nova_armvm.virt import lifecycle
from nova_armvm.virt import machines
from nova_armvm.virt import moves
from nova_armvm.virt import start
from nova_armvm.virt import templates
from nova_armvm.virt import upkeep

LOG = logging.getLogger(__name__)

#: Trying again on another host cannot help against these.
_HOPELESS = (exception.StoreQuotaExceeded, exception.StoreUnreachable,
             exception.StoreRefused, exception.StoreVolumeUnsuitable,
             exception.StoreVolumeFailed, exception.StoreVolumeTimeout,
             exception.StoreVolumeAmbiguous, exception.PropertyUnknown,
             exception.PropertyInvalid, exception.PropertyConflict,
             exception.PropertyUnmet, exception.ImageNotCompliant,
             exception.TemplateUnusable)


#: The guest of these goes on with what it had, or is another system.
_NOT_A_START = (task_states.RESCUING, task_states.UNRESCUING,
                task_states.RESUMING)


class Guests:
    """State of the driver beyond Nova's: stores and builds in progress.

    :ivar machines: what is decided about their hardware.
    :ivar moves: what is decided when a guest goes from host to host.
    :ivar flusher: keeps variables out of this host's cache; to be started.
    """

    def __init__(self, driver, conf: cfg.ConfigOpts) -> None:
        """Read the options and prepare.

        :param driver: the compute driver, initialised.
        :param conf: nova.conf.
        """
        own = os.path.join(conf.state_path, 'armvm')
        self._host_name = conf.host
        volumes = volume.StoreVolumes(
            conf.host, conf.armvm.nvram_volume_type,
            volume.Patience(
                limit=(conf.block_device_allocate_retries *
                       conf.block_device_allocate_retries_interval),
                interval=conf.block_device_allocate_retries_interval))
        host_side = host_volumes.LibvirtHostVolumes(driver)
        self.machines = machines.Machines(driver._host, conf)
        self._gate = image_gate.ImageGate(conf)
        self._owners = instances.Owners(conf.cinder.cross_az_attach)
        self._hosted = hosting.HostedStores(
            volumes, host_side,
            record.HostRecords(os.path.join(own, 'stores')))
        self._stores = nvram_store.Stores(
            volumes, host_side, seed.SeedBuilder(os.path.join(own, 'seeds')))
        self._starter = start.Starter(
            driver._host, self._stores,
            lambda: firmware.load_descriptors(
                conf.armvm.firmware_descriptor_dirs))
        self.moves = moves.Moves(conf.host, self._owners, self._hosted,
                                 self._stores)
        self._upkeep = upkeep.Upkeep(
            conf.host, driver._host, self._hosted, self.moves,
            lambda instance: self._delete(self._owners.owner(instance)))
        self.flusher = flusher.Flusher(conf.armvm.nvram_flush_interval,
                                       self._hosted)
        self._provisions: dict[str, background.Background] = {}
        self._templates = templates.Templates()
        self._resets: set[str] = set()
        # Builds that Nova will not try elsewhere.
        self._given_up: set[str] = set()

    # First boot, rebuild, unshelve, evacuation

    def prepare(self, instance: objects.Instance) -> None:
        """Begin to make the store of an instance whose build has begun.

        What stands in its way is told by spawning(), where it becomes the
        server's fault.
        """
        if instances.is_arm(instance.image_meta):
            with contextlib.suppress(exception.ArmVMError):
                self._begin(instance, instance.image_meta)

    def abandon(self, instance: objects.Instance) -> None:
        """Undo prepare() for a build that did not come to spawning()."""
        if self._settle(instance):
            self._delete_if_possible(instance)

    def _settle(self, instance: objects.Instance) -> bool:
        """Wait until a store is no longer being made; tell if it was."""
        work = self._provisions.pop(instance.uuid, None)
        if work is not None:
            work.wait()
        return work is not None

    @contextlib.contextmanager
    def spawning(self, context: nova_context.RequestContext,
                 instance: objects.Instance,
                 image_meta: objects.ImageMeta) -> Iterator[None]:
        """Make an instance's store beside Nova's own work in spawn().

        When this ends nothing is under way any more, so that the destroy()
        that follows a failure finds everything.
        """
        if not instances.is_arm(image_meta):
            with self._fit_for_fault(instance):
                if self._begins_afresh(instance):
                    self.machines.refuse(instance, image_meta)
            yield
            return
        with self._fit_for_fault(instance):
            try:
                self._begin(instance, image_meta)
                with self._templates.held(
                        context, instance, self._begins_afresh(instance)):
                    yield
            finally:
                self._settle(instance)
                self._resets.discard(instance.uuid)

    @contextlib.contextmanager
    def _fit_for_fault(self, instance: objects.Instance) -> Iterator[None]:
        """Make of what fails in spawn() what a tenant may read.

        Nova tells a tenant the text of whatever was raised; libvirt's texts
        name paths. What no other host could do better ends the build at
        once, so that its reason, and not "no more hosts", is the fault.
        """
        try:
            yield
        # Through Nova's name for it: tests of Nova replace the module there.
        except libvirt_driver.libvirt.libvirtError as error:
            LOG.exception('libvirt refused the guest', instance=instance)
            raise exception.GuestRefused() from error
        except _HOPELESS as error:
            if instance.vm_state != vm_states.BUILDING:
                raise
            self._given_up.add(instance.uuid)
            raise nova_exception.BuildAbortException(
                instance_uuid=instance.uuid,
                reason=error.format_message()) from error

    def _begins_afresh(self, instance: objects.Instance) -> bool:
        return lifecycle.begins_afresh(
            vm_state=instance.vm_state, task_state=instance.task_state,
            on_this_host=instance.host == self._host_name)

    def _begin(self, instance: objects.Instance,
               image_meta: objects.ImageMeta) -> None:
        if instance.uuid in self._provisions:
            return
        here = instance.host == self._host_name
        if not self._begins_afresh(instance):
            return
        self.machines.decide(instance, image_meta)
        owner = self._owners.owner(instance)
        # What begins afresh takes nothing over.
        self._hosted.forget_file(owner)
        if lifecycle.rebuilds(task_state=instance.task_state,
                              on_this_host=here):
            self._resets.add(instance.uuid)
            if not instances.has_store(instance):
                self._delete(owner)
        if instances.has_store(instance):
            self._provisions[instance.uuid] = background.Background(
                f'armvm-{instance.uuid}',
                lambda: self._provide(owner, may_create=True))

    def _provide(self, owner: volume.Owner,
                 may_create: bool) -> hosting.ConnectedStore:
        with lockutils.lock(f'armvm-nvram-{owner.uuid}'):
            return self._hosted.provide(owner, may_create)

    # Every start

    def had_flash_file(self, instance: objects.Instance,
                       xml: str) -> None:
        """Note where a guest of the stock driver has its variables.

        :param xml: of the guest as it is defined.
        """
        file = guest_xml.flash_file(xml)
        undecided = instances.NVRAM_KEY not in instance.system_metadata
        if file is not None and (undecided or instances.has_store(instance)
                                 ) and instance.vm_state != vm_states.RESCUED:
            self._hosted.keep_in_mind(self._owners.owner(instance), file)

    def _file_to_take_over(self, instance: objects.Instance
                           ) -> guest_xml.FlashFile | None:
        """Return the file of a guest that this driver has not had yet.

        Decides and records where its variables live from now on. A guest
        that has a volume has left its file behind long ago.
        """
        owner = self._owners.owner(instance)
        file = self._hosted.flash_file(owner)
        if file is None:
            return None
        if instances.NVRAM_KEY not in instance.system_metadata:
            self.machines.decide(instance, instance.image_meta)
        if not instances.has_store(instance):
            self._hosted.forget_file(owner)
            return None
        return file

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
        file = None
        if instance.task_state not in _NOT_A_START:
            file = self._file_to_take_over(instance)
        if instance.task_state != task_states.RESUMING:
            xml = self.machines.described(instance, xml,
                                          self._starter.as_chosen)
        if not instances.has_store(instance):
            yield start.Form(xml, xml, False)
            return
        if instance.task_state == task_states.RESCUING:
            # The rescue system gets a store of its own, a plain file.
            self._starter.discard_scratch(guest_xml.without_nvram(xml))
            yield start.Form(xml, xml, False)
            return
        if not guest_xml.has_variable_flash(xml):
            raise exception.PropertyUnmet(
                name=nvram.PROPERTY.image_name, value=nvram.PERSISTENT,
                reason='the server has no UEFI firmware with variables')
        with self._starting_with_store(
                instance, xml, file,
                lambda: self._templates.of(context, instance)) as form:
            yield form

    @contextlib.contextmanager
    def _starting_with_store(
            self, instance: objects.Instance, xml: str,
            file: guest_xml.FlashFile | None,
            brought: nvram_store.Brought) -> Iterator[start.Form]:
        work = self._provisions.get(instance.uuid)
        chosen = None
        if work is not None:
            # A new store will want to know; there is time while it is made.
            chosen = self._starter.as_chosen(xml)
            connected = work.result()
        else:
            connected = self._provide(self._owners.owner(instance),
                                      may_create=file is not None)
        if instance.task_state == task_states.UNRESCUING:
            self._starter.discard_scratch(guest_xml.without_nvram(xml))
        with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
            if instance.task_state == task_states.RESUMING:
                yield self._starter.resumed_form(xml, connected)
            else:
                form = self._starter.form(
                    xml, connected, instance.uuid in self._resets, chosen,
                    file, brought)
                self._hosted.forget_file(connected.owner)
                with self._noting(connected, form):
                    yield form

    @contextlib.contextmanager
    def _noting(self, store: hosting.ConnectedStore,
                form: start.Form) -> Iterator[None]:
        """Keep what the volume is to remember, while QEMU starts.

        Not worth a failed start: what is missing is noted by the next.
        """
        work = background.Background(
            f'armvm-note-{store.owner.uuid}',
            lambda: self._stores.note(store, form.facts))
        try:
            yield
        finally:
            work.wait()
        try:
            work.result()
            self._stores.started(store)
        except exception.StoreError as error:
            LOG.warning('The volume with the UEFI variables could not be '
                        'given its metadata; the next start will: %s', error,
                        instance_uuid=store.owner.uuid)

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
            LOG.exception('A soft reboot would now put Nova\'s boot order '
                          'before that of the guest. Use a hard reboot.',
                          instance=instance)

    def check_as_destination(self, instance: objects.Instance,
                             migrate_data: moves.MigrateData) -> None:
        """Say that a running guest can go on here.

        :raises nova.exception.MigrationPreCheckError: it cannot now.
        """
        if instances.is_arm(instance.image_meta):
            self.machines.check_here(instance)
            self.moves.check_as_destination(instance, migrate_data)

    # The end

    def ending(self, instance: objects.Instance,
               destroy_disks: bool) -> lifecycle.Ending:
        """Judge a destroy() before it is carried out."""
        if not instances.has_store(instance):
            return lifecycle.Ending.NONE
        return lifecycle.ending(
            deleted=bool(instance.deleted), vm_state=instance.vm_state,
            task_state=instance.task_state,
            on_this_host=instance.host == self._host_name,
            destroy_disks=destroy_disks)

    def ended(self, instance: objects.Instance,
              ending: lifecycle.Ending) -> None:
        """Remove the store of an instance that is no more.

        :raises StoreError: after a failed build; Nova then tries no other
            host, where the left-over would be in the way.
        """
        if ending is lifecycle.Ending.NONE:
            return
        self._settle(instance)
        given_up = instance.uuid in self._given_up
        self._given_up.discard(instance.uuid)
        failure = self._delete_if_possible(instance)
        if (failure is not None and not given_up and
                ending is lifecycle.Ending.NEVER_RAN):
            raise failure

    def _delete_if_possible(self, instance: objects.Instance
                            ) -> exception.StoreError | None:
        """Delete a store; return what was in the way, to be tried again."""
        try:
            self._delete(self._owners.owner(instance))
        except exception.StoreError as error:
            LOG.warning('The volume with the UEFI variables could not be '
                        'deleted now and will be tried again: %s', error,
                        instance=instance)
            return error
        return None

    def _delete(self, owner: volume.Owner) -> None:
        with lockutils.lock(f'armvm-nvram-{owner.uuid}'):
            self._hosted.delete(owner)

    # Again and again

    def upkeep(self) -> None:
        """Finish what was cut short."""
        self._upkeep.run()
