# SPDX-License-Identifier: Apache-2.0
import ipaddress
import unittest

from tools.sandbox import config


class HostsTest(unittest.TestCase):

    def test_each_has_an_address_of_its_own_on_the_network(self):
        network = ipaddress.ip_interface(f'{config.ADDRESS}/24').network
        addresses = [ipaddress.ip_address(host.address)
                     for host in config.HOSTS]
        self.assertEqual(len(addresses), len(set(addresses)))
        for address in addresses:
            with self.subTest(address):
                self.assertIn(address, network)
                self.assertNotEqual(config.ADDRESS, str(address))

    def test_network_is_nobody_elses(self):
        self.assertIn(ipaddress.ip_address(config.ADDRESS),
                      ipaddress.ip_network('198.18.0.0/15'))

    def test_servers_can_move_within_the_zone_of_this_driver(self):
        ours = [host.name for host in config.HOSTS
                if host.zone == config.ARMVM.zone]
        self.assertEqual([config.ARMVM.name, config.ARMVM_2.name], ours)
        self.assertNotEqual(config.ARMVM.zone, config.STOCK.zone)
