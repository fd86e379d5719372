# SPDX-License-Identifier: Apache-2.0
import ipaddress
import unittest

from tools.sandbox import config


class HostsTest(unittest.TestCase):

    def test_each_has_a_loopback_address_of_its_own(self):
        addresses = [ipaddress.ip_address(host.address)
                     for host in config.HOSTS]
        self.assertEqual(len(addresses), len(set(addresses)))
        for address in addresses:
            with self.subTest(address):
                self.assertTrue(address.is_loopback)
                self.assertNotEqual(config.ADDRESS, str(address))

    def test_servers_can_move_within_the_zone_of_this_driver(self):
        ours = [host.name for host in config.HOSTS
                if host.zone == config.ARMVM.zone]
        self.assertEqual([config.ARMVM.name, config.ARMVM_2.name], ours)
        self.assertNotEqual(config.ARMVM.zone, config.STOCK.zone)
