# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree

from nova_armvm.profile.handlers import execution_state
from nova_armvm.profile import machine
from tests.unit.profile import settings


def apply(state: str, virt_type: str, xml=settings.DOMAIN) -> etree._Element:
    """Return a domain that is to start in an execution state."""
    domain = etree.fromstring(xml)
    execution_state.HANDLER.apply(
        domain, machine.Hardware(execution_state=state),
        settings.offer(virt_type=virt_type))
    return domain


class ApplyTest(unittest.TestCase):

    def test_emulated_machine_is_as_nova_describes_it(self):
        for state in ('aarch64', 'aarch32'):
            self.assertEqual(etree.tostring(etree.fromstring(settings.DOMAIN)),
                             etree.tostring(apply(state, 'qemu')))

    def test_aarch64_of_an_arm_host_is_as_nova_describes_it(self):
        self.assertEqual('cortex-a57',
                         apply('aarch64', 'kvm').findtext('cpu/model'))

    def test_aarch32_of_an_arm_host_is_not_emulated(self):
        domain = apply('aarch32', 'kvm')
        self.assertEqual('kvm', domain.get('type'))
        self.assertEqual({'mode': 'host-passthrough'},
                         dict(domain.find('cpu').attrib))
        self.assertIsNone(domain.find('cpu/model'))

    def test_topology_of_the_processor_stays(self):
        self.assertIsNotNone(apply('aarch32', 'kvm').find('cpu/topology'))

    def test_machine_without_a_processor_of_nova_gets_the_hosts(self):
        domain = apply('aarch32', 'kvm', '<domain type="qemu"/>')
        self.assertEqual('host-passthrough', domain.find('cpu').get('mode'))
