# SPDX-License-Identifier: Apache-2.0
"""From image metadata to the machine that a guest gets, and keeps."""
from nova import context as nova_context
from nova import objects
from nova.tests.functional.api import client

from nova_armvm.profile import registry
from tests.functional import base
from tests.functional import two_hosts


def hardware_of(domain) -> dict[str, str]:
    """Return what a guest's definition says that it was made of."""
    return dict(domain.config.find(
        f'metadata/{{{registry.NAMESPACE}}}hardware').attrib)


def free_ports(domain) -> int:
    """Count the root ports of a guest without a device."""
    used = {int(address.get('bus'), 16) for address in domain.config.findall(
        "devices/*/address[@type='pci']")}
    return sum(int(port.get('index')) not in used
               for port in domain.config.findall(
                   "devices/controller[@model='pcie-root-port']"))


class HardwareTestCase(base.ArmServersTestCase):

    def arm_image(self, **properties) -> str:
        """Upload an image of an ARM machine with properties of ours."""
        return self.make_image(**base.ARM_IMAGE, **{
            f'hw_armvm_{name}': value for name, value in properties.items()})

    def refused(self, image=None, flavor=None) -> str:
        """Boot what cannot be; return the fault."""
        server = self.boot(image, expected_state='ERROR', flavor_id=flavor)
        fault = server['fault']['message']
        self._delete_server(server)
        self.assert_nothing_left()
        return fault


class MachineTest(HardwareTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_version_2_is_a_complete_machine(self):
        domain = self.domain(self.boot(self.arm_image(spec='2.0')))
        config = domain.config
        self.assertEqual('3', config.find('features/gic').get('version'))
        self.assertIsNotNone(config.find('features/acpi'))
        self.assertEqual('pl011', config.find(
            'devices/serial/target/model').get('name'))
        self.assertEqual(4, free_ports(domain))

    def test_version_1_describes_itself_by_a_device_tree(self):
        domain = self.domain(self.boot(self.arm_image(spec='1.0')))
        self.assertIsNone(domain.config.find('features/acpi'))

    def test_machine_without_a_word_is_novas(self):
        domain = self.domain(self.boot())
        self.assertEqual({'nvram': 'persistent'}, hardware_of(domain))
        self.assertIsNone(domain.config.find('features/gic'))

    def test_machine_with_volatile_variables_has_its_hardware_too(self):
        domain = self.domain(self.boot(self.arm_image(
            spec='2.0', gic_version='2', nvram='volatile')))
        self.assertEqual('2', domain.config.find('features/gic').get(
            'version'))
        self.assertEqual([], self.cinder.volumes_left())

    def test_flavor_asks_as_an_image_does(self):
        flavor = self._create_flavor(extra_spec={
            'armvm:gic_version': '2', 'armvm:hotplug_ports': '9'})
        domain = self.domain(self.boot(flavor_id=flavor))
        self.assertEqual('2', domain.config.find('features/gic').get(
            'version'))
        self.assertEqual(9, free_ports(domain))

    def test_whole_machine_is_on_record_with_the_instance(self):
        server = self.boot(self.arm_image(spec='2.0'))
        own = {key.removeprefix('image_hw_armvm_'): value
               for key, value in self.instance(server).system_metadata.items()
               if 'armvm' in key}
        self.assertEqual(
            {'spec': '2.0', 'execution_state': 'aarch64', 'gic_version': '3',
             'hw_description': 'acpi', 'console': 'pl011',
             'hotplug_ports': '4', 'nvram': 'persistent'}, own)
        self.assertEqual(own, hardware_of(self.domain(server)))

    def test_machine_is_told_in_one_line_of_the_log(self):
        self.boot(self.arm_image(spec='2.0', gic_version='2'))
        told = [line for line in self.stdlog.logger.output.splitlines()
                if 'The ARM machine of this server' in line]
        self.assertEqual(1, len(told), told)
        self.assertIn('spec 2.0', told[0])
        self.assertIn('gic_version 2', told[0])

    def test_later_defaults_do_not_change_a_machine_that_exists(self):
        self.connection().offer(controllers=('2',))
        server = self.boot(self.arm_image(spec='2.0'))
        self.connection().offer(controllers=('2', '3'))
        self._reboot_server(server, hard=True)
        self.assertEqual('2', self.domain(server).config.find(
            'features/gic').get('version'))

    def test_free_ports_are_free_again_after_a_hard_reboot(self):
        server = self.boot(self.arm_image(hotplug_ports='3'))
        volume = self.make_volume('data')
        self.api.post_server_volume(server['id'], {
            'volumeAttachment': {'volumeId': volume.id}})
        self._wait_for_assert(lambda: self.assertEqual(
            'in-use', volume.status))
        self.assertEqual(2, free_ports(self.domain(server)))
        self._reboot_server(server, hard=True)
        self.assertEqual(3, free_ports(self.domain(server)))

    def test_rebuild_makes_the_machine_of_the_new_image(self):
        server = self.boot(self.arm_image(spec='2.0'))
        self._rebuild_server(server, self.arm_image(
            spec='1.0', gic_version='2'))
        machine = hardware_of(self.domain(server))
        self.assertEqual(('1.0', '2', 'fdt'),
                         (machine['spec'], machine['gic_version'],
                          machine['hw_description']))

    def test_console_of_virtio_keeps_novas_log(self):
        domain = self.domain(self.boot(self.arm_image(console='virtio')))
        self.assertEqual([], domain.config.findall('devices/serial'))
        console = domain.config.find('devices/console')
        self.assertEqual('virtio', console.find('target').get('type'))
        self.assertTrue(console.find('log').get('file'))


class RefusalTest(HardwareTestCase):
    """A machine is never started with less than was asked for."""

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_values_that_do_not_exist(self):
        told = self.refused(self.arm_image(gic_version='4'))
        self.assertIn('hw_armvm_gic_version', told)
        self.assertIn('2, 3', told)

    def test_version_2_without_its_console(self):
        self.assertIn('pl011', self.refused(
            self.arm_image(spec='2.0', console='virtio')))

    def test_bios(self):
        self.assertIn('hw_armvm_spec=2.0', self.refused(self.make_image(
            hw_architecture='aarch64', hw_firmware_type='bios',
            hw_armvm_spec='2.0')))

    def test_persistent_variables_of_stateless_firmware(self):
        self.assertIn('hw_firmware_stateless', self.refused(self.make_image(
            **base.ARM_IMAGE, hw_firmware_stateless='true',
            hw_armvm_nvram='persistent')))

    def test_acpi_of_another_architecture(self):
        self.assertIn('hw_armvm_execution_state=aarch32', self.refused(
            self.arm_image(execution_state='aarch32')))

    def test_image_and_flavor_that_disagree(self):
        flavor = self._create_flavor(extra_spec={'armvm:gic_version': '2'})
        told = self.refused(self.arm_image(gic_version='3'), flavor)
        self.assertIn('hw_armvm_gic_version=3', told)
        self.assertIn('armvm:gic_version=2', told)

    def test_flavor_that_nova_does_not_accept(self):
        for specs in ({'armvm:gic_version': '4'}, {'armvm:gic': '3'}):
            with self.subTest(specs):
                refusal = self.assertRaises(
                    client.OpenStackApiException, self._create_flavor,
                    extra_spec=specs)
                self.assertEqual(400, refusal.response.status_code)


class OtherArchitectureTest(HardwareTestCase):

    HOST_ARCHITECTURE = 'x86_64'

    def test_image_of_another_architecture_gets_nothing_of_ours(self):
        self.start_compute()
        told = self.refused(self.make_image(
            hw_architecture='x86_64', hw_armvm_spec='2.0'))
        self.assertIn('x86_64', told)

    def test_server_that_was_built_before_is_evacuated_all_the_same(self):
        self.start_compute('compute1')
        self.start_compute('compute2')
        server = self.boot(self.make_image(hw_architecture='x86_64'))
        instance = self.instance(server)
        instance.system_metadata['image_hw_armvm_spec'] = '2.0'
        instance.save()
        self.computes['compute1'].stop()
        service = self.admin_api.get_services(
            binary='nova-compute', host='compute1')[0]
        self.admin_api.put_service_force_down(service['id'], True)
        self._evacuate_server(server, expected_host='compute2')
        self.assertEqual('compute2', self.host_of(server))


class TraitsTest(HardwareTestCase):

    def traits(self, hostname='compute1') -> set[str]:
        """Return what Placement knows of a host, of ours."""
        return {trait for trait in self._get_provider_traits(
            self._get_provider_uuid_by_host(hostname))
            if trait.startswith('CUSTOM_ARMVM')}

    def test_host_reports_what_libvirt_says(self):
        self.start_compute()
        self.assertEqual({'CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V2',
                          'CUSTOM_ARMVM_GIC_V3'}, self.traits())

    def test_change_of_the_host_is_reported_within_a_minute(self):
        self.start_compute()
        self.connection().offer(controllers=('3',), arm32_firmware=True)
        self.run_periodic_tasks()
        self.assertEqual({'CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V3',
                          'CUSTOM_ARMVM_AARCH32'}, self.traits())

    def test_server_that_no_host_can_satisfy_fails_in_scheduling(self):
        self.start_compute()
        server = self.boot(self.make_image(
            **base.ARM_IMAGE, hw_armvm_spec='2.0',
            **{'trait:CUSTOM_ARMVM_AARCH32': 'required'}),
            expected_state='ERROR')
        self.assertIn('No valid host', server['fault']['message'])
        self.assertIsNone(self.host_of(server))

    def test_server_goes_to_the_host_that_has_what_it_requires(self):
        self.start_compute('compute1')
        self.start_compute('compute2')
        self.connection('compute1').offer(controllers=('2',))
        self.run_periodic_tasks()
        server = self.boot(self.make_image(
            **base.ARM_IMAGE, hw_armvm_gic_version='3',
            **{'trait:CUSTOM_ARMVM_GIC_V3': 'required'}))
        self.assertEqual('compute2', self.host_of(server))

    def test_image_without_traits_is_tried_on_the_next_host(self):
        self.start_compute('compute1')
        self.start_compute('compute2')
        self.connection('compute1').offer(controllers=('2',))
        server = self.boot(self.arm_image(gic_version='3'))
        self.assertEqual('compute2', self.host_of(server))


class MovesTest(two_hosts.TwoHostsTestCase):
    """The machine goes with the server."""

    def setUp(self):
        super().setUp()
        self._delete_server(self.server)
        self.server = self.boot(self.make_image(
            **base.ARM_IMAGE, hw_armvm_spec='2.0'))
        self.guest_writes(self.server, 'G')
        self.introduce('compute1', 'compute2')

    def test_cold_migration_makes_the_same_machine(self):
        before = hardware_of(self.domain(self.server))
        self.cold_migrate()
        self.assertEqual(before,
                         hardware_of(self.domain(self.server, 'compute2')))

    def test_live_migration_to_a_host_without_it_is_refused(self):
        self.connection('compute2').offer(controllers=('2',))
        self.ask({'os-migrateLive': {'host': None,
                                     'block_migration': 'auto'}})
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assert_store_at('compute1')

    def test_resize_within_the_same_machine_works(self):
        flavor = self._create_flavor(memory_mb=4096, extra_spec={
            'armvm:gic_version': '3'})
        self._resize_server(self.server, flavor)
        self._confirm_resize(self.server)
        self.assert_store_at('compute2')
        instance = objects.Instance.get_by_uuid(
            nova_context.get_admin_context(), self.server['id'])
        self.assertEqual('3', instance.system_metadata[
            'image_hw_armvm_gic_version'])


class RefusedResizeTest(HardwareTestCase):
    """A flavor that asks for another machine than the server has."""

    # So that the refusal is Nova's to deal with, as it is in real life.
    CAST_AS_CALL = False

    def test_server_stays_what_and_where_it_is(self):
        self.start_compute('compute1')
        self.start_compute('compute2')
        server = self.boot(self.arm_image(spec='2.0'))
        self.guest_writes(server, 'G')
        flavor = self._create_flavor(extra_spec={'armvm:gic_version': '2'})
        self.admin_api.post_server_action(
            server['id'], {'resize': {'flavorRef': flavor}})
        self._wait_for_action_fail_completion(
            server, 'resize', 'compute_resize_instance')
        self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual('compute1', self.host_of(server))
        self.assert_store_in_use(server)
        self.assertEqual('G', self.guest_reads(server))
        self.assertIn('armvm:gic_version=2', self.reason(server, 'resize'))
