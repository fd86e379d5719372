# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree

from nova_armvm.profile.handlers import hotplug_ports
from nova_armvm.profile import machine
from tests.unit.profile import settings


def ports(domain: etree._Element) -> list[etree._Element]:
    """Return the root ports of a domain."""
    return domain.findall("devices/controller[@model='pcie-root-port']")


class HotplugPortsTest(unittest.TestCase):

    def test_ports_of_nova_are_taken_out_so_that_none_is_counted_twice(self):
        domain = etree.fromstring(settings.DOMAIN)
        hotplug_ports.HANDLER.apply(
            domain, machine.Hardware(hotplug_ports='1'), settings.offer())
        self.assertEqual([], ports(domain))
        self.assertIsNotNone(domain.find(
            "devices/controller[@model='pcie-root']"))

    def test_ports_with_a_device_are_in_use(self):
        self.assertEqual(2, hotplug_ports.ports_in_use(
            etree.fromstring(settings.COMPLETED)))

    def test_free_ports_are_added_to_those_in_use(self):
        domain = etree.fromstring('<domain><devices/></domain>')
        hotplug_ports.add_free_ports(domain, in_use=5, free=28)
        self.assertEqual(33, len(ports(domain)))

    def test_no_free_port_at_all_can_be_asked_for(self):
        domain = etree.fromstring('<domain><devices/></domain>')
        hotplug_ports.add_free_ports(domain, in_use=2, free=0)
        self.assertEqual(2, len(ports(domain)))

    def test_ports_are_not_taken_for_the_root_itself(self):
        for xml in ('<domain><devices/></domain>', settings.DOMAIN):
            domain = etree.fromstring(xml)
            hotplug_ports.add_free_ports(domain, in_use=1, free=1)
            self.assertEqual(1, len(domain.findall(
                "devices/controller[@model='pcie-root']")))
