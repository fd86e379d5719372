# SPDX-License-Identifier: Apache-2.0
"""Live migration: how the destination's store gets into the guest's XML.

Nova rewrites disks, interfaces and more for the destination, but not the
flash. What the destination says of it travels as one more entry in the list
of volumes, which Nova matches with disks by serial number: there is none
with this one's.
"""
import typing as ty

from nova import objects
from nova.objects import migrate_data as nova_migrate_data
from nova.virt.libvirt import guest as libvirt_guest

from nova_armvm.profile import guest_xml

_KEY = 'armvm_nvram'


def announce(migrate_data: nova_migrate_data.LibvirtLiveMigrateData) -> None:
    """Tell the source that the destination has this driver.

    An empty list of mediated devices changes nothing but one: Nova then
    always has the destination clean up after a failure, also where both
    hosts share the directory of instances (Nova 32 to 34).
    """
    if 'target_mdevs' not in migrate_data:
        migrate_data.target_mdevs = {}


def is_announced(
        migrate_data: nova_migrate_data.LibvirtLiveMigrateData) -> bool:
    """Tell whether announce() was called on the destination."""
    return 'target_mdevs' in migrate_data


def add_store(migrate_data: nova_migrate_data.LibvirtLiveMigrateData,
              volume_id: str, source: guest_xml.NvramSource) -> None:
    """Tell the source how the destination's libvirt finds the store.

    :param migrate_data: as Nova's driver left it on the destination.
    """
    entry = objects.LibvirtLiveMigrateBDMInfo(
        serial=volume_id, bus='virtio', dev='nvram', type='disk')
    entry.connection_info = {
        _KEY: {'kind': source.kind, 'source': source.source}}
    migrate_data.bdms = [*migrate_data.bdms, entry]


def store_in(migrate_data: nova_migrate_data.LibvirtLiveMigrateData
             ) -> guest_xml.NvramSource | None:
    """Return what add_store() said, None if it was not called."""
    for entry in migrate_data.bdms:
        found = entry.connection_info.get(_KEY)
        if found is not None:
            return guest_xml.NvramSource(**found)
    return None


class MovingGuest:
    """Nova's guest, for the time in which it is sent to another host.

    There it finds its store under the name that the destination has for it,
    and no boot order but its own: it has been left to it when it started.
    """

    def __init__(self, guest: libvirt_guest.Guest,
                 source: guest_xml.NvramSource) -> None:
        self._guest = guest
        self._source = source

    def __getattr__(self, name: str) -> ty.Any:
        return getattr(self._guest, name)

    def migrate(self, *args: ty.Any, destination_xml: str | None = None,
                **kwargs: ty.Any) -> None:
        """Do what Nova's does, with another description of the guest."""
        xml = destination_xml or self._guest.get_xml_desc(
            dump_migratable=True)
        self._guest.migrate(
            *args, destination_xml=guest_xml.with_guest_boot_order(
                guest_xml.with_nvram(xml, self._source)), **kwargs)
