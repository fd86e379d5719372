# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm import exception
from nova_armvm.osc import tagging

PLAIN = {'hw_architecture': 'aarch64', 'hw_machine_type': 'virt',
         'hw_firmware_type': 'uefi', 'hw_armvm_spec': '2.0',
         'trait:CUSTOM_ARMVM': 'required'}


class WantedTest(unittest.TestCase):

    def test_specification_alone(self):
        self.assertEqual(PLAIN, tagging.wanted({}, 'aarch64',
                                               {'spec': '2.0'}))

    def test_properties_bring_the_traits_that_they_imply(self):
        self.assertEqual(
            {**PLAIN, 'hw_armvm_gic_version': '3',
             'trait:CUSTOM_ARMVM_GIC_V3': 'required'},
            tagging.wanted({}, 'aarch64', {'spec': '2.0',
                                           'gic_version': '3'}))

    def test_aarch32(self):
        found = tagging.wanted({}, 'armv7l', {'spec': '2.0'})
        self.assertEqual('armv7l', found['hw_architecture'])
        self.assertEqual('aarch32', found['hw_armvm_execution_state'])
        self.assertIn('trait:CUSTOM_ARMVM_AARCH32', found)

    def test_where_arm_is_emulated_the_architecture_of_hosts_stays(self):
        found = tagging.wanted({'hw_emulation_architecture': 'aarch64',
                                'hw_architecture': 'x86_64'}, 'aarch64',
                               {'spec': '2.0'})
        self.assertEqual('aarch64', found['hw_emulation_architecture'])
        self.assertNotIn('hw_architecture', found)

    def test_contradictions_are_refused(self):
        for architecture, asked in (
                ('aarch64', {'spec': '2.0', 'console': 'virtio'}),
                ('aarch64', {'spec': '2.0', 'gic_version': '4'}),
                ('aarch64', {'spec': '2.0', 'execution_state': 'aarch32'})):
            self.assertRaises(exception.ArmVMError, tagging.wanted, {},
                              architecture, asked)


class ArchitectureTest(unittest.TestCase):

    def test_what_was_found_counts(self):
        self.assertEqual('armv7l', tagging.architecture_of(
            {'hw_architecture': 'aarch64'}, ('aarch32',), None))

    def test_what_was_asked_for_counts_more(self):
        self.assertEqual('armv7l', tagging.architecture_of(
            {}, ('aarch64', 'aarch32'), 'aarch32'))

    def test_two_that_were_found_have_to_be_decided(self):
        self.assertRaises(exception.ImageUndecided, tagging.architecture_of,
                          {}, ('aarch64', 'aarch32'), None)

    def test_without_a_look_the_image_is_believed(self):
        for present, architecture in (
                ({}, 'aarch64'), ({'hw_architecture': 'armv7l'}, 'armv7l'),
                ({'hw_architecture': 'x86_64',
                  'hw_emulation_architecture': 'armv7l'}, 'armv7l')):
            self.assertEqual(architecture, tagging.architecture_of(
                present, (), None))


class ChangesTest(unittest.TestCase):

    def test_only_what_differs_is_changed(self):
        self.assertEqual(
            (tagging.Change('b', None, '2'),),
            tagging.changes({'a': '1'}, {'a': '1', 'b': '2'}, False))

    def test_other_values_are_not_replaced(self):
        with self.assertRaises(exception.TagConflict) as caught:
            tagging.changes({'a': '1'}, {'a': '2'}, False)
        for word in ('a=1', '2', '--force'):
            self.assertIn(word, str(caught.exception))

    def test_other_values_are_replaced_by_force(self):
        self.assertEqual((tagging.Change('a', '1', '2'),),
                         tagging.changes({'a': '1'}, {'a': '2'}, True))
