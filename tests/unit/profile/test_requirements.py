# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm.profile import machine
from nova_armvm.profile import properties
from nova_armvm.profile import registry
from nova_armvm.profile import requirements

WHOLE = machine.Offer(('2', '3'), uefi=True, virt_type='kvm')
BARE = machine.Offer((), uefi=False, virt_type='kvm')
IDS = [*(f'IMG-{number}' for number in range(1, 10)),
       *(f'FW-{number}' for number in range(1, 6)), 'HW-1', 'HW-2',
       *(f'PL-{number}' for number in range(1, 7))]


def outcomes(version='2.0', **offers):
    return {row.requirement.id: row.answer.outcome
            for row in requirements.rows(offers, version)}


class RowsTest(unittest.TestCase):

    def test_every_requirement_of_version_2_is_answered(self):
        self.assertEqual(IDS, list(outcomes(aarch64=WHOLE)))

    def test_version_1_has_fewer(self):
        self.assertEqual({'FW-4', 'FW-5', 'HW-2'},
                         set(IDS) - set(outcomes('1.0', aarch64=WHOLE)))

    def test_capable_host_meets_all_but_the_second_description(self):
        found = outcomes(aarch64=WHOLE, armv7l=WHOLE)
        self.assertEqual(
            {'HW-1': requirements.Outcome.NOT_BY_FIRMWARE},
            {name: outcome for name, outcome in found.items()
             if outcome not in (requirements.Outcome.MET,
                                requirements.Outcome.IMAGE)})

    def test_device_tree_and_acpi_are_never_both_claimed(self):
        for version in ('1.0', '2.0'):
            found = outcomes(version, aarch64=WHOLE)
            met = [found.get(name) for name in ('HW-1', 'HW-2')].count(
                requirements.Outcome.MET)
            self.assertEqual(1, met, version)

    def test_host_without_firmware_violates_the_specification(self):
        violated = {row.requirement.id for row in
                    requirements.rows({'aarch64': BARE}, '2.0')
                    if row.violated}
        self.assertTrue({'FW-1', 'FW-2', 'HW-2', 'PL-2'} <= violated)

    def test_recommendation_is_not_violated(self):
        rows = {row.requirement.id: row for row in
                requirements.rows({'aarch64': WHOLE}, '2.0')}
        self.assertIs(requirements.Outcome.NOT_MET,
                      rows['PL-5'].answer.outcome)
        self.assertFalse(rows['PL-5'].violated)

    def test_aarch32_needs_firmware_of_its_own(self):
        answer = next(row.answer for row in requirements.rows(
            {'aarch64': WHOLE, 'armv7l': BARE}, '2.0')
            if row.requirement.id == 'PL-5')
        self.assertIn('install', answer.by)

    def test_properties_that_are_named_exist(self):
        known = {wanted.image_name for wanted in registry.PROPERTIES}
        for row in requirements.rows({'aarch64': WHOLE, 'armv7l': WHOLE},
                                     '2.0'):
            for word in row.answer.by.replace('=', ' ').strip('()').split():
                word = word.strip('(),')
                if word.startswith(properties.IMAGE_PREFIX):
                    self.assertIn(word, known)
