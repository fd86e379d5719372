# SPDX-License-Identifier: Apache-2.0
"""A server's store, opened on the host where a command runs."""
from collections.abc import Callable, Iterator
import contextlib
import os

import nova.privsep
from nova.virt.libvirt import driver as libvirt_driver
from os_brick import privileged as brick_privileged
from oslo_config import cfg

from nova_armvm.cmd import held_server
from nova_armvm import exception
from nova_armvm.host import record
from nova_armvm.nvram import access
from nova_armvm.nvram import hosting
from nova_armvm.nvram import volume
from nova_armvm.virt import host_volumes


class StoreAccess:
    """Opens the volumes of stores as nova-compute would.

    :ivar host_side: connects them here.
    """

    def __init__(self, volumes: volume.StoreVolumes,
                 host_side: hosting.HostSide,
                 connected_by_nova: Callable[[volume.Owner], bool]) -> None:
        """Prepare; nothing is asked yet.

        :param connected_by_nova: whether nova-compute keeps a store
            connected here.
        """
        self._volumes = volumes
        self.host_side = host_side
        self._connected_by_nova = connected_by_nova

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts,
                  volumes: volume.StoreVolumes) -> 'StoreAccess':
        """Prepare on a compute host.

        :param conf: nova.conf of this host.
        :raises PackageMissing: there is no libvirt here.
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
        host_side = host_volumes.LibvirtHostVolumes(driver)
        return cls(volumes, host_side,
                   hosted_stores(conf, volumes, host_side).is_recorded)

    def find(self, server: held_server.Server) -> volume.Volume:
        """Return the volume of a server's store.

        :raises ServerWithoutStore: it has none.
        """
        found = self._volumes.find(owner_of(server))
        if found is None:
            raise exception.ServerWithoutStore(server=server.uuid)
        return found

    @contextlib.contextmanager
    def opened(self, server: held_server.Server,
               found: volume.Volume) -> Iterator[access.VolumeBytes]:
        """Open a store: here where its server is, or attached for a while.

        :param found: the volume of its store.
        :raises ServerElsewhere: it runs, on another host.
        :raises StoreError: Cinder or this host could not.
        """
        owner = owner_of(server)
        with _told(found):
            own = self._volumes.own_attachment(found)
            if own is None and not server.off:
                raise exception.ServerElsewhere(server=server.uuid,
                                                host=server.host)
            with (self._attached(owner, found) if own is None else
                  self._connected(owner, own)) as info:
                with self.host_side.open(info) as opened:
                    yield opened

    @contextlib.contextmanager
    def _connected(self, owner: volume.Owner, own: volume.Attachment
                   ) -> Iterator[access.ConnectionInfo]:
        """Connect what is attached here, and leave it as it was."""
        stays = self._connected_by_nova(owner)
        self.host_side.connect(owner, own.connection_info)
        try:
            yield own.connection_info
        finally:
            # This host's attachment may outlive the connection: it protects
            # the store of a server that has left for nowhere (shelved). A
            # device that stayed would be read with stale pages later.
            if not stays:
                self.host_side.disconnect(owner, own.connection_info)

    @contextlib.contextmanager
    def _attached(self, owner: volume.Owner, found: volume.Volume
                  ) -> Iterator[access.ConnectionInfo]:
        made = self._volumes.attach(found, owner,
                                    self.host_side.connector(owner))
        try:
            self.host_side.connect(owner, made.connection_info)
            try:
                self._volumes.complete(made)
                yield made.connection_info
            finally:
                self.host_side.disconnect(owner, made.connection_info)
        finally:
            self._volumes.detach(made.id)

    @contextlib.contextmanager
    def attached_copy(self, server: held_server.Server, copy: volume.Volume
                      ) -> Iterator[access.VolumeBytes]:
        """Open another volume that holds a store of a server's."""
        with _told(copy), self._attached(owner_of(server), copy) as info:
            with self.host_side.open(info) as opened:
                yield opened


@contextlib.contextmanager
def _told(found: volume.Volume) -> Iterator[None]:
    """Tell what this host could not do in words, whatever it was.

    What os-brick, Nova's drivers, librbd and the kernel raise has no common
    base.
    """
    try:
        yield
    except exception.ArmVMError:
        raise
    except Exception as error:
        raise exception.StoreNotOpened(
            volume_id=found.id,
            reason=str(error) or type(error).__name__) from error


def hosted_stores(conf: cfg.ConfigOpts, volumes: volume.StoreVolumes,
                  host_side: hosting.HostSide) -> hosting.HostedStores:
    """Return the stores of this host, with nova-compute's own records.

    :param conf: nova.conf of this host.
    """
    directory = os.path.join(conf.state_path, 'armvm', 'stores')
    return hosting.HostedStores(volumes, host_side,
                                record.HostRecords(directory))


def owner_of(server: held_server.Server) -> volume.Owner:
    """Return whose store a server's is."""
    return volume.Owner(server.uuid, server.project)
