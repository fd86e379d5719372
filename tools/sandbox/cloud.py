# SPDX-License-Identifier: Apache-2.0
"""What the story does through OpenStack's APIs. Runs in the venv."""
from collections.abc import Callable
import functools
import time
import typing as ty

import fasteners
from openstack import exceptions

from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image as guest_image
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import resources

#: What an image says; the tenant's side of the bargain.
PROPERTIES = {
    'hw_architecture': 'aarch64',
    'hw_emulation_architecture': 'aarch64',
    'hw_machine_type': 'virt',
    'hw_firmware_type': 'uefi',
}
PERSISTENT = {'hw_armvm_nvram': 'persistent'}

_LIMIT = 180
_NETWORK = 'leads-nowhere'

#: nova-compute drops what it is doing when it is ended. So that the stories
#: can share a host a restart waits for their requests, and they for it.
_AT_WORK = {host: fasteners.ReaderWriterLock() for host in config.HOSTS}


def _undisturbed(method: Callable) -> Callable:
    """Keep a server's nova-compute from being restarted meanwhile."""
    @functools.wraps(method)
    def attended(self: 'Server', *arguments, **named):
        with _AT_WORK[self.host.host].read_lock():
            return method(self, *arguments, **named)
    return attended


def _properties(disk: guest_image.Disk) -> dict[str, str]:
    architecture = {'arm64': 'aarch64', 'armhf': 'armv7l'}[
        disk.port.architecture]
    return {**PROPERTIES, 'hw_architecture': architecture,
            'hw_emulation_architecture': architecture}


def upload(connection, disk: guest_image.Disk, properties: dict[str, str],
           visibility: str = 'shared') -> str:
    """Upload a disk unless it is there; return the image's id.

    :param connection: of the owner.
    :param properties: in addition to those that every ARM image has.
    :param visibility: Glance's word for who may use it.
    """
    built = guest_image.build(disk)
    # Glance takes what stands before a colon for an operator.
    words = '-'.join(
        f'{name.removeprefix("hw_armvm_").replace(":", "_")}={value}'
        for name, value in properties.items())
    name = f'armvm-{disk.identity}-{words}'
    stamp = f'{built.stat().st_mtime_ns}'
    for found in list(connection.image.images(name=name)):
        if found.properties.get('sandbox_stamp') == stamp:
            return found.id
        connection.image.delete_image(found)
    made = connection.image.create_image(
        name=name, filename=str(built), disk_format='raw',
        container_format='bare', wait=True, validate_checksum=False,
        visibility=visibility, **_properties(disk), **properties,
        sandbox_stamp=stamp)
    return made.id


class Server:
    """A server of the tenant and the host that it is on."""

    def __init__(self, tenant, host: config.Host, server_id: str) -> None:
        self._tenant = tenant
        self.id = server_id
        self.host = hosts.ComputeHost(host)
        self.console = console.Console(
            self.host.console(server_id),
            lambda: self.host.terminal(server_id))

    def is_at(self, host: config.Host) -> None:
        """Go on with a server that has moved."""
        self.host = hosts.ComputeHost(host)
        self.console.move(self.host.console(self.id),
                          lambda: self.host.terminal(self.id))

    def status(self) -> str:
        """Return Nova's status."""
        return self._tenant.compute.get_server(self.id).status

    def wait(self, status: str) -> None:
        """Wait for a status with no work in progress.

        :raises SandboxError: the server failed; with its fault.
        """
        def there() -> bool:
            server = self._tenant.compute.get_server(self.id)
            if server.status == 'ERROR':
                raise process.SandboxError(
                    f'server {self.id} failed: {server.fault}')
            return server.status == status and not server.task_state
        process.wait_for(there, _LIMIT, f'server {self.id} {status}',
                         config.LOGS / f'{self.host.host.name}-nova-'
                         'compute.log')

    def fault(self) -> str:
        """Wait until the server has failed; return what a tenant is told."""
        def failed() -> str | None:
            server = self._tenant.compute.get_server(self.id)
            return server.fault['message'] if (
                server.status == 'ERROR' and server.fault) else None
        return process.wait_for(failed, _LIMIT, f'server {self.id} ERROR')

    @_undisturbed
    def reboot(self, kind: str) -> None:
        """Reboot, SOFT or HARD, and wait until Nova is done."""
        self._tenant.compute.reboot_server(self.id, kind)
        self.wait('ACTIVE')

    @_undisturbed
    def stop(self) -> None:
        self._tenant.compute.stop_server(self.id)
        self.wait('SHUTOFF')

    @_undisturbed
    def start(self) -> None:
        self._tenant.compute.start_server(self.id)
        self.wait('ACTIVE')

    @_undisturbed
    def pause(self) -> None:
        self._tenant.compute.pause_server(self.id)
        self.wait('PAUSED')
        self._tenant.compute.unpause_server(self.id)
        self.wait('ACTIVE')

    @_undisturbed
    def suspend(self) -> None:
        self._tenant.compute.suspend_server(self.id)
        self.wait('SUSPENDED')

    @_undisturbed
    def resume(self) -> None:
        self._tenant.compute.resume_server(self.id)
        self.wait('ACTIVE')

    @_undisturbed
    def rescue(self, image_id: str) -> None:
        self._tenant.compute.rescue_server(self.id, image_ref=image_id)
        self.wait('RESCUE')

    @_undisturbed
    def unrescue(self) -> None:
        self._tenant.compute.unrescue_server(self.id)
        self.wait('ACTIVE')

    @_undisturbed
    def rebuild(self, image_id: str) -> None:
        self._tenant.compute.rebuild_server(self.id, image=image_id)
        self.wait('ACTIVE')

    @_undisturbed
    def attach(self, volume_id: str) -> None:
        """Attach a volume and wait until the server has it."""
        self._tenant.compute.create_volume_attachment(
            self.id, volume_id=volume_id)
        self._wait_for_volume(volume_id, 'in-use')

    @_undisturbed
    def detach(self, volume_id: str) -> None:
        """Detach a volume and wait until the guest has let go of it."""
        self._tenant.compute.delete_volume_attachment(self.id, volume_id)
        self._wait_for_volume(volume_id, 'available')

    @_undisturbed
    def attach_port(self, port_id: str) -> None:
        """Attach a network port; Nova answers when the server has it."""
        self._tenant.compute.create_server_interface(self.id,
                                                     port_id=port_id)

    @_undisturbed
    def detach_port(self, port_id: str) -> None:
        """Detach a network port and wait until Nova has let go of it."""
        self._tenant.compute.delete_server_interface(port_id, self.id)
        process.wait_for(
            lambda: not list(self._tenant.compute.server_interfaces(self.id)),
            _LIMIT, f'server {self.id} without its port')

    def _wait_for_volume(self, volume_id: str, status: str) -> None:
        volumes = self._tenant.block_storage
        volumes.wait_for_status(volumes.get_volume(volume_id), status,
                                failures=['error'], interval=0.5, wait=_LIMIT)

    @_undisturbed
    def snapshot(self) -> str:
        """Make an image of the server; return its id."""
        made = self._tenant.compute.create_server_image(
            self.id, f'snapshot of {self.id}', wait=True, timeout=_LIMIT)
        self.wait('ACTIVE')
        return made.id

    @_undisturbed
    def backup(self) -> str:
        """Make an image by way of Nova's rotation; return its id."""
        name = f'backup of {self.id}'
        self._tenant.compute.backup_server(self.id, name, 'daily', 1)

        def done() -> bool:
            return any(found.status == 'active' for found
                       in self._tenant.image.images(name=name))
        process.wait_for(done, _LIMIT, name)
        self.wait('ACTIVE')
        return next(self._tenant.image.images(name=name)).id

    @_undisturbed
    def delete(self) -> None:
        """Delete and wait until Nova knows it no more."""
        self._tenant.compute.delete_server(self.id, ignore_missing=True)

        def gone() -> bool:
            try:
                self._tenant.compute.get_server(self.id)
            except exceptions.NotFoundException:
                return True
            return False
        process.wait_for(gone, _LIMIT, f'the end of server {self.id}')

    def resize(self, flavor: str) -> None:
        """Resize; to be confirmed or reverted."""
        self._tenant.compute.resize_server(
            self.id, self._tenant.compute.find_flavor(flavor).id)
        self.wait('VERIFY_RESIZE')

    def confirm(self) -> None:
        """Confirm a resize or cold migration."""
        self._tenant.compute.confirm_server_resize(self.id)
        self.wait('ACTIVE')

    def revert(self) -> None:
        """Revert a resize or cold migration."""
        self._tenant.compute.revert_server_resize(self.id)
        self.wait('ACTIVE')

    def shelve(self) -> None:
        self._tenant.compute.shelve_server(self.id)
        self.wait('SHELVED_OFFLOADED')

    def unshelve(self) -> None:
        self._tenant.compute.unshelve_server(self.id)
        self.wait('ACTIVE')

    def alone_on_host(self) -> ty.ContextManager:
        """Keep other stories from asking this server's host for anything."""
        return _AT_WORK[self.host.host].write_lock()

    def restart_compute(self) -> None:
        """Restart the host's nova-compute; guests go on."""
        with _AT_WORK[self.host.host].write_lock():
            self.host.restart_compute()

    def use_driver(self, driver: str) -> None:
        """Change the driver of the host's nova-compute; guests go on."""
        with _AT_WORK[self.host.host].write_lock():
            self.host.use_driver(driver)

    def lose_power(self) -> None:
        """End the guest as a power failure of the host does, and come back.

        Nova brings it up again (resume_guests_state_on_host_boot).
        """
        with _AT_WORK[self.host.host].write_lock():
            self.host.lose_power_of(self.id)


class Tenant:
    """An ordinary user with a project of its own."""

    def __init__(self) -> None:
        self._cloud = resources.connect(config.TENANT, config.TENANT)
        self._flavor = self._cloud.compute.find_flavor(resources.FLAVOR).id

    def image(self, disk: guest_image.Disk,
              properties: dict[str, str]) -> str:
        """Upload a disk unless it is there; return the image's id."""
        return upload(self._cloud, disk, properties)

    def empty_image(self) -> str:
        """Upload an image of zeros; return its id."""
        return self._cloud.image.create_image(
            name='zeros', data=bytes(1024 * 1024), disk_format='raw',
            container_format='bare', validate_checksum=False,
            **PROPERTIES).id

    def properties_of_ours(self, image_id: str) -> list[str]:
        """Return the names of an image's properties that speak of us."""
        every = self._cloud.image.get_image(image_id).properties
        return sorted(name for name in every if 'armvm' in name)

    def delete_image(self, image_id: str) -> None:
        self._cloud.image.delete_image(image_id)

    def volume(self, name: str) -> str:
        """Make an empty volume; return its id."""
        return self.volume_from(None, name)

    def port(self) -> str:
        """Make a network port; return its id."""
        neutron = self._cloud.network
        network = neutron.find_network(_NETWORK)
        if network is None:
            network = neutron.create_network(name=_NETWORK)
            # Nova attaches to networks with one only.
            neutron.create_subnet(network_id=network.id, ip_version=4,
                                  cidr='192.0.2.0/24', enable_dhcp=False)
        return neutron.create_port(network_id=network.id).id

    def volume_from(self, image_id: str | None, name: str) -> str:
        """Make a volume from an image, or an empty one; return its id."""
        made = self._cloud.block_storage.create_volume(
            name=name, size=1, image_id=image_id)
        self._cloud.block_storage.wait_for_status(
            made, 'available', failures=['error'], interval=0.5, wait=_LIMIT)
        return made.id

    def boot(self, name: str, image_id: str, host: config.Host,
             volumes: tuple[str, ...] = ()) -> Server:
        """Boot a server; return it when it is ACTIVE."""
        with _AT_WORK[host].read_lock():
            server = self.ask_for(name, image_id, host, volumes)
            server.wait('ACTIVE')
        return server

    def ask_for(self, name: str, image_id: str, host: config.Host,
                volumes: tuple[str, ...] = ()) -> Server:
        """Ask for a server and do not wait for it."""
        disks = [{'uuid': image_id, 'source_type': 'image',
                  'destination_type': 'local', 'boot_index': 0,
                  'delete_on_termination': True}]
        disks += [{'uuid': volume, 'source_type': 'volume',
                   'destination_type': 'volume', 'boot_index': number,
                   'delete_on_termination': True}
                  for number, volume in enumerate(volumes, 1)]
        made = self._cloud.compute.create_server(
            name=name, image_id=image_id, flavor_id=self._flavor,
            networks='none', availability_zone=host.zone,
            block_device_mapping=disks)
        return Server(self._cloud, host, made.id)

    def timed_boot(self, name: str, image_id: str,
                   host: config.Host) -> tuple[Server, float]:
        """Boot a server; return it and the seconds until ACTIVE."""
        begun = time.monotonic()
        server = self.ask_for(name, image_id, host)

        def active() -> bool:
            # The cheapest question that Nova answers: asking for the whole
            # server takes half a core from the boot that is measured.
            return any(found.id == server.id for found in
                       self._cloud.compute.servers(details=False,
                                                   status='ACTIVE'))
        process.wait_for(active, _LIMIT, f'server {server.id} ACTIVE',
                         config.LOGS / f'{host.name}-nova-compute.log',
                         pause=0.1)
        taken = time.monotonic() - begun
        server.wait('ACTIVE')
        return server, taken

    def volumes_named(self, text: str) -> int:
        """Return how many volumes with a text in the name it can see."""
        return sum(text in (volume.name or '')
                   for volume in self._cloud.block_storage.volumes())

    def clean_up(self) -> None:
        """Delete what an earlier run has left."""
        for server in list(self._cloud.compute.servers()):
            Server(self._cloud, config.ARMVM, server.id).delete()
        for port in list(self._cloud.network.ports()):
            self._cloud.network.delete_port(port)

        def delete_free_volumes() -> bool:
            volumes = list(self._cloud.block_storage.volumes())
            for volume in volumes:
                if volume.status in ('available', 'error'):
                    self._cloud.block_storage.delete_volume(volume)
            return not volumes
        process.wait_for(delete_free_volumes, _LIMIT,
                         'the end of left-over volumes', pause=1)
