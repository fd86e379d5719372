# SPDX-License-Identifier: Apache-2.0
"""How NVRAM volumes reach this host: Nova's libvirt volume drivers.

They use every option of [libvirt] (multipath, iSCSI interface, scan tries),
so a store is connected just as the data volumes of a server are. A connected
volume is opened by the host's flash service and by nobody else.
"""
import base64
import contextlib
import os
import typing as ty

from nova.virt.libvirt import driver as libvirt_driver

from nova_armvm import exception
from nova_armvm.host import flash_protocol
from nova_armvm.host import flash_service

ConnectionInfo = dict[str, ty.Any]


class LibvirtHostVolumes:
    """Connects volumes to this host and its flash service."""

    def __init__(self, driver: libvirt_driver.LibvirtDriver,
                 service: flash_service.FlashService) -> None:
        """Use a driver, of which nothing is asked yet."""
        self._driver = driver
        self._service = service

    def connector(self, instance: ty.Any) -> ConnectionInfo:
        """Return this host's connector properties (os-brick)."""
        return self._driver.get_volume_connector(instance)

    def connect(self, uuid: str, connection_info: ConnectionInfo,
                instance: ty.Any = None) -> flash_service.Opened:
        """Connect a volume and have it opened; harmless when it is.

        :param uuid: of the instance whose store it is.
        :param connection_info: Cinder's; the device's path is put into it.
        :param instance: Nova's object, None from a command.
        :raises StoreVolumeUnsuitable: if flash cannot be kept on it.
        :raises flash_service.FlashServiceError: if it cannot be opened.
        """
        self._volume_driver(connection_info).connect_volume(
            connection_info, instance)
        connection = self._connection(connection_info)
        try:
            return self._service.open(uuid, connection)
        except flash_service.Invalid:
            # Under another name than the last time, which the service takes
            # for a mistake while it serves that one: never below a guest.
            if self._service.state(uuid).connected:
                raise
            self._service.close(uuid)
            return self._service.open(uuid, connection)

    def disconnect(self, uuid: str, connection_info: ConnectionInfo,
                   instance: ty.Any = None) -> None:
        """Have a volume closed and disconnect it; harmless when it is.

        :raises flash_service.FlashServiceError: if the service may still
            have it open.
        """
        self._service.close(uuid)
        self._volume_driver(connection_info).disconnect_volume(
            connection_info, instance, force=True)

    def _volume_driver(self, connection_info: ConnectionInfo) -> ty.Any:
        # The same in Nova 32, 33 and 34, where _get_volume_config is not.
        return self._driver._get_volume_driver(connection_info)

    def _connection(self, connection_info: ConnectionInfo
                    ) -> flash_protocol.Connection:
        """Return how the flash service finds the volume."""
        details = connection_info['data']
        if connection_info['driver_volume_type'] == 'rbd':
            return self._rbd(details)
        path = details.get('device_path')
        if not isinstance(path, str):
            raise exception.StoreVolumeUnsuitable(
                reason='this kind of back end has no path on the host')
        return flash_protocol.PathConnection(path)

    def _rbd(self, details: ConnectionInfo) -> flash_protocol.RbdConnection:
        pool, _slash, image = details['name'].partition('/')
        cluster = details.get('cluster_name') or 'ceph'
        conf = f'/etc/ceph/{cluster}.conf'
        return flash_protocol.RbdConnection(
            pool=pool, image=image, cluster_name=cluster,
            monitors=tuple(
                f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
                for host, port in zip(details.get('hosts') or (),
                                      details.get('ports') or ())),
            user=details.get('auth_username') or 'admin',
            keyring=details.get('keyring') or self._keyring(details),
            conf=conf if os.access(conf, os.R_OK) else None)

    def _keyring(self, details: ConnectionInfo) -> str | None:
        """Return Ceph's key where only libvirt has it, else None.

        Hosts that use Ceph for volumes alone often have no keyring in
        /etc/ceph, where librados looks by itself.
        """
        user = details.get('auth_username')
        if not details.get('auth_enabled') or not user or os.access(
                f'/etc/ceph/{details.get("cluster_name")}.client.{user}'
                '.keyring', os.R_OK):
            return None
        secret = self._driver._host.get_connection().secretLookupByUUIDString(
            details['secret_uuid'])
        key = base64.b64encode(secret.value()).decode('ascii')
        return f'[client.{user}]\n\tkey = {key}\n'


@contextlib.contextmanager
def translated(volume_id: str) -> ty.Iterator[None]:
    """Raise errors of the flash service as errors about a store.

    :param volume_id: of the volume that it was asked about.
    :raises FlashServiceUnavailable: if it does not answer.
    :raises StoreClaimed: if another host has taken the store.
    :raises StoreReadFailed: if the volume cannot be read or written.
    :raises FlashServiceFailed: if it refuses.
    """
    try:
        yield
    except flash_service.FlashServiceAway as error:
        raise exception.FlashServiceUnavailable() from error
    except flash_service.Fenced as error:
        raise exception.StoreClaimed(volume_id=volume_id) from error
    except flash_service.VolumeFailed as error:
        raise exception.StoreReadFailed(volume_id=volume_id) from error
    except flash_service.ForeignLog as error:
        raise exception.StoreImageInvalid(
            reason='it holds the log of another instance') from error
    except flash_service.NotALog as error:
        raise exception.StoreImageInvalid(
            reason='the store that it once held is gone') from error
    except flash_service.Incompatible as error:
        raise exception.StoreImageInvalid(
            reason='it was written by a newer release') from error
    except flash_service.FlashServiceError as error:
        raise exception.FlashServiceFailed(volume_id=volume_id) from error
