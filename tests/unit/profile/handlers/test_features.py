# SPDX-License-Identifier: Apache-2.0
"""Interrupt controller and hardware description, both domain features."""
import unittest

from lxml import etree

from nova_armvm.profile.handlers import gic_version
from nova_armvm.profile.handlers import hw_description
from nova_armvm.profile import machine
from tests.unit.profile import settings


def apply(handler, xml=settings.DOMAIN, **hardware) -> etree._Element:
    """Return a domain's features."""
    domain = etree.fromstring(xml)
    handler.apply(domain, machine.Hardware(**hardware), settings.offer())
    return domain.find('features')


class GicTest(unittest.TestCase):

    def test_version_is_a_feature(self):
        for version in ('2', '3'):
            features = apply(gic_version.HANDLER, gic_version=version)
            self.assertEqual([version], [
                gic.get('version') for gic in features.findall('gic')])

    def test_other_features_stay(self):
        features = apply(gic_version.HANDLER, gic_version='3')
        self.assertIsNotNone(features.find('acpi'))

    def test_domain_without_features_gets_them(self):
        self.assertEqual('3', apply(
            gic_version.HANDLER, '<domain/>',
            gic_version='3').find('gic').get('version'))


class HardwareDescriptionTest(unittest.TestCase):

    def test_device_tree_is_the_absence_of_acpi(self):
        features = apply(hw_description.HANDLER, hw_description='fdt')
        self.assertIsNone(features.find('acpi'))
        self.assertIsNotNone(features.find('apic'))

    def test_acpi_is_there_once(self):
        for xml in (settings.DOMAIN, '<domain/>'):
            self.assertEqual(1, len(apply(
                hw_description.HANDLER, xml,
                hw_description='acpi').findall('acpi')))
