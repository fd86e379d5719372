# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import registry
from tests.unit.profile import settings


def resolve(image=None, flavor=None, **setting):
    image = {f'hw_armvm_{name}': value
             for name, value in (image or {}).items()}
    return registry.resolve(image, flavor or {}, settings.setting(**setting))


class ResolveTest(unittest.TestCase):

    def test_without_a_word_only_the_place_of_the_variables_is_decided(self):
        self.assertEqual({'nvram': 'persistent'}, resolve().decided())

    def test_version_2_alone_is_a_complete_machine(self):
        self.assertEqual(
            {'spec': '2.0', 'execution_state': 'aarch64', 'gic_version': '3',
             'hw_description': 'acpi', 'console': 'pl011',
             'hotplug_ports': '4', 'nvram': 'persistent'},
            resolve({'spec': '2.0'}).decided())

    def test_version_1_alone_is_a_complete_machine(self):
        self.assertEqual(
            {'spec': '1.0', 'execution_state': 'aarch64', 'gic_version': '3',
             'hw_description': 'fdt', 'console': 'pl011',
             'hotplug_ports': '4', 'nvram': 'persistent'},
            resolve({'spec': '1.0'}).decided())

    def test_version_2_takes_the_controller_that_the_host_has(self):
        self.assertEqual('2', resolve(
            {'spec': '2.0'}, gic_versions=('2',)).gic_version)

    def test_machine_of_armv7_starts_in_aarch32_with_a_device_tree(self):
        hardware = resolve({'spec': '2.0'}, architecture='armv7l')
        self.assertEqual(('aarch32', 'fdt'),
                         (hardware.execution_state, hardware.hw_description))

    def test_each_property_overrides_one_thing(self):
        complete = resolve({'spec': '2.0'}).decided()
        for name, value in (('gic_version', '2'), ('hw_description', 'fdt'),
                            ('console', 'pl011+virtio'),
                            ('hotplug_ports', '0'), ('nvram', 'volatile')):
            with self.subTest(name):
                self.assertEqual(
                    {**complete, name: value},
                    resolve({'spec': '2.0', name: value}).decided())

    def test_one_property_alone_leaves_the_others_to_nova(self):
        self.assertEqual({'gic_version': '3', 'nvram': 'persistent'},
                         resolve({'gic_version': '3'}).decided())

    def test_flavor_asks_as_an_image_does(self):
        self.assertEqual(
            '2', resolve(flavor={'armvm:gic_version': '2'}).gic_version)

    def test_unknown_names_are_refused(self):
        with self.assertRaises(exception.PropertyUnknown):
            resolve({'gic': '3'})

    def test_firmware_without_variables_is_volatile_by_default(self):
        for setting in ({'uefi': False}, {'stateless': True}):
            with self.subTest(setting):
                self.assertEqual('volatile', resolve(**setting).nvram)

    def test_default_of_the_cloud_holds_for_variables(self):
        self.assertEqual('volatile',
                         resolve(nvram_default='volatile').nvram)


class ContradictionTest(unittest.TestCase):

    def refused(self, image, error=exception.PropertyUnmet, **setting):
        with self.assertRaises(error) as caught:
            resolve(image, **setting)
        name, value = list(image.items())[-1]
        self.assertIn(f'hw_armvm_{name}={value}', str(caught.exception))
        return str(caught.exception)

    def test_specification_without_uefi(self):
        for version in ('1.0', '2.0'):
            self.assertIn('hw_firmware_type=uefi',
                          self.refused({'spec': version}, uefi=False))

    def test_specification_on_another_board(self):
        self.assertIn('"raspi3b"', self.refused({'spec': '2.0'},
                                                machine_type='raspi3b'))

    def test_versions_of_the_board_are_the_board(self):
        for machine_type in ('virt', 'virt-9.2', None):
            resolve({'spec': '2.0'}, machine_type=machine_type)

    def test_version_2_without_pl011(self):
        self.assertIn('pl011+virtio',
                      self.refused({'spec': '2.0', 'console': 'virtio'}))

    def test_version_1_does_without_pl011(self):
        self.assertEqual(
            'virtio', resolve({'spec': '1.0', 'console': 'virtio'}).console)

    def test_acpi_in_aarch32(self):
        self.assertIn('AArch32', self.refused({'hw_description': 'acpi'},
                                              architecture='armv7l'))

    def test_execution_state_of_another_architecture(self):
        self.assertIn('hw_architecture=armv7l',
                      self.refused({'execution_state': 'aarch32'}))
        self.assertIn('hw_architecture=aarch64',
                      self.refused({'execution_state': 'aarch64'},
                                   architecture='armv7l'))

    def test_persistent_variables_of_stateless_firmware(self):
        self.assertIn('hw_firmware_stateless',
                      self.refused({'nvram': 'persistent'}, stateless=True))

    def test_persistent_variables_without_uefi(self):
        self.refused({'nvram': 'persistent'}, uefi=False)

    def test_controller_that_the_host_does_not_have(self):
        told = self.refused({'gic_version': '3'},
                            exception.HardwareNotOffered,
                            gic_versions=('2',))
        self.assertIn('offers: 2', told)

    def test_execution_state_that_the_host_does_not_have(self):
        self.refused({'execution_state': 'aarch32'},
                     exception.HardwareNotOffered, architecture='armv7l',
                     offers=False)

    def test_machine_that_is_not_of_arm(self):
        for image, flavor in (({'hw_armvm_nvram': 'volatile'}, {}),
                              ({}, {'armvm:spec': '2.0'})):
            with self.assertRaises(exception.PropertyUnmet) as caught:
                registry.refuse_all(image, flavor, 'x86_64')
            self.assertIn('x86_64', str(caught.exception))
        registry.refuse_all({'hw_firmware_type': 'uefi'},
                            {'hw:cpu_policy': 'shared'}, 'x86_64')


class RecordedTest(unittest.TestCase):

    def test_what_was_decided_is_read_back(self):
        hardware = resolve({'spec': '2.0'})
        kept = {f'hw_armvm_{name}': value
                for name, value in hardware.decided().items()}
        self.assertEqual(hardware, registry.recorded(
            {**kept, 'hw_machine_type': 'virt'}))

    def test_what_nobody_has_decided_is_not_believed(self):
        for value in ('4000000000', '-1', 'many', ''):
            with self.subTest(value):
                self.assertRaises(exception.PropertyInvalid,
                                  registry.recorded,
                                  {'hw_armvm_hotplug_ports': value})

    def test_flavor_of_the_same_machine_is_accepted(self):
        registry.check_flavor(resolve({'spec': '2.0'}),
                              {'armvm:gic_version': '3', 'hw:other': 'x'})

    def test_flavor_of_another_machine_is_refused(self):
        with self.assertRaises(exception.PropertyConflict):
            registry.check_flavor(resolve({'spec': '2.0'}),
                                  {'armvm:gic_version': '2'})

    def test_flavor_with_an_unknown_property_is_refused(self):
        with self.assertRaises(exception.PropertyUnknown):
            registry.check_flavor(machine.Hardware(), {'armvm:gic': '2'})


class ApplyTest(unittest.TestCase):

    def apply(self, xml=settings.DOMAIN, **properties):
        hardware = machine.Hardware(**properties)
        once = registry.apply(xml, hardware, settings.offer())
        self.assertEqual(once, registry.apply(once, hardware,
                                              settings.offer()),
                         'applied twice')
        return etree.fromstring(once)

    def test_domain_tells_what_it_was_made_of(self):
        domain = self.apply(gic_version='3', nvram='persistent')
        self.assertEqual(
            {'gic_version': '3', 'nvram': 'persistent'},
            dict(domain.find(
                f'metadata/{{{registry.NAMESPACE}}}hardware').attrib))

    def test_metadata_of_nova_stays(self):
        self.assertEqual('a server', self.apply(spec='2.0').findtext(
            'metadata/{urn:nova}instance'))

    def test_whole_machine_of_version_2(self):
        domain = self.apply(**resolve({'spec': '2.0'}).decided())
        self.assertEqual('3', domain.find('features/gic').get('version'))
        self.assertIsNotNone(domain.find('features/acpi'))
        self.assertEqual('pl011', domain.find(
            'devices/serial/target/model').get('name'))

    def test_free_ports_are_beyond_those_in_use(self):
        hardware = machine.Hardware(hotplug_ports='3')
        xml = registry.apply(settings.DOMAIN, hardware, settings.offer())
        domain = etree.fromstring(registry.with_free_ports(
            xml, settings.COMPLETED, hardware))
        self.assertEqual(2 + 3, len(domain.findall(
            "devices/controller[@model='pcie-root-port']")))


class TraitsTest(unittest.TestCase):

    def test_properties_imply_traits(self):
        for properties, traits in (
                ({'spec': '2.0'}, ('CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V3')),
                ({'spec': '2.0', 'gic_version': '2'},
                 ('CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V2')),
                ({'nvram': 'volatile'}, ()),
                ({'nvram': 'persistent'}, ('CUSTOM_ARMVM',))):
            with self.subTest(properties):
                self.assertEqual(traits, registry.traits(resolve(properties)))

    def test_aarch32_implies_its_trait(self):
        self.assertIn('CUSTOM_ARMVM_AARCH32', registry.traits(
            resolve({'spec': '1.0'}, architecture='armv7l')))


class HandlersTest(unittest.TestCase):

    def test_every_property_is_a_field_of_the_machine(self):
        fields = set(machine.Hardware.__dataclass_fields__)
        self.assertEqual(fields, {
            handler.property.name for handler in registry.HANDLERS})

    def test_every_property_is_described(self):
        for wanted in registry.PROPERTIES:
            with self.subTest(wanted.name):
                self.assertTrue(wanted.title)
                self.assertTrue(wanted.description.endswith('.'))
