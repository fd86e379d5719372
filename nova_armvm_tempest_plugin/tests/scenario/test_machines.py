# SPDX-License-Identifier: Apache-2.0
"""The machine that an image asks for is the one that its guest finds."""
from tempest import config
from tempest.lib import decorators

from nova_armvm_tempest_plugin import conformance
from nova_armvm_tempest_plugin import guest as guests
from nova_armvm_tempest_plugin.tests.scenario import base

CONF = config.CONF


class TestMachines(base.TaggingScenario):
    """Conformance to the ARM VM specification, as seen on the console."""

    def _machine(self, image: str) -> guests.Event:
        """Boot an image; expect what every machine has; return the rest."""
        seen = self.boot(image).console.sees(
            lambda seen: True, CONF.armvm.device_timeout, 'any machine')
        self.assertEqual([], conformance.unmet(seen))
        return seen

    @decorators.idempotent_id('9721dfbe-4d20-403d-96b5-75490e9f370a')
    def test_a_machine_of_version_2_has_acpi_and_a_pl011(self):
        seen = self._machine(self.tagged_image({'hw_armvm_spec': '2.0'}))
        self.assertEqual('aarch64', seen['machine'])
        self.assertEqual('acpi', seen['description'])
        self.assertTrue(conformance.has_pl011(seen), seen['uart'])

    @decorators.idempotent_id('a6999f36-6a8e-4b41-a017-b0f6c0c74f66')
    def test_a_machine_of_version_1_has_a_device_tree(self):
        seen = self._machine(self.tagged_image({'hw_armvm_spec': '1.0'}))
        self.assertEqual('fdt', seen['description'])

    @decorators.idempotent_id('d12e22e3-74f2-4295-b6c7-86b152dbf480')
    def test_a_machine_has_the_interrupt_controller_that_was_asked_for(self):
        for version in CONF.armvm.gic_versions:
            seen = self._machine(self.tagged_image({
                'hw_armvm_gic_version': version,
                f'trait:CUSTOM_ARMVM_GIC_V{version}': 'required'}))
            self.assertEqual(f'GICv{version}', seen['gic'])

    @decorators.idempotent_id('f927a88c-fea8-466e-969d-4cf61cbf1b6a')
    def test_a_machine_has_the_consoles_and_free_ports_that_were_asked_for(
            self):
        seen = self._machine(self.tagged_image({
            'hw_armvm_spec': '2.0', 'hw_armvm_console': 'pl011+virtio',
            'hw_armvm_hotplug_ports': '9'}))
        self.assertTrue(conformance.has_pl011(seen), seen['uart'])
        self.assertNotEqual('', seen['virtio_consoles'])
        self.assertEqual(9, seen['free_ports'])

    @decorators.idempotent_id('84e9ee82-97d2-4c58-b0de-08f08b84c8ed')
    def test_a_machine_can_start_in_aarch32(self):
        if not CONF.armvm.aarch32_image_ref:
            raise self.skipException('[armvm] aarch32_image_ref is empty')
        seen = self._machine(CONF.armvm.aarch32_image_ref)
        self.assertTrue(seen['machine'].startswith('armv'), seen['machine'])
        self.assertEqual('fdt', seen['description'])
