# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm.profile import registry
from tests.unit.profile import settings
from tools.sandbox.guest import image
from tools.sandbox import machines

REPORT = {
    'machine': 'aarch64', 'description': 'acpi', 'efi': '2.70',
    'clocks': 'rtc-efi rtc-efi.0', 'level': 'EL1', 'psci': '1.1',
    'conduit': 'hvc', 'uart': 'sbsa-uart', 'virtio_consoles': '',
    'gic': 'GICv3', 'timer': 'virt', 'free_ports': 4}


def host_of(machine: machines.Machine):
    """Return what the sandbox's hosts have for a machine."""
    if machine.disk == image.DISK_32:
        return settings.setting('armv7l', gic_versions=('2',))
    return settings.setting()


class MatrixTest(unittest.TestCase):
    """What the demo expects is what the driver decides, found twice."""

    def test_expectation_is_what_the_driver_decides(self):
        for machine in machines.MACHINES:
            with self.subTest(machine.name):
                decided = registry.resolve(
                    {f'hw_armvm_{name}': value
                     for name, value in machine.asked.items()}, {},
                    host_of(machine))
                self.assertEqual(
                    (decided.hw_description, f'GICv{decided.gic_version}',
                     'virtio' in decided.console,
                     int(decided.hotplug_ports)),
                    (machine.description, machine.gic,
                     machine.virtio_console, machine.free_ports))

    def test_images_require_the_traits_that_follow(self):
        for machine in machines.MACHINES:
            with self.subTest(machine.name):
                hardware = registry.resolve(
                    {name: value
                     for name, value in machine.properties.items()
                     if name.startswith('hw_armvm_')}, {},
                    host_of(machine))
                self.assertEqual(
                    set(registry.traits(hardware)),
                    {name.removeprefix('trait:')
                     for name in machine.properties
                     if name.startswith('trait:')})

    def test_every_value_of_every_property_of_hardware_is_in_it(self):
        decided = [registry.resolve(
            {f'hw_armvm_{name}': value
             for name, value in machine.asked.items()}, {},
            host_of(machine)).decided()
            for machine in machines.MACHINES]
        for wanted in registry.PROPERTIES:
            # The others are not about hardware.
            if wanted.allowed and not wanted.counts and (
                    wanted.name != 'nvram'):
                self.assertEqual(set(wanted.allowed),
                                 {each[wanted.name] for each in decided},
                                 wanted.name)


class SeenTest(unittest.TestCase):

    def test_words_are_those_of_the_expectation(self):
        self.assertEqual(machines.MACHINES[0].expected,
                         machines.seen(REPORT))

    def test_difference_is_seen(self):
        for name, value in (('machine', 'armv7l'), ('description', 'fdt'),
                            ('gic', 'GICv2'), ('uart', ''),
                            ('virtio_consoles', 'vport1p0'),
                            ('free_ports', 3)):
            with self.subTest(name):
                self.assertNotEqual(machines.MACHINES[0].expected,
                                    machines.seen({**REPORT, name: value}))


class PlatformTest(unittest.TestCase):

    def test_whole_platform_is_accepted(self):
        self.assertTrue(machines.platform(REPORT)[1])
        self.assertTrue(machines.platform({**REPORT, 'level': 'SVC'})[1])

    def test_each_lack_is_found(self):
        for name, value in (('efi', '2.50'), ('efi', ''),
                            ('clocks', 'rtc-pl031'), ('level', 'EL2'),
                            ('psci', '0.1'), ('psci', ''), ('conduit', ''),
                            ('timer', 'phys')):
            with self.subTest(name):
                self.assertFalse(machines.platform({**REPORT,
                                                    name: value})[1])
