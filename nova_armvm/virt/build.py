# SPDX-License-Identifier: Apache-2.0
"""Builds in progress: first boot, rebuild, unshelve, evacuation.

The volume of a new store is made beside Nova's own work on the image.
"""
from collections.abc import Callable, Iterator
import contextlib
import dataclasses

from nova.compute import vm_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.virt.libvirt import driver as libvirt_driver
from oslo_concurrency import lockutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.store import ref as instance_ref
from nova_armvm.store import store as nvram_store
from nova_armvm.virt import background
from nova_armvm.virt import instances
from nova_armvm.virt import knowledge
from nova_armvm.virt import lifecycle
from nova_armvm.virt import machines as guest_machines
from nova_armvm.virt import templates

LOG = logging.getLogger(__name__)

#: Errors that rescheduling to another host cannot fix.
_HOPELESS = (exception.StoreQuotaExceeded, exception.StoreUnreachable,
             exception.StoreRefused, exception.StoreVolumeUnsuitable,
             exception.StoreVolumeFailed, exception.StoreVolumeTimeout,
             exception.StoreVolumeAmbiguous, exception.PropertyUnknown,
             exception.PropertyInvalid, exception.PropertyConflict,
             exception.PropertyUnmet, exception.ImageNotCompliant,
             exception.TemplateUnusable)


@dataclasses.dataclass
class Build:
    """One build in progress.

    :ivar volume: attaches the volume of the store, beside Nova's work.
    :ivar reset: a rebuild: the store begins again with its origin.
    :ivar aborted: Nova will not try it on another host.
    """

    volume: background.Background | None = None
    reset: bool = False
    aborted: bool = False


def attached(store: nvram_store.Store,
             may_create: bool) -> nvram_store.Store:
    """Attach a store to this host, with nothing else done with it."""
    with lockutils.lock(f'armvm-nvram-{store.ref.uuid}'):
        store.attach(may_create)
    return store


class Builds:
    """The builds in progress on this host."""

    def __init__(self, host_name: str, knows: knowledge.Knowledge,
                 machines: guest_machines.Machines,
                 delete: Callable[[instance_ref.InstanceRef], None]) -> None:
        """Begin with none.

        :param host_name: of this host, as instances name it.
        :param machines: decides about their hardware.
        :param delete: deletes a store; may raise StoreError.
        """
        self._host_name = host_name
        self._knows = knows
        self._machines = machines
        self._delete = delete
        self._templates = templates.Templates()
        self._builds: dict[str, Build] = {}

    def of(self, instance: objects.Instance) -> Build:
        """Return the build of an instance; one that does nothing if none."""
        return self._builds.get(instance.uuid, Build())

    def begins_afresh(self, instance: objects.Instance) -> bool:
        """Return whether an instance starts from nothing."""
        return lifecycle.begins_afresh(
            vm_state=instance.vm_state, task_state=instance.task_state,
            on_this_host=instance.host == self._host_name)

    def prepare(self, instance: objects.Instance) -> None:
        """Begin to make the store of an instance whose build has begun.

        What stands in its way is told by spawning(), where it becomes the
        server's fault.
        """
        if instances.is_arm(instance.image_meta):
            with contextlib.suppress(exception.ArmVMError):
                self._begin(instance, instance.image_meta)

    def end(self, instance: objects.Instance) -> Build | None:
        """End a build when nothing is under way in it any more.

        :returns: it, None if there was none.
        """
        build = self._builds.pop(instance.uuid, None)
        if build is not None and build.volume is not None:
            build.volume.wait()
        return build

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
                if self.begins_afresh(instance):
                    self._machines.refuse(instance, image_meta)
            yield
            return
        with self._fit_for_fault(instance):
            try:
                self._begin(instance, image_meta)
                with self._templates.held(
                        context, instance, self.begins_afresh(instance)):
                    yield
            finally:
                self.end(instance)

    def load_image(self, context: nova_context.RequestContext,
                   instance: objects.Instance):
        """Return the variables that an instance's image brings along."""
        return self._templates.of(context, instance)

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
            # Asked by the destroy() that follows.
            self._builds[instance.uuid] = Build(aborted=True)
            raise nova_exception.BuildAbortException(
                instance_uuid=instance.uuid,
                reason=error.format_message()) from error

    def _begin(self, instance: objects.Instance,
               image_meta: objects.ImageMeta) -> None:
        known = self._builds.get(instance.uuid)
        if (known is not None and not known.aborted or
                not self.begins_afresh(instance)):
            return
        self._machines.decide(instance, image_meta)
        build = Build(reset=lifecycle.rebuilds(
            task_state=instance.task_state,
            on_this_host=instance.host == self._host_name))
        store = self._knows.store(instance)
        # A first boot or rebuild must not take over an old NVRAM file.
        store.forget_file()
        if build.reset:
            if not instances.has_store(instance):
                self._delete(store.ref)
            elif store.recorded() is not None:
                store.record_hardware(instances.hardware(instance).decided())
        if instances.has_store(instance):
            build.volume = background.Background(
                f'armvm-{instance.uuid}',
                lambda: attached(store, may_create=True))
        self._builds[instance.uuid] = build
