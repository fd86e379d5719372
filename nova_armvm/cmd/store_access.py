# SPDX-License-Identifier: Apache-2.0
"""A server's store, opened on the host where a command runs."""
from collections.abc import Iterator
import contextlib
import os

import nova.privsep
from nova.virt.libvirt import driver as libvirt_driver
from os_brick import privileged as brick_privileged
from oslo_config import cfg

from nova_armvm.cmd import held_server
from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.host import record
from nova_armvm.host import volumes as host_volumes
from nova_armvm.store import attachments
from nova_armvm.store import cinder
from nova_armvm.store import metadata
from nova_armvm.store import origin
from nova_armvm.store import ref as instance_ref
from nova_armvm.store import store as nvram_store
from nova_armvm.store import versions


class StoreAccess:
    """Has stores open in this host's flash service.

    :ivar stores: of this host, with nova-compute's own records.
    :ivar volumes: of all stores.
    """

    def __init__(self, stores: nvram_store.Stores,
                 host: attachments.HostVolumes) -> None:
        """Open stores through these.

        :param host: connects their volumes here.
        """
        self.stores = stores
        self.volumes = stores.volumes
        self._host = host

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts,
                  volumes: cinder.StoreVolumes) -> 'StoreAccess':
        """Open stores as the nova-compute of this host would.

        :param conf: nova.conf of this host.
        :raises PackageMissing: if there is no libvirt here.
        """
        if os.geteuid() == 0:
            # What nova-compute has a helper for, root does itself.
            for context in (nova.privsep.sys_admin_pctxt,
                            brick_privileged.default):
                context.set_client_mode(False)
        # Nova's libvirt driver connects volumes with every option of
        # [libvirt]; it asks libvirt for nothing until it has to.
        try:
            driver = libvirt_driver.LibvirtDriver(None)
        except ImportError as error:
            raise exception.PackageMissing(
                package='libvirt-python',
                purpose='connecting volumes as nova-compute does') from error
        own = os.path.join(conf.state_path, 'armvm')
        service = flash_service.FlashService(conf.armvm.nvramd_directory)
        host = host_volumes.LibvirtHostVolumes(driver, service)
        return cls(nvram_store.Stores(
            conf.host, volumes, host,
            record.HostRecords(os.path.join(own, 'stores')), service,
            origin.TemplateReader(os.path.join(own, 'templates'))), host)

    def find(self, server: held_server.Server) -> cinder.StoreVolume:
        """Return the volume of a server's store.

        :raises ServerWithoutStore: if it has none.
        """
        found = self.volumes.find(ref_of(server))
        if found is None:
            raise exception.ServerWithoutStore(server=server.uuid)
        return found

    @contextlib.contextmanager
    def opened(self, server: held_server.Server, volume: cinder.StoreVolume
               ) -> Iterator[versions.Versions]:
        """Open a store: here where its server is, or attached for a while.

        That of a server that runs is left as it is. One of the old form is
        converted, so no start may happen meanwhile.

        :param volume: of its store.
        :raises ServerElsewhere: if it runs, and not on this host.
        :raises StoreImageInvalid: if the volume holds no store.
        :raises StoreError: if Cinder or this host could not.
        """
        ref = ref_of(server)
        log = versions.Versions(self.stores.service, ref.uuid, volume.id)
        with _told(volume):
            own = self.volumes.own_attachment(volume)
            if not server.off:
                if own is None:
                    raise exception.ServerElsewhere(
                        server=server.uuid, host=server.host or 'none')
                yield log
                return
            # Before anything is done that could not be undone without it.
            self.stores.service.hello()
            with (self._attached(ref, volume) if own is None else
                  self._connected(ref, own)) as opened:
                self._make_log(ref, volume, opened)
                yield log

    def _make_log(self, ref: instance_ref.InstanceRef,
                  volume: cinder.StoreVolume,
                  opened: flash_service.Opened) -> None:
        """Make sure that a volume holds a log of versions.

        :raises StoreImageInvalid: if it holds no store.
        """
        if opened.content == 'qcow2':
            self.stores.service.convert(ref.uuid)
            self.volumes.note(volume,
                              {metadata.FORM_KEY: metadata.LOG_FORM})
        elif opened.content != 'log':
            raise exception.StoreImageInvalid(
                reason='no firmware has been given it yet'
                if volume.facts.flash_size is None
                else 'the store that it once held is gone')

    @contextlib.contextmanager
    def _connected(self, ref: instance_ref.InstanceRef,
                   own: cinder.Attachment) -> Iterator[flash_service.Opened]:
        """Connect what is attached here, and leave it as it was."""
        stays = self.stores.of(ref).is_here()
        try:
            yield self._host.connect(ref.uuid, own.connection_info)
        finally:
            # This host's attachment may outlive the connection: it protects
            # the store of a server that has left for nowhere (shelved). A
            # device that stayed would be read with stale pages later.
            if not stays:
                self._host.disconnect(ref.uuid, own.connection_info)

    @contextlib.contextmanager
    def _attached(self, ref: instance_ref.InstanceRef,
                  volume: cinder.StoreVolume
                  ) -> Iterator[flash_service.Opened]:
        """Attach a volume here, and take that back."""
        made = self.volumes.attach(volume, ref,
                                   self._host.connector(ref.instance))
        try:
            try:
                opened = self._host.connect(ref.uuid, made.connection_info)
                self.volumes.complete(made)
                yield opened
            finally:
                self._host.disconnect(ref.uuid, made.connection_info)
        finally:
            self.volumes.detach(made.id)


@contextlib.contextmanager
def _told(volume: cinder.StoreVolume) -> Iterator[None]:
    """Tell what this host could not do in words, whatever it was.

    What os-brick, Nova's drivers and the kernel raise has no common base.
    """
    try:
        with host_volumes.translated(volume.id):
            yield
    except exception.FlashServiceUnavailable as error:
        if not isinstance(_origin_of(error), PermissionError):
            raise
        raise exception.StoreNotOpened(
            volume_id=volume.id, reason='the flash service answers to root '
            'and to the user of nova-compute alone') from error
    except exception.ArmVMError:
        raise
    except Exception as error:
        raise exception.StoreNotOpened(
            volume_id=volume.id,
            reason=str(error) or type(error).__name__) from error


def _origin_of(error: BaseException) -> BaseException:
    """Return the error that all others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def ref_of(server: held_server.Server) -> instance_ref.InstanceRef:
    """Return the instance that a server is."""
    return instance_ref.InstanceRef(server.uuid, server.project)
