# SPDX-License-Identifier: Apache-2.0
"""What the story does as the cloud's operator. Runs in the venv."""
from concurrent import futures
import contextlib

from openstack import exceptions

from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import ready
from tools.sandbox import resources

_LIMIT = 180
_OUR_TRAITS = 'CUSTOM_ARMVM'
#: Placement's first version that knows traits.
_TRAITS = '1.6'
#: MiB/s of a live migration in which there is time to do something, and of
#: any other.
_SLOW_MIB, _FAST_MIB = '4', '10000'


class Operator:
    """An administrator: looks at all volumes, moves servers, ends hosts."""

    def __init__(self) -> None:
        self.cloud = resources.connect('nova', 'service')

    def store_volumes(self, server_id: str) -> list:
        """Return the volumes that hold a server's variables."""
        return [volume for volume in self.cloud.block_storage.volumes()
                if volume.metadata.get('armvm_instance') == server_id]

    def wait_gone(self, server_id: str) -> list:
        """Wait for the end of a server's volumes; return what is left."""
        process.wait_for(lambda: not self.store_volumes(server_id), _LIMIT,
                         f'the end of the volume of server {server_id}')
        return self.store_volumes(server_id)

    def attachments(self, volume_id: str) -> list:
        """Return the attachments of a volume."""
        return [attachment for attachment in
                self.cloud.block_storage.attachments()
                if attachment.volume_id == volume_id]

    def drop_traits(self, host: config.Host) -> None:
        """Take this project's traits from a host that has another driver.

        Only the driver that set a trait takes it away again (admin.rst).
        """
        placement = self.cloud.placement
        provider = next(iter(placement.resource_providers(name=host.name)))
        path = f'/resource_providers/{provider.id}/traits'
        known = placement.get(path, microversion=_TRAITS).json()
        known['traits'] = [name for name in known['traits']
                           if not name.startswith(_OUR_TRAITS)]
        exceptions.raise_from_response(
            placement.put(path, json=known, microversion=_TRAITS))

    def attached_hosts(self, server_id: str) -> list[str]:
        """Return the hosts to which a server's store is attached."""
        return sorted(each['host_name'] for volume in
                      self.store_volumes(server_id)
                      for each in volume.attachments)

    def refusal_to_delete(self, volume) -> str:
        """Try to delete a volume; return why Cinder would not.

        :returns: empty when Cinder did as it was asked.
        """
        try:
            self.cloud.block_storage.delete_volume(volume,
                                                   ignore_missing=False)
        except exceptions.BadRequestException as error:
            return str(error)
        return ''

    # Servers

    def host_of(self, server: cloud.Server) -> str:
        """Return the name of the host that Nova says a server is on."""
        return self.cloud.compute.get_server(server.id).compute_host

    def migrate(self, server: cloud.Server) -> None:
        """Cold-migrate to another host; to be confirmed or reverted."""
        self.cloud.compute.migrate_server(server.id)
        server.wait('VERIFY_RESIZE')

    def migrate_beside(self, server: cloud.Server, to: config.Host) -> None:
        """Cold-migrate while new servers have to go to the host it is on.

        The destination is open only while Nova looks for it.
        """
        with server.alone_on_host():
            self.use_only(server.host.host, to)
            try:
                self.cloud.compute.migrate_server(server.id, host=to.name)
                process.wait_for(
                    lambda: self.cloud.compute.get_server(
                        server.id).task_state != 'resize_prep', _LIMIT,
                    f'Nova to find {to.name}')
            finally:
                self.use_only(server.host.host)
        server.wait('VERIFY_RESIZE')

    def live_migrate(self, server: cloud.Server, host: config.Host) -> None:
        """Migrate while the guest runs."""
        self.cloud.compute.live_migrate_server(server.id, host=host.name,
                                               block_migration='auto')
        self._wait_arrived(server, host)

    def _wait_arrived(self, server: cloud.Server, host: config.Host) -> None:
        def arrived() -> bool:
            server.wait('ACTIVE')
            latest = next(iter(self.cloud.compute.server_migrations(
                server.id)), None)
            if latest is None and self.host_of(server) != host.name:
                raise process.SandboxError(
                    f'server {server.id} was not migrated; see the log of '
                    'nova-compute on both hosts')
            return latest is None
        process.wait_for(arrived, _LIMIT, 'the end of the migration')

    def begin_slow_migration(self, server: cloud.Server,
                             host: config.Host) -> None:
        """Begin a live migration that lasts; return when it is under way."""
        source = server.host
        source.virsh('migrate-setspeed', server.id, _SLOW_MIB)
        self.cloud.compute.live_migrate_server(server.id, host=host.name,
                                               block_migration='auto')
        process.wait_for(
            lambda: 'Memory remaining' in source.virsh('domjobinfo',
                                                       server.id),
            _LIMIT, 'the guest to be sent')

    def abort_migration(self, server: cloud.Server) -> None:
        """Abort a live migration that is under way.

        Nova 34 takes libvirt's word that a job was aborted for a failure
        when it has rolled everything back already, and sets the server to
        ERROR, with any driver. The operator takes that back.
        """
        self.cloud.compute.abort_server_migration(
            self._migration(server), server.id, ignore_missing=False)
        process.wait_for(lambda: server.status() == 'ERROR', _LIMIT,
                         f'Nova 34 to set server {server.id} to ERROR')
        self.cloud.compute.reset_server_state(server.id, 'active')
        server.wait('ACTIVE')
        server.host.virsh('migrate-setspeed', server.id, _FAST_MIB)

    def force_migration(self, server: cloud.Server,
                        host: config.Host) -> None:
        """Force a live migration that is under way to its end."""
        self.cloud.compute.force_complete_server_migration(
            self._migration(server), server.id)
        with contextlib.suppress(process.SandboxError):
            # It may have come to its end in between.
            server.host.virsh('migrate-setspeed', server.id, _FAST_MIB)
        self._wait_arrived(server, host)

    def _migration(self, server: cloud.Server):
        return next(iter(self.cloud.compute.server_migrations(server.id)))

    def evacuate(self, server: cloud.Server) -> None:
        """Bring up a server of a dead host on another one."""
        self.cloud.compute.evacuate_server(server.id)
        server.wait('ACTIVE')

    # Hosts

    def use_only(self, *wanted: config.Host) -> None:
        """Let new servers and moves go to some of our hosts only."""
        for host in (config.ARMVM, config.ARMVM_2):
            service = self._service(host)
            change = (self.cloud.compute.enable_service if host in wanted
                      else self.cloud.compute.disable_service)
            change(service, host.name, 'nova-compute')

    def use_volume_type(self, volume_type: str) -> None:
        """Let new stores on both of our hosts have a volume of some type."""
        both = (config.ARMVM, config.ARMVM_2)
        with futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: hosts.ComputeHost(
                host).use_volume_type(volume_type), both))
        ready.wait_for(self.cloud, {host.name for host in both})

    def change_driver(self, server: cloud.Server, driver: str) -> None:
        """Give a server's host another driver; its guests go on.

        Waits until nova-compute works: what it is asked before it drops.
        """
        server.use_driver(driver)
        ready.wait_for(self.cloud, {server.host.host.name})

    def kill(self, host: config.Host) -> None:
        """Take a host's power away and tell Nova that it is dead."""
        hosts.ComputeHost(host).kill()
        self._force_down(host, True)

    def bring_back(self, host: config.Host) -> None:
        """Start a host again that was killed."""
        hosts.ComputeHost(host).start()
        ready.wait_for(self.cloud, {host.name}, forced_down=True)
        self._force_down(host, False)

    def left_on(self, host: config.Host,
                server: cloud.Server) -> tuple[int, int]:
        """Count a server's guests and connected stores on a host."""
        known = hosts.ComputeHost(host).virsh('list', '--all', '--uuid')
        # Of nova-compute and of the flash service.
        records = [host.state_path / 'armvm' / kind / f'{server.id}.json'
                   for kind in ('stores', 'nvramd')]
        return (known.split().count(server.id),
                int(any(record.exists() for record in records)))

    def _service(self, host: config.Host):
        return next(service for service in self.cloud.compute.services(
            host=host.name, binary='nova-compute'))

    def _force_down(self, host: config.Host, forced: bool) -> None:
        self.cloud.compute.update_service_forced_down(
            self._service(host), host.name, 'nova-compute', forced)
