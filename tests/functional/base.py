# SPDX-License-Identifier: Apache-2.0
"""Nova with our driver on ARM hosts, and a tenant who uses it."""
import contextlib
import os
import sys
import time
import uuid

import fixtures
from nova import conf as nova_conf
from nova import context as nova_context
from nova import objects
from nova.tests import fixtures as nova_fixtures
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base
from nova.virt.libvirt import host as libvirt_host
from nova.virt.libvirt import utils as libvirt_utils

from nova_armvm import conf as armvm_conf
from nova_armvm.store import ref as instance_ref
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.fixtures.cinder import fixture as cinder_fixture
from tests.fixtures.cinder import identity
from tests.fixtures.cinder import rows
from tests.fixtures import domain_xml
from tests.fixtures import firmware
from tests.fixtures import flash_service
from tests.fixtures import libvirt

CONF = nova_conf.CONF
armvm_conf.register_opts(CONF)

ARM_IMAGE = {'hw_architecture': 'aarch64', 'hw_machine_type': 'virt',
             'hw_firmware_type': 'uefi'}

#: What is for this release only can go with it.
NOVA_32 = hasattr(libvirt_host.Host, 'loaders')

#: Seconds to wait for what must come.
PATIENCE = 60

#: What guest_writes() leaves.
NOTE = varstore.VariableKey(
    uuid.UUID('f3b7c2a8-3a0d-4a6b-8d55-0d6f3b1c9e20'), 'Note')


def create_image(driver, context, instance, *_unused, **_unused_too):
    """Make a server's disk, in place of Nova's work on images.

    :returns: that directory and disk were made, for Nova's clean-up.
    """
    directory = libvirt_utils.get_instance_path(instance)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, 'disk'), 'wb') as disk:
        disk.truncate(1024 ** 3)
    return True, True


class ArmServersTestCase(base.ServersTestBase):
    """Servers on hosts with ``compute_driver = armvm.ArmVMLibvirtDriver``.

    The tenant's requests carry a token of the tenant's project, the compute
    services have only what is in [cinder] and [service_user].
    """

    api_major_version = 'v2.1'
    microversion = 'latest'

    #: Architecture of the hosts.
    HOST_ARCHITECTURE = 'aarch64'

    def setUp(self):
        # Servers go to compute1 as long as it takes them.
        self.useFixture(nova_fixtures.HostNameWeigherFixture(
            weights={'compute1': 100, 'compute2': 50}))
        paste = os.path.join(sys.prefix, 'etc', 'nova', 'api-paste.ini')
        if os.path.exists(paste):
            # Where pip puts it; Nova's tests look in their source tree.
            self.flags(api_paste_config=paste, group='wsgi')
        self.useFixture(fixtures.MonkeyPatch(
            'nova.tests.fixtures.CinderFixture',
            cinder_fixture.CinderFixture))
        super().setUp()
        self.useFixture(nova_fixtures.PrivsepFixture())
        self._use_host_software()
        self._use_tenant()
        self.image = self.make_image(**ARM_IMAGE)

    def _setup_compute_service(self):
        self.flags(compute_driver='armvm.ArmVMLibvirtDriver')

    def _use_host_software(self):
        self.libvirt.mock_uname.return_value = fakelibvirt.os_uname(
            'Linux', '', '6.1.0', '', self.HOST_ARCHITECTURE)
        self.firmware = self.useFixture(firmware.FirmwareFixture())
        self.flags(firmware_descriptor_dirs=[self.firmware.directory],
                   group='armvm')
        if NOVA_32:
            # It chooses the firmware itself.
            self.useFixture(fixtures.MonkeyPatch(
                'nova.virt.libvirt.host.Host.loaders',
                property(lambda host: self.firmware.descriptors())))
        self.flags(block_device_allocate_retries=3,
                   block_device_allocate_retries_interval=1)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.virt.boot_order.libvirt_qemu', libvirt.LibvirtQemu))
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.LibvirtDriver._create_image',
            create_image))

    def _use_tenant(self):
        project = self.api_fixture.project_id
        tenant = self.cinder.identity.add(identity.Account(
            'tenant', 'password-of-tenant', project, 'tenants', ('member',)))
        operator = self.cinder.identity.add(identity.Account(
            'operator', 'password-of-operator',
            cinder_fixture.SERVICE_PROJECT, 'service', ('admin',)))
        tokens = {
            project: self.cinder.identity.issue(tenant),
            cinder_fixture.SERVICE_PROJECT: self.cinder.identity.issue(
                operator)}
        stubbed = self._create_context_of_request

        def create_context(environ, **given):
            context = stubbed(environ, **given)
            context.auth_token = tokens[context.project_id]
            context.service_catalog = identity.catalogue_of_a_request()
            return context

        self.useFixture(fixtures.MonkeyPatch(
            'nova.api.auth.NovaKeystoneContext._create_context',
            create_context))

    @staticmethod
    def _create_context_of_request(environ, **given):
        return nova_context.RequestContext(
            environ['HTTP_X_AUTH_USER'], environ['HTTP_X_AUTH_PROJECT_ID'],
            is_admin=environ['HTTP_X_AUTH_USER'] == 'admin',
            roles=environ['HTTP_X_ROLES'].split(','), **given)

    # Hosts

    def _get_connection(self, host_info=None, pci_info=None, mdev_info=None,
                        vdpa_info=None, libvirt_version=None,
                        qemu_version=None, hostname=None):
        connection = libvirt.Connection(
            'qemu:///system', firmware=self.firmware,
            nvram_directory=self.useFixture(fixtures.TempDir()).path,
            hostname=hostname, host_info=host_info or fakelibvirt.HostInfo(
                cpu_nodes=1, cpu_sockets=1, cpu_cores=4, cpu_threads=1))
        connection.flash = self._starting_flash
        return connection

    def start_compute(self, hostname='compute1', *args, **kwargs):
        """Start nova-compute on a host with a disk of its own."""
        self.flags(state_path=self._state_path(hostname))
        self._starting_flash = self.flash_service(hostname)
        self.flags(nvramd_directory=self._starting_flash.directory,
                   group='armvm')
        super().start_compute(hostname, *args, **kwargs)
        # All services of this process share one configuration, so what is
        # read from it at run time has the name of the last host.
        driver = self.computes[hostname].driver
        connector = driver.get_volume_connector
        driver.get_volume_connector = lambda instance: {
            **connector(instance), 'host': hostname}
        return hostname

    def flash_service(self, hostname='compute1'
                      ) -> flash_service.FlashServiceFixture:
        """Return the flash service of a host."""
        if not hasattr(self, '_flash_services'):
            self._flash_services = {}
        if hostname not in self._flash_services:
            self._flash_services[hostname] = self.useFixture(
                flash_service.FlashServiceFixture())
        return self._flash_services[hostname]

    def introduce(self, source, destination) -> None:
        """Let guests of one host migrate to another."""
        self.connection(source).peer = self.connection(destination)

    def _state_path(self, hostname):
        if not hasattr(self, '_state_paths'):
            self._state_paths = {}
        if hostname not in self._state_paths:
            self._state_paths[hostname] = self.useFixture(
                fixtures.TempDir()).path
        return self._state_paths[hostname]

    def connection(self, hostname='compute1') -> libvirt.Connection:
        """Return libvirt on a host."""
        return self.computes[hostname].driver._host.get_connection()

    def domain(self, server, hostname='compute1') -> libvirt.Domain:
        """Return the guest of a server."""
        return self.connection(hostname).domain(server['id'])

    def own_files(self, hostname='compute1') -> list[str]:
        """Return the files that the driver keeps on a host."""
        found = []
        for directory, _names, files in os.walk(
                os.path.join(self._state_path(hostname), 'armvm')):
            found += [os.path.join(directory, name) for name in files]
        return found

    # Servers

    def make_image(self, **properties) -> str:
        """Upload an image; return its id."""
        return self.glance.create(None, {
            'name': 'arm', 'disk_format': 'raw', 'container_format': 'bare',
            'min_ram': 0, 'min_disk': 0, 'protected': False,
            'visibility': 'public', 'tags': [], 'deleted_at': None,
            'deleted': False, 'size': 1024 ** 3,
            'properties': properties})['id']

    def boot(self, image=None, expected_state='ACTIVE', **kwargs):
        """Create a server as the tenant."""
        return self._create_server(
            image_uuid=image or self.image, networks='none',
            expected_state=expected_state, **kwargs)

    def make_volume(self, name: str, **image: str) -> rows.Volume:
        """Create a volume as the tenant.

        :param image: properties of the image that it is made from.
        """
        made = self.cinder.store.create_volume(
            rows.Caller(self.api_fixture.project_id),
            {'size': 1, 'name': name})
        made.image = dict(image)
        made.status = 'available'
        return made

    def host_of(self, server) -> str | None:
        """Return where a server is, as Nova says."""
        return self.admin_api.get_server(server['id'])[
            'OS-EXT-SRV-ATTR:host']

    def instance(self, server) -> objects.Instance:
        """Return Nova's record of a server."""
        return objects.Instance.get_by_uuid(
            nova_context.get_admin_context(read_deleted='yes'), server['id'])

    def _wait_for_state_change(self, server, expected_status, max_retries=10,
                               wait_for_fault_key=True):
        # Nova's waits five seconds, which are too few for a busy machine,
        # and waits them also for a server that has failed.
        failed_before = 'ERROR' in (server.get('status'), expected_status)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            server = self.admin_api.get_server(server['id'])
            told = 'fault' in server or not wait_for_fault_key
            if server['status'] == expected_status and (
                    told or expected_status != 'ERROR'):
                return server
            if server['status'] == 'ERROR' and told and not failed_before:
                self.fail(server.get('fault'))
            time.sleep(0.1)
        self.fail(f'Still {server["status"]} and not {expected_status}.')

    def _wait_for_assert(self, assert_func, max_retries=PATIENCE, sleep=1):
        super()._wait_for_assert(assert_func, max_retries, sleep)

    def reason(self, server, action: str) -> str:
        """Return what an operator is told of an action that failed."""
        actions = self.admin_api.get_instance_actions(server['id'])
        request = next(each['request_id'] for each in actions
                       if each['action'] == action)
        events = self.admin_api.get_instance_action_details(
            server['id'], request)['events']
        return ' '.join(event['details'] for event in events
                        if event['details'])

    # Stores

    def store_of(self, server) -> rows.Volume:
        """Return the one volume of a server's store."""
        found = [volume for volume in self.cinder.volumes_left()
                 if server['id'] in volume.name]
        self.assertEqual(1, len(found), found)
        return found[0]

    def attachment_of(self, server) -> rows.Attachment:
        """Return the one attachment of a server's store."""
        found = self.cinder.store.attachments_of(self.store_of(server).id)
        self.assertEqual(1, len(found), found)
        return found[0]

    def flash(self, server) -> bytes:
        """Return the flash in the newest version on the volume."""
        return flash_service.flash_on(self.store_of(server).path,
                                      server['id'])

    def variables(self, server) -> dict[varstore.VariableKey,
                                        varstore.Variable]:
        """Return the variables in the newest version on the volume."""
        return dict(varstore.parse(self.flash(server)).variables)

    def guest_writes(self, server, character: str) -> None:
        """Let the guest set a variable; it is told when that is done."""
        served = [each for each in self._flash_services.values()
                  if each.serves(server['id'])]
        flash = (served[-1].read(server['id']) if served else
                 self.flash(server))
        written = edit.edited(flash[:varstore.READ_SIZE], {
            NOTE: varstore.Variable(NOTE, 7, character.encode())})
        if served:
            served[-1].write(server['id'], 0, written)
        else:
            self.write_flash(server, written)

    def guest_reads(self, server) -> str:
        """Return what guest_writes() left, or nothing."""
        note = self.variables(server).get(NOTE)
        return note.content.decode() if note is not None else ''

    def write_flash(self, server, content: bytes) -> None:
        """Replace what the volume holds, behind the back of this host."""
        flash_service.put_on(
            self.store_of(server).path, server['id'],
            content.ljust(varstore.READ_SIZE, b'\xff'))

    # What must hold

    def assert_store_in_use(self, server, hostname='compute1') -> None:
        """The guest has its store, and Cinder knows."""
        volume = self.store_of(server)
        self.assertEqual('in-use', volume.status)
        self.assertEqual(cinder_fixture.SERVICE_PROJECT, volume.project)
        attachment = self.attachment_of(server)
        self.assertEqual('attached', attachment.status)
        self.assertEqual(hostname, attachment.host)
        self.assertEqual(
            str(uuid.uuid5(instance_ref.ATTACHMENT_NAMESPACE, server['id'])),
            attachment.instance)
        self.assertEqual([], self.cinder.store.nova_was_asked_about)
        self.assert_domain_uses(server, hostname)

    def assert_domain_uses(self, server, hostname) -> None:
        """libvirt was told of the flash service, now and for next time."""
        domain = self.domain(server, hostname)
        for tree in filter(lambda tree: tree is not None,
                           (domain.config, domain.live)):
            nvram = tree.find('os/nvram')
            self.assertEqual(
                ('network', 'raw', 'nbd', server['id']),
                (nvram.get('type'), nvram.get('format'),
                 nvram.find('source').get('protocol'),
                 nvram.find('source').get('name')),
                domain_xml.to_text(nvram))
            self.assertEqual('nbd.sock', os.path.basename(
                nvram.find('source/host').get('socket')))
            self.assertIsNone((nvram.text or '').strip() or None)
        if domain.live is not None:
            self.assertTrue(self.flash_service(hostname).serves(
                server['id']))

    def assert_nothing_left(self, server=None, *hostnames) -> None:
        """Neither volume nor attachment, guest or file is left anywhere."""
        self.assertEqual([], self.cinder.volumes_left())
        self.assertEqual({}, self.cinder.store.attachments)
        for hostname in hostnames or self.computes:
            self.assertEqual({}, self.connection(hostname)._vms)
            self.assertEqual([], self.own_files(hostname))

    def assert_fit_for_a_tenant(self, text: str) -> None:
        """A fault has no secret, path, address or traceback."""
        for part in (cinder_fixture.PASSWORD, 'token-', '/', 'Traceback',
                     'Error', '.test', 'Exception'):
            self.assertNotIn(part, text)

    def run_periodic_tasks(self) -> None:
        """Let a minute pass."""
        for compute in self.computes.values():
            compute.manager.update_available_resource(
                nova_context.get_admin_context())

    @contextlib.contextmanager
    def no_new_volume(self):
        """Nothing within asks Cinder for a volume."""
        before = self.cinder.operations.count('volume_create')
        yield
        self.assertEqual(before,
                         self.cinder.operations.count('volume_create'))
