# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm_tempest_plugin import conformance
from tests.unit.tempest_plugin import reports


class UnmetTest(unittest.TestCase):

    def test_a_machine_of_the_specification_meets_everything(self):
        self.assertEqual([], conformance.unmet(reports.HARDWARE))

    def test_a_machine_in_aarch32_starts_in_svc(self):
        self.assertEqual([], conformance.unmet(
            {**reports.HARDWARE, 'level': 'SVC'}))

    def test_what_is_not_met_is_named_with_what_was_seen(self):
        for change, words in (({'efi': '2.5'}, 'FW-1, UEFI 2.6 or later: 2.5'),
                              ({'efi': ''}, 'FW-1, UEFI 2.6 or later: '),
                              ({'clocks': 'pl031'},
                               'FW-4, the clock by UEFI: pl031'),
                              ({'level': 'EL2'},
                               'FW-5, the start in EL1: EL2'),
                              ({'psci': '0.1'},
                               'FW-5, PSCI 0.2 or later: 0.1'),
                              ({'conduit': ''}, 'FW-5, a conduit of PSCI: '),
                              ({'timer': 'phys'},
                               'PL-3, the virtual timer: phys')):
            with self.subTest(words):
                self.assertEqual([words], conformance.unmet(
                    {**reports.HARDWARE, **change}))


class DevicesTest(unittest.TestCase):

    def test_a_pl011_is_known_by_either_driver(self):
        for uart, is_one in (('uart-pl011', True), ('sbsa-uart', True),
                             ('serial8250', False), ('', False)):
            with self.subTest(uart):
                self.assertIs(is_one, conformance.has_pl011({'uart': uart}))

    def test_disks_and_interfaces_are_those_of_virtio(self):
        self.assertEqual(['vda'], conformance.disks(reports.HARDWARE))
        self.assertEqual(['eth0'], conformance.interfaces(reports.HARDWARE))
        self.assertEqual([], conformance.interfaces({'interfaces': ''}))
