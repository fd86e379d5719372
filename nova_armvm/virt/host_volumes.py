# SPDX-License-Identifier: Apache-2.0
"""How store volumes reach this host: Nova's own libvirt volume drivers.

They use every option of [libvirt] (multipath, iSCSI interface, scan tries),
so a store is connected just as the data volumes of a server are.
"""
import base64
import contextlib
import os

from lxml import etree
from nova import utils as nova_utils
from nova.virt.libvirt import driver as libvirt_driver

from nova_armvm import exception
from nova_armvm.nvram import access
from nova_armvm.nvram import volume
from nova_armvm.profile import guest_xml

#: Nova's volume drivers want to know where a disk goes; a store is none.
_NO_DISK = {'bus': 'virtio', 'dev': 'vdz', 'type': 'disk'}

_KINDS = ('network', 'block', 'file')


class LibvirtHostVolumes:
    """The host's side of nova_armvm.nvram.store.HostSide."""

    def __init__(self, driver: libvirt_driver.LibvirtDriver) -> None:
        self._driver = driver

    def connector(self, owner: volume.Owner) -> dict:
        return self._driver.get_volume_connector(owner.instance)

    def connect(self, owner: volume.Owner,
                connection_info: access.ConnectionInfo) -> None:
        self._volume_driver(connection_info).connect_volume(
            connection_info, owner.instance)

    def disconnect(self, owner: volume.Owner,
                   connection_info: access.ConnectionInfo) -> None:
        self._volume_driver(connection_info).disconnect_volume(
            connection_info, owner.instance, force=True)

    def _volume_driver(self, connection_info: access.ConnectionInfo):
        # The same in Nova 32, 33 and 34, where _get_volume_config is not.
        return self._driver._get_volume_driver(connection_info)

    def source(
            self,
            connection_info: access.ConnectionInfo) -> guest_xml.NvramSource:
        """Translate a disk's configuration into that of flash.

        :raises StoreVolumeUnsuitable: flash cannot lie on such a volume.
        """
        config = self._volume_driver(connection_info).get_config(
            connection_info, dict(_NO_DISK))
        if config.source_type not in _KINDS or config.driver_format != 'raw':
            raise exception.StoreVolumeUnsuitable(
                reason='the hypervisor cannot keep flash on this kind of '
                       'back end')
        disk = config.format_dom()
        source = disk.find('source')
        # A disk has <auth> beside <source>, flash has it inside (libvirt's
        # domaincommon.rng).
        auth = disk.find('auth')
        if auth is not None:
            source.append(auth)
        return guest_xml.NvramSource(
            config.source_type, etree.tostring(source, encoding='unicode'))

    def open(self, connection_info: access.ConnectionInfo
             ) -> contextlib.AbstractContextManager[access.VolumeBytes]:
        return access.open_volume(
            connection_info, nova_utils.get_root_helper(),
            self._keyring_from_libvirt(connection_info))

    def _keyring_from_libvirt(
            self, connection_info: access.ConnectionInfo) -> str | None:
        """Return Ceph's key where only libvirt has it, else None.

        Hosts that use Ceph for volumes alone often have no keyring in
        /etc/ceph, which is where os-brick looks (os-brick 7.1).
        """
        details = connection_info['data']
        user = details.get('auth_username')
        if not details.get('auth_enabled') or not user or os.access(
                f'/etc/ceph/{details.get("cluster_name")}.client.{user}'
                '.keyring', os.R_OK):
            return None
        secret = self._driver._host.get_connection().secretLookupByUUIDString(
            details['secret_uuid'])
        key = base64.b64encode(secret.value()).decode('ascii')
        return f'[client.{user}]\n\tkey = {key}\n'
