# SPDX-License-Identifier: Apache-2.0
"""What is added to Nova's libvirt driver, method by method.

Each method decides, calls Nova's and acts; the work is in Guests.
"""
import typing as ty

from oslo_config import cfg

from nova_armvm import conf
from nova_armvm.profile import guest_xml
from nova_armvm.virt import guests
from nova_armvm.virt import instances
from nova_armvm.virt import preflight

CONF = cfg.CONF
conf.register_opts(CONF)


class ArmVMMixin:
    """Keeps the UEFI variables of ARM guests on Cinder volumes.

    Stands before nova.virt.libvirt.driver.LibvirtDriver in the order of
    base classes. A guest that is not an ARM machine, or whose variables are
    volatile by request, is left to that driver untouched.
    """

    def init_host(self, host: str) -> None:
        # Nova: once, when nova-compute starts, before it looks at any
        # instance. Added: the service does not start on a host that could
        # not keep a guest's variables.
        super().init_host(host)
        preflight.check(CONF, self._host)
        self._armvm_guests = guests.Guests(self, CONF)

    def prepare_for_spawn(self, instance) -> None:
        # Nova: once the host is claimed for a first boot, before its block
        # devices are prepared and spawn() is called. Added: the volume is
        # made beside that and Nova's image work.
        super().prepare_for_spawn(instance)
        self._armvm_guests.builds.prepare(instance)

    def failed_spawn_cleanup(self, instance) -> None:
        # Nova: when a build ends between prepare_for_spawn() and spawn(), in
        # place of destroy(). Added: no volume stays behind.
        super().failed_spawn_cleanup(instance)
        self._armvm_guests.abandon(instance)

    def spawn(self, context, instance, image_meta, *args: ty.Any,
              **kwargs: ty.Any) -> None:
        # Nova: first boot, rebuild, unshelve and (on the new host)
        # evacuation. Added: the volume is there when the guest is to start,
        # and what fails is told in words that are fit for the server's fault.
        with self._armvm_guests.builds.spawning(
                context, instance, image_meta):
            super().spawn(context, instance, image_meta, *args, **kwargs)

    def _create_guest(self, context, xml: str, instance, power_on=True,
                      pause=False, post_xml_callback=None):
        # Nova: wherever a guest is defined to be started (spawn, start, hard
        # reboot, resume, rescue, unrescue, the end of a migration), inside
        # the part that Nova cleans up after. Added: the guest's hardware and
        # its store.
        with self._armvm_guests.starting(context, instance, xml) as form:
            offers_order = (power_on or pause) and form.offers_order
            guest = super()._create_guest(
                context, form.xml, instance, power_on=power_on,
                pause=pause or offers_order,
                post_xml_callback=post_xml_callback)
            if offers_order:
                self._armvm_guests.launched(guest, form, resume=not pause)
            return guest

    def _get_existing_guest_config(self, instance):
        # Nova 33 and later: hard reboot, rescue and revert of a resize copy
        # the firmware from the old domain. Added: a store on a volume is
        # kept out of the copy, which knows plain files only (it would copy
        # the white space inside the element and fail on the missing
        # template); and the file of a guest that the stock driver had is
        # remembered.
        config = super()._get_existing_guest_config(instance)
        if config is None or not instances.is_arm(instance.image_meta):
            return config
        if (config.os_nvram or '').strip():
            self._armvm_guests.had_flash_file(
                instance, self._host.get_guest(instance).get_xml_desc(
                    dump_inactive=True))
        if self._armvm_guests.knows.may_have_store(instance):
            config.os_nvram = None
            config.os_nvram_template = None
        return config

    def rescue(self, context, instance, *args: ty.Any,
               **kwargs: ty.Any) -> None:
        # Nova: to start the rescue disk in place of the server's own. Added:
        # what is started within gets a scratch store; whatever is started
        # at another time gets the server's own.
        with self._armvm_guests.rescuing(instance):
            super().rescue(context, instance, *args, **kwargs)

    def swap_volume(self, context, old_connection_info, new_connection_info,
                    instance, *args: ty.Any, **kwargs: ty.Any) -> None:
        # Nova: when a volume of a running server is replaced by another
        # (retype, migration of volumes). It defines the guest anew as it
        # runs, with the boot order that it was started with. Added: the
        # definition without one, which the next soft reboot starts from.
        super().swap_volume(context, old_connection_info, new_connection_info,
                            instance, *args, **kwargs)
        self._armvm_guests.redefined(instance)

    def _delete_guest_configuration(self, guest, keep_vtpm, keep_nvram):
        # Nova: every undefine. Added: libvirt is never told to delete the
        # flash of a guest that was started by a release that gave QEMU the
        # volume itself; it would unlink the device node.
        super()._delete_guest_configuration(
            guest, keep_vtpm=keep_vtpm,
            keep_nvram=keep_nvram or guest_xml.is_of_old_form(
                guest.get_xml_desc()))

    def destroy(self, context, instance, network_info, block_device_info=None,
                destroy_disks=True, destroy_secrets=True) -> None:
        # Nova: delete, but also hard reboot, rebuild, shelve, revert, clean-
        # up after a failed build, live migration or evacuation. Added: where
        # it is the end of the instance, the store goes after everything else
        # has; where the instance goes on elsewhere, it leaves this host.
        ending = self._armvm_guests.ending(instance, destroy_disks)
        leaving = self._armvm_guests.moves.leaving(instance)
        super().destroy(context, instance, network_info,
                        block_device_info=block_device_info,
                        destroy_disks=destroy_disks,
                        destroy_secrets=destroy_secrets)
        self._armvm_guests.ended(instance, ending)
        if leaving:
            self._armvm_guests.moves.leave(instance)

    def migrate_disk_and_power_off(self, context, instance, dest, flavor,
                                   *args: ty.Any, **kwargs: ty.Any):
        # Nova: on the old host of a cold migration or resize, to end the
        # guest and copy its disks. Added: a flavor that asks for another
        # machine is refused before; the store leaves this host after.
        self._armvm_guests.machines.check_flavor(instance, flavor)
        disk_info = super().migrate_disk_and_power_off(
            context, instance, dest, flavor, *args, **kwargs)
        self._armvm_guests.moves.leave(instance)
        return disk_info

    def confirm_migration(self, context, migration, instance,
                          network_info) -> None:
        # Nova: on the old host, when there is no way back. Added: what a
        # crash of this host during the migration has left.
        super().confirm_migration(context, migration, instance, network_info)
        self._armvm_guests.moves.left(instance)

    def check_can_live_migrate_destination(self, context, instance,
                                           *args: ty.Any, **kwargs: ty.Any):
        # Nova: on a host that is considered as a destination. Added: the
        # store can be there, too, and the source learns that it will be.
        migrate_data = super().check_can_live_migrate_destination(
            context, instance, *args, **kwargs)
        self._armvm_guests.check_as_destination(instance, migrate_data)
        return migrate_data

    def check_can_live_migrate_source(self, context, instance,
                                      dest_check_data, *args: ty.Any,
                                      **kwargs: ty.Any):
        # Nova: on the source, after that. Added: a destination with another
        # driver is refused, and a guest with its flash in the old form.
        self._armvm_guests.moves.check_as_source(
            instance, dest_check_data,
            self._host.get_guest(instance).get_xml_desc())
        return super().check_can_live_migrate_source(
            context, instance, dest_check_data, *args, **kwargs)

    def pre_live_migration(self, context, instance, *args: ty.Any,
                           **kwargs: ty.Any):
        # Nova: on the destination, before the guest is sent. Added: the
        # store is connected and served there as well.
        migrate_data = super().pre_live_migration(context, instance, *args,
                                                  **kwargs)
        self._armvm_guests.moves.join(instance)
        return migrate_data

    def _live_migration_operation(self, context, instance, dest,
                                  block_migration, migrate_data, guest,
                                  device_names):
        # Nova: on the source, in a thread, to send the guest. Added: no boot
        # order but the guest's own in its description.
        super()._live_migration_operation(
            context, instance, dest, block_migration, migrate_data,
            self._armvm_guests.moves.moving(instance, guest),
            device_names)

    def _live_migration_monitor(self, context, instance, guest,
                                *args: ty.Any, **kwargs: ty.Any) -> None:
        # Nova: on the source, beside that, until it has ended. Added: an
        # attempt that is made again is not the end. Before the last argument
        # stands the operation, under another name in each release.
        super()._live_migration_monitor(
            context, instance,
            self._armvm_guests.moves.watched(instance, guest, args[-2]),
            *args, **kwargs)

    def post_live_migration(self, context, instance, *args: ty.Any,
                            **kwargs: ty.Any) -> None:
        # Nova: on the source, when the guest runs on the destination. Added:
        # the store leaves this host.
        super().post_live_migration(context, instance, *args, **kwargs)
        self._armvm_guests.moves.leave(instance)

    def post_live_migration_at_destination(self, context, instance,
                                           *args: ty.Any,
                                           **kwargs: ty.Any) -> None:
        # Nova: on the destination, last of all. Added: the store is claimed
        # for this host, and a guest that was paused to be sent goes on.
        super().post_live_migration_at_destination(context, instance, *args,
                                                   **kwargs)
        self._armvm_guests.arrived(instance)

    def update_provider_tree(self, provider_tree, nodename: str,
                             allocations=None) -> None:
        # Nova: periodically, about once a minute, for Placement. Added: the
        # traits that images ask for, as libvirt has them now.
        super().update_provider_tree(provider_tree, nodename, allocations)
        for trait, has in self._armvm_guests.machines.traits().items():
            change = (provider_tree.add_traits if has else
                      provider_tree.remove_traits)
            change(nodename, trait)

    def get_available_resource(self, nodename: str) -> dict:
        # Nova: periodically, about once a minute. Added: what a crash or an
        # absent Cinder left undone is tried again.
        self._armvm_guests.upkeep()
        return super().get_available_resource(nodename)
