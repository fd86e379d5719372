# SPDX-License-Identifier: Apache-2.0
"""A guest goes from host to host, and its store with it.

The host that a guest is started on takes the store for itself (Guests); here
is what the other one does, and what both do in a live migration.
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
from nova_armvm.nvram import hosting
from nova_armvm.nvram import store as nvram_store
from nova_armvm.virt import background
from nova_armvm.virt import instances
from nova_armvm.virt import lifecycle
from nova_armvm.virt import migration

LOG = logging.getLogger(__name__)

MigrateData: ty.TypeAlias = nova_migrate_data.LibvirtLiveMigrateData


class Moves:
    """What this host does for guests that come and go."""

    def __init__(self, host_name: str, owners: instances.Owners,
                 hosted: hosting.HostedStores,
                 stores: nvram_store.Stores) -> None:
        """Prepare.

        :param host_name: of this host, as instances name it.
        """
        self._host_name = host_name
        self._owners = owners
        self._hosted = hosted
        self._stores = stores

    # The host that is left

    def leaving(self, instance: objects.Instance) -> bool:
        """Judge a destroy() that ends no store before it is carried out."""
        return instances.has_store(instance) and lifecycle.leaves_host(
            task_state=instance.task_state,
            on_this_host=instance.host == self._host_name)

    def leave(self, instance: objects.Instance,
              still_gone: Callable[[], bool] = lambda: True) -> None:
        """Take a store from this host; what cannot be done is done later.

        Never in the way of Nova's own work: the guest's variables are safe,
        and what is left here is known to Upkeep.

        :param instance: its guest does not run here.
        :param still_gone: asked when nothing else is done with the store any
            more, for callers who found out by themselves.
        """
        if not instances.has_store(instance):
            return
        try:
            with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
                if still_gone():
                    self._hosted.leave(self._owners.owner(instance))
        except (exception.StoreError, brick_errors.BrickException,
                processutils.ProcessExecutionError, OSError) as error:
            LOG.warning('The volume with the UEFI variables was not taken '
                        'from this host and will be tried again: %s', error,
                        instance=instance)

    def left(self, instance: objects.Instance) -> None:
        """Leave, if the move that is confirmed now was cut short."""
        if (instance.host != self._host_name and
                instances.has_store(instance) and
                self._hosted.is_recorded(self._owners.owner(instance))):
            self.leave(instance)

    # Live migration

    def check_as_destination(self, instance: objects.Instance,
                             migrate_data: MigrateData) -> None:
        """Say that this host can take a guest with its store.

        :raises nova.exception.MigrationPreCheckError: it cannot now.
        """
        if not instances.has_store(instance):
            return
        try:
            self._hosted.check_can_move(self._owners.owner(instance))
        except exception.StoreError as error:
            raise nova_exception.MigrationPreCheckError(
                reason=str(error)) from error
        migration.announce(migrate_data)

    @staticmethod
    def check_as_source(instance: objects.Instance,
                        migrate_data: MigrateData) -> None:
        """Refuse a destination that would start a guest without its store.

        :raises nova.exception.MigrationPreCheckError: it has another driver.
        """
        if instances.has_store(instance) and not migration.is_announced(
                migrate_data):
            raise nova_exception.MigrationPreCheckError(
                reason='the destination does not keep UEFI variables on '
                       'volumes (its compute_driver is not '
                       'armvm.ArmVMLibvirtDriver)')

    def join(self, instance: objects.Instance,
             migrate_data: MigrateData) -> None:
        """Make the store ready on the destination.

        :raises StoreError: it could not be; nothing is left here.
        """
        if not instances.has_store(instance):
            return
        try:
            with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
                store = self._hosted.join(self._owners.owner(instance))
                migration.add_store(migrate_data, store.volume.id,
                                    self._stores.source(store))
        except Exception:
            with excutils.save_and_reraise_exception():
                self.leave(instance)

    @staticmethod
    def moving(instance: objects.Instance, guest: libvirt_guest.Guest,
               migrate_data: MigrateData
               ) -> libvirt_guest.Guest | migration.MovingGuest:
        """Return the guest that Nova is to send to the destination.

        :raises StoreNotAtDestination: the store was not made ready there.
        """
        if not instances.has_store(instance):
            return guest
        source = migration.store_in(migrate_data)
        if source is None:
            raise exception.StoreNotAtDestination()
        return migration.MovingGuest(guest, source)

    def arrived(self, instance: objects.Instance) -> None:
        """Tidy a store that came with its guest, beside everything else."""
        if instances.has_store(instance):
            background.Background(f'armvm-arrived-{instance.uuid}',
                                  lambda: self._tidy(instance))

    def _tidy(self, instance: objects.Instance) -> None:
        try:
            with lockutils.lock(f'armvm-nvram-{instance.uuid}'):
                # It may have moved on already: never attached again here.
                store = self._hosted.present(self._owners.owner(instance))
                if store is not None:
                    self._stores.arrived(store)
        except exception.StoreError as error:
            # Space, not variables.
            LOG.warning('The space that the live migration has filled was '
                        'not given back: %s', error, instance=instance)
