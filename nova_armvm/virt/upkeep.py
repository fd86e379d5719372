# SPDX-License-Identifier: Apache-2.0
"""What a host does from time to time for stores whose work was cut short.

The process, Cinder or the back end can be away in the middle of everything.
The host's records say what is unfinished; Nova says what is meant.
"""
from collections.abc import Callable

from nova.compute import vm_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.store import ref as instance_ref
from nova_armvm.store import store as nvram_store
from nova_armvm.virt import lifecycle
from nova_armvm.virt import moves as guest_moves

LOG = logging.getLogger(__name__)


class Upkeep:
    """Finishes what was begun on this host."""

    def __init__(self, host_name: str, libvirt: libvirt_host.Host,
                 stores: nvram_store.Stores, moves: guest_moves.Moves,
                 delete: Callable[[objects.Instance], None]) -> None:
        """Prepare.

        :param host_name: of this host, as instances name it.
        :param libvirt: on this host.
        :param stores: of this host.
        :param moves: takes an instance's store from this host.
        :param delete: deletes an instance's store; may raise StoreError.
        """
        self._host_name = host_name
        self._libvirt = libvirt
        self._stores = stores
        self._moves = moves
        self._delete = delete

    def run(self) -> None:
        """Do all that can be done now."""
        admin = nova_context.get_admin_context(read_deleted='yes')
        for ref in self._stores.attachments.pending_deletions():
            self._retry_deletion(admin, ref)
        here = None
        for ref in self._stores.recorded():
            if here is None:
                # One question for all of them, as often as this is run.
                here = set(objects.InstanceList.get_uuids_by_host(
                    admin, self._host_name))
            if ref.uuid not in here:
                self._look_after(admin, ref)

    def _retry_deletion(self, admin: nova_context.RequestContext,
                        ref: instance_ref.InstanceRef) -> None:
        """Delete a store that was in the way of Cinder before.

        Only that of an instance that is gone or never ran, asked again: an
        operator may have brought it back.
        """
        instance = _instance(admin, ref)
        if instance is None:
            return
        if (instance.deleted or instance.launched_at is None or
                instance.vm_state == vm_states.DELETED):
            self._delete_if_possible(instance)
        else:
            self._stores.attachments.keep(ref)

    def _look_after(self, admin: nova_context.RequestContext,
                    ref: instance_ref.InstanceRef) -> None:
        """Clean up after an instance that went away unnoticed."""
        instance = _instance(admin, ref)
        if instance is None:
            return
        if instance.deleted:
            # While this host was down, so that Nova did not call the driver.
            # A guest that still runs is Nova's to end, which then does.
            if not self._runs_here(instance):
                self._delete_if_possible(instance)
        elif self._has_left(instance):
            self._moves.leave(
                instance, lambda: self._has_left(_instance(admin, ref)))

    def _has_left(self, instance: objects.Instance | None) -> bool:
        return (instance is not None and lifecycle.has_left(
            task_state=instance.task_state,
            on_this_host=instance.host == self._host_name) and
            not self._runs_here(instance))

    def _runs_here(self, instance: objects.Instance) -> bool:
        try:
            return self._libvirt.get_guest(instance).is_active()
        except nova_exception.InstanceNotFound:
            return False

    def _delete_if_possible(self, instance: objects.Instance) -> None:
        try:
            self._delete(instance)
        except exception.StoreError as error:
            LOG.warning('Failed to delete the NVRAM volume; will retry: %s',
                        error, instance=instance)


def _instance(admin: nova_context.RequestContext,
              ref: instance_ref.InstanceRef) -> objects.Instance | None:
    """Return an instance, deleted or not.

    :returns: None where that is not known; it may live in another cell.
    """
    try:
        return objects.Instance.get_by_uuid(admin, ref.uuid)
    except nova_exception.InstanceNotFound:
        return None
