# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree

from nova_armvm.profile.handlers import console
from nova_armvm.profile import machine
from tests.unit.profile import settings


def apply(devices: str, value: str) -> etree._Element:
    """Return the devices of a domain whose consoles are asked for."""
    domain = etree.fromstring(f'<domain><devices>{devices}</devices></domain>')
    console.HANDLER.apply(domain, machine.Hardware(console=value),
                          settings.offer())
    return domain.find('devices')


PTY = '<serial type="pty"><log file="/console.log"/></serial>'
TWO_OVER_TCP = ('<serial type="tcp"><source mode="bind" service="10000"/>'
                '<target port="0"/><log file="/console.log"/></serial>'
                '<serial type="tcp"><source mode="bind" service="10001"/>'
                '<target port="1"/></serial>')


class Pl011Test(unittest.TestCase):

    def test_port_of_nova_is_a_pl011_and_logged_as_before(self):
        devices = apply(PTY, 'pl011')
        self.assertEqual(['system-serial'], [
            target.get('type') for target in devices.iter('target')])
        self.assertEqual('pl011',
                         devices.find('serial/target/model').get('name'))
        self.assertEqual('/console.log',
                         devices.find('serial/log').get('file'))
        self.assertEqual([], devices.findall('console'))

    def test_every_port_that_nova_has_stays(self):
        devices = apply(TWO_OVER_TCP, 'pl011')
        self.assertEqual(['10000', '10001'], [
            source.get('service')
            for source in devices.findall('serial/source')])

    def test_there_is_a_pl011_even_if_nova_describes_none(self):
        self.assertIsNotNone(apply('', 'pl011').find('serial/target/model'))


class VirtioTest(unittest.TestCase):

    def test_port_of_nova_becomes_a_virtio_console(self):
        devices = apply(PTY, 'virtio')
        self.assertEqual([], devices.findall('serial'))
        self.assertEqual('virtio',
                         devices.find('console/target').get('type'))
        self.assertEqual('/console.log',
                         devices.find('console/log').get('file'))

    def test_ports_over_tcp_keep_their_numbers_and_sources(self):
        devices = apply(TWO_OVER_TCP, 'virtio')
        self.assertEqual([('0', '10000'), ('1', '10001')], [
            (each.find('target').get('port'),
             each.find('source').get('service'))
            for each in devices.findall('console')])

    def test_second_name_of_the_serial_port_goes(self):
        devices = apply(
            PTY + '<console type="pty"><target type="serial" port="0"/>'
            '</console>', 'virtio')
        self.assertEqual(['virtio'], [
            target.get('type')
            for target in devices.findall('console/target')])

    def test_there_is_a_console_even_if_nova_describes_none(self):
        self.assertEqual('virtio',
                         apply('', 'virtio').find('console/target').get(
                             'type'))


class BothTest(unittest.TestCase):

    def test_virtio_console_stands_beside_the_pl011(self):
        devices = apply(PTY, 'pl011+virtio')
        self.assertIsNotNone(devices.find('serial/target/model'))
        self.assertEqual(['virtio'], [
            target.get('type')
            for target in devices.findall('console/target')])

    def test_log_stays_that_of_the_pl011(self):
        devices = apply(PTY, 'pl011+virtio')
        self.assertEqual(1, len(devices.findall('serial/log')))
        self.assertEqual([], devices.findall('console/log'))
