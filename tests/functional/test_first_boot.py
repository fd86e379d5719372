# SPDX-License-Identifier: Apache-2.0
"""From the request for a server to the guest with its own store."""
import threading

import fixtures

from tests.fixtures import domain_xml
from tests.fixtures import firmware
from tests.functional import base


class FirstBootTest(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_guest_starts_with_a_store_of_its_own(self):
        server = self.boot()
        self.assert_store_in_use(server)
        volume = self.store_of(server)
        self.assertEqual('armvm-nvram-' + server['id'], volume.name)
        self.assertEqual(1, volume.size)
        self.assertEqual(server['id'], volume.metadata['armvm_instance'])
        self.assertEqual(server['tenant_id'],
                         volume.metadata['armvm_project'])

    def test_two_servers_have_two_stores(self):
        first, second = self.boot(), self.boot()
        self.guest_writes(first, '1')
        self.assertEqual(('1', ''), (self.guest_reads(first),
                                     self.guest_reads(second)))
        self.assert_store_in_use(first)
        self.assert_store_in_use(second)

    def test_store_is_a_flash_of_the_size_of_the_template(self):
        flash = self.flash(self.boot())
        self.assertEqual(firmware.FLASH_SIZE, len(flash))
        self.assertEqual(b'template of 60-edk2-aarch64',
                         firmware.mark_of(flash))

    def test_template_is_the_one_of_the_loader_that_the_guest_gets(self):
        server = self.boot(self.make_image(**base.ARM_IMAGE,
                                           os_secure_boot='required'))
        self.assertEqual(b'template of 40-secure-aarch64',
                         firmware.mark_of(self.flash(server)))
        chosen = self.firmware.select('aarch64', secure_boot=True)
        self.assertEqual(chosen.loader,
                         self.domain(server).live.findtext('os/loader'))

    def test_volume_is_of_the_type_that_the_operator_named(self):
        self.cinder.store.add_type(
            'nvram', projects=(base.cinder_fixture.SERVICE_PROJECT,))
        self.flags(nvram_volume_type='nvram', group='armvm')
        self.restart_compute_service('compute1')
        self.assertEqual('nvram', self.store_of(self.boot()).volume_type)

    def test_tenant_sees_nothing_of_it(self):
        server = self.boot()
        self.assertEqual([], self.api.get_server_volumes(server['id']))
        shown = self.api.get_server(server['id'])
        self.assertEqual([], shown['os-extended-volumes:volumes_attached'])

    def test_snapshots_are_told_nothing_but_the_image_property(self):
        server = self.boot()
        own = {key: value
               for key, value in self.instance(server).system_metadata.items()
               if 'armvm' in key}
        self.assertEqual({'image_hw_armvm_nvram': 'persistent'}, own)

    def test_no_boot_order_of_the_platform_is_left_to_the_running_guest(self):
        server = self.boot()
        domain = self.domain(server)
        self.assertEqual(1, len(domain.boots))
        domain.reset_inside()
        self.assertEqual({}, domain.boots[-1])

    def test_volume_is_made_beside_the_work_on_images(self):
        made = threading.Event()
        self.cinder.on('volume_create', made.set)

        def create_image(*args, **kwargs):
            self.assertTrue(made.wait(10), 'The volume was not asked for '
                                           'before the images were done.')
            return base.create_image(*args, **kwargs)

        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.LibvirtDriver._create_image', create_image))
        self.assert_store_in_use(self.boot())

    def test_host_remembers_what_is_connected_for_itself_alone(self):
        self.boot()
        modes = {base.os.stat(path).st_mode & 0o777
                 for path in self.own_files()}
        self.assertEqual({0o600}, modes)

    def test_seeding_leaves_no_temporary_file(self):
        server = self.boot()
        self.assertEqual(
            [server['id'] + '.json'],
            [base.os.path.basename(path) for path in self.own_files()])


class OtherGuestsTest(base.ArmServersTestCase):
    """Guests that are not ours are as under the stock driver."""

    def setUp(self):
        super().setUp()
        self.start_compute()

    def assert_plain_file(self, server):
        nvram = self.domain(server).live.find('os/nvram')
        self.assertIsNone(nvram.get('type'), domain_xml.to_text(nvram))
        self.assertEqual([], self.cinder.volumes_left())
        self.assertEqual([], self.own_files())
        return nvram.text

    def test_volatile_by_request_of_the_image(self):
        server = self.boot(self.make_image(
            **base.ARM_IMAGE, hw_armvm_nvram='volatile'))
        path = self.assert_plain_file(server)
        self._reboot_server(server, hard=True)
        self.assert_plain_file(server)
        self._delete_server(server)
        self.assertFalse(base.os.path.exists(path))

    def test_volatile_by_request_of_the_flavor(self):
        flavor = self._create_flavor(
            memory_mb=1024, vcpu=1, disk=1, ephemeral=0,
            extra_spec={'armvm:nvram': 'volatile'})
        self.assert_plain_file(self.boot(flavor_id=flavor))

    def test_volatile_by_default_of_the_cloud(self):
        self.flags(nvram_default='volatile', group='armvm')
        self.assert_plain_file(self.boot())

    def test_changed_default_changes_no_server_that_exists(self):
        server = self.boot()
        self.flags(nvram_default='volatile', group='armvm')
        self._reboot_server(server, hard=True)
        self.assert_store_in_use(server)

    def test_guest_without_firmware_has_no_store(self):
        server = self.boot(self.make_image(hw_architecture='aarch64',
                                           hw_machine_type='virt',
                                           hw_firmware_type='bios'))
        self.assertEqual([], self.cinder.volumes_left())
        self.assertIsNone(self.domain(server).live.find('os/nvram'))


class StockGuestTest(base.ArmServersTestCase):
    """An x86 guest on an x86 host passes through untouched."""

    HOST_ARCHITECTURE = 'x86_64'

    def test_whole_life_of_an_x86_guest(self):
        self.start_compute()
        server = self.boot(self.make_image(hw_machine_type='q35',
                                           hw_firmware_type='uefi'))
        path = self.domain(server).live.findtext('os/nvram')
        self.assertTrue(base.os.path.exists(path))
        self._reboot_server(server, hard=True)
        self._stop_server(server)
        self._start_server(server)
        self._delete_server(server)
        self.assertFalse(base.os.path.exists(path))
        self.assertNotIn('volume_create', self.cinder.operations)
        self.assert_nothing_left()


class RequestTest(base.ArmServersTestCase):
    """What an image or a flavor asks for is honoured or refused."""

    def setUp(self):
        super().setUp()
        self.start_compute()

    def refused(self, image=None, flavor=None):
        server = self.boot(image, expected_state='ERROR', flavor_id=flavor)
        self.assert_nothing_left()
        return server['fault']['message']

    def test_unknown_value_is_refused(self):
        text = self.refused(self.make_image(**base.ARM_IMAGE,
                                            hw_armvm_nvram='sometimes'))
        for part in ('hw_armvm_nvram', 'sometimes', 'persistent, volatile'):
            self.assertIn(part, text)

    def test_unknown_property_is_refused(self):
        text = self.refused(self.make_image(**base.ARM_IMAGE,
                                            hw_armvm_nvrma='volatile'))
        self.assertIn('hw_armvm_nvrma', text)

    def test_image_and_flavor_that_disagree_are_refused(self):
        flavor = self._create_flavor(
            memory_mb=1024, vcpu=1, disk=1, ephemeral=0,
            extra_spec={'armvm:nvram': 'volatile'})
        text = self.refused(self.make_image(
            **base.ARM_IMAGE, hw_armvm_nvram='persistent'), flavor)
        self.assertIn('hw_armvm_nvram=persistent', text)
        self.assertIn('armvm:nvram=volatile', text)

    def test_persistence_without_firmware_is_refused(self):
        text = self.refused(self.make_image(
            hw_architecture='aarch64', hw_machine_type='virt',
            hw_firmware_type='bios', hw_armvm_nvram='persistent'))
        self.assertIn('hw_armvm_nvram=persistent', text)
