# SPDX-License-Identifier: Apache-2.0
"""A guest goes from host to host, and its store with it.

The host that a guest is started on takes the store for itself (Guests); here
is what the other one does, and what both do in a live migration. There the
volume is attached to both hosts and served on both, and the guest's changes
decide: the destination claims the store with the first of them, from when on
the source's flash service refuses to write.
"""
from collections.abc import Callable
import typing as ty

from nova import exception as nova_exception
from nova import objects
from nova.objects import migrate_data as nova_migrate_data
from nova.virt.libvirt import guest as libvirt_guest
from os_brick import exception as brick_errors
from oslo_concurrency import lockutils
from oslo_concurrency import processutils
from oslo_log import log as logging
from oslo_utils import excutils

from nova_armvm import exception
from nova_armvm.profile import guest_xml
from nova_armvm.virt import knowledge
from nova_armvm.virt import lifecycle
from nova_armvm.virt import migration

LOG = logging.getLogger(__name__)

MigrateData: ty.TypeAlias = nova_migrate_data.LibvirtLiveMigrateData


class Moves:
    """What this host does for guests that come and go."""

    def __init__(self, host_name: str,
                 knows: knowledge.Knowledge) -> None:
        """Remember whose moves these are.

        :param host_name: of this host, as instances name it.
        :param knows: of the stores of instances.
        """
        self._host_name = host_name
        self._knows = knows

    # The host that is left

    def leaving(self, instance: objects.Instance) -> bool:
        """Judge a destroy() that ends no store before it is carried out."""
        return lifecycle.leaves_host(
            task_state=instance.task_state,
            on_this_host=instance.host == self._host_name
        ) and self._knows.may_have_store(instance)

    def leave(self, instance: objects.Instance,
              still_gone: Callable[[], bool] = lambda: True) -> None:
        """Take a store from this host; what cannot be done is done later.

        Never in the way of Nova's own work: the guest's variables are safe,
        and what is left here is known to Upkeep.

        :param instance: its guest does not run here.
        :param still_gone: asked when nothing else is done with the store any
            more, for callers who found out by themselves.
        """
        if not self._knows.may_have_store(instance):
            return
        try:
            with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
                if still_gone():
                    self._knows.store(instance).release()
        except (exception.StoreError, brick_errors.BrickException,
                nova_exception.NovaException,
                processutils.ProcessExecutionError, OSError) as error:
            LOG.warning('Failed to release the NVRAM volume from this host; '
                        'will retry: %s', error, instance=instance)

    def left(self, instance: objects.Instance) -> None:
        """Leave, if the move that is confirmed now was cut short."""
        if (instance.host != self._host_name and
                self._knows.store(instance).recorded() is not None):
            self.leave(instance)

    # Live migration

    def check_as_destination(self, instance: objects.Instance,
                             migrate_data: MigrateData) -> None:
        """Say that this host can take a guest with its store.

        :raises nova.exception.MigrationPreCheckError: it cannot now.
        """
        try:
            if not self._knows.has_store(instance):
                return
            self._knows.store(instance).check_can_move()
        except exception.StoreError as error:
            raise nova_exception.MigrationPreCheckError(
                reason=str(error)) from error
        migration.announce(migrate_data)

    def check_as_source(self, instance: objects.Instance,
                        migrate_data: MigrateData, xml: str) -> None:
        """Refuse a destination that would start a guest without its store.

        :param xml: of the guest, as it runs.
        :raises nova.exception.MigrationPreCheckError: it has another driver,
            or the guest has its flash in the old form.
        """
        if not self._knows.has_store(instance):
            return
        if not migration.is_announced(migrate_data):
            raise nova_exception.MigrationPreCheckError(
                reason='the destination does not keep UEFI variables on '
                       'volumes (its compute_driver is not '
                       'armvm.ArmVMLibvirtDriver)')
        if guest_xml.is_of_old_form(xml):
            raise nova_exception.MigrationPreCheckError(
                reason='the guest was started by a release that gave QEMU '
                       'the volume with its UEFI variables: hard reboot or '
                       'stop and start the server first')

    def join(self, instance: objects.Instance) -> None:
        """Make the store ready on the destination.

        :raises StoreError: it could not be; nothing is left here.
        """
        if not self._knows.has_store(instance):
            return
        store = self._knows.store(instance)
        try:
            with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
                store.attach_shared()
                store.serve_arriving()
        except Exception:
            with excutils.save_and_reraise_exception():
                self.leave(instance)

    def moving(self, instance: objects.Instance, guest: libvirt_guest.Guest
               ) -> libvirt_guest.Guest | migration.MovingGuest:
        """Return the guest that Nova is to send to the destination."""
        if not self._knows.has_store(instance):
            return guest
        store = self._knows.store(instance)
        return migration.MovingGuest(guest, store.count_writes)

    def watched(self, instance: objects.Instance, guest: libvirt_guest.Guest,
                operation: ty.Any
                ) -> libvirt_guest.Guest | migration.WatchedGuest:
        """Return the guest whose migration Nova is to watch.

        :param operation: in which it is sent: a future (Nova 34), or an
            event (Nova 32 and 33).
        """
        if not self._knows.has_store(instance):
            return guest
        ended = getattr(operation, 'done', None) or operation.ready
        return migration.WatchedGuest(guest, ended)

    def arrived(self, instance: objects.Instance) -> None:
        """Claim a store that came with its guest.

        Not worth a failed migration: the guest's next change claims it.
        """
        try:
            if self._knows.has_store(instance):
                self._knows.store(instance).take()
        except exception.StoreError as error:
            LOG.warning('Failed to claim the store of the guest that has '
                        'arrived; its next change will: %s', error,
                        instance=instance)
