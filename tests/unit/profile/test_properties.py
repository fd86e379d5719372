# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm import exception
from nova_armvm.profile import properties

NVRAM = properties.Property('nvram', ('persistent', 'volatile'))
KEYS = properties.Property('keys', pattern='[a-f]+', words='letters a to f',
                           of_images_only=True)
PORTS = properties.Property('ports', tuple(map(str, range(29))), counts=True)


class AskedTest(unittest.TestCase):

    def asked(self, image=None, flavor=None, wanted=NVRAM):
        return properties.asked(wanted, image or {}, flavor or {})

    def test_nobody_asks(self):
        self.assertIsNone(self.asked())

    def test_image_asks(self):
        self.assertEqual('volatile',
                         self.asked({'hw_armvm_nvram': 'volatile'}))

    def test_flavor_asks(self):
        self.assertEqual('volatile',
                         self.asked(flavor={'armvm:nvram': 'volatile'}))

    def test_image_and_flavor_that_agree_are_accepted(self):
        self.assertEqual('volatile',
                         self.asked({'hw_armvm_nvram': 'volatile'},
                                    {'armvm:nvram': 'volatile'}))

    def test_image_and_flavor_that_disagree_are_refused_by_name(self):
        with self.assertRaises(exception.PropertyConflict) as caught:
            self.asked({'hw_armvm_nvram': 'volatile'},
                       {'armvm:nvram': 'persistent'})
        self.assertIn('hw_armvm_nvram=volatile', str(caught.exception))
        self.assertIn('armvm:nvram=persistent', str(caught.exception))

    def test_unknown_value_is_refused_with_the_allowed_ones(self):
        with self.assertRaises(exception.PropertyInvalid) as caught:
            self.asked({'hw_armvm_nvram': 'Persistent'})
        self.assertIn('"Persistent"', str(caught.exception))
        self.assertIn('persistent, volatile', str(caught.exception))

    def test_numbers_are_refused_with_their_bounds(self):
        for value in ('29', '-1', '01', '4.0', ''):
            with self.subTest(value):
                with self.assertRaises(exception.PropertyInvalid) as caught:
                    self.asked({'hw_armvm_ports': value}, wanted=PORTS)
                self.assertIn('0 to 28', str(caught.exception))

    def test_value_that_does_not_fit_the_pattern_is_refused_in_words(self):
        self.assertEqual('abc', self.asked({'hw_armvm_keys': 'abc'},
                                           wanted=KEYS))
        for value in ('abcx', 'xabc', 'abc\n', ''):
            with self.subTest(value):
                with self.assertRaises(exception.PropertyInvalid) as caught:
                    self.asked({'hw_armvm_keys': value}, wanted=KEYS)
                self.assertIn('letters a to f', str(caught.exception))


class CheckNamesTest(unittest.TestCase):

    def test_flavor_has_no_word_for_what_is_of_images_only(self):
        properties.check_names([KEYS], {'hw_armvm_keys': 'abc'}, {})
        with self.assertRaises(exception.PropertyUnknown) as caught:
            properties.check_names([KEYS, NVRAM], {}, {'armvm:keys': 'abc'})
        self.assertTrue(
            str(caught.exception).endswith('known are: armvm:nvram.'))

    def test_known_and_foreign_names_pass(self):
        properties.check_names(
            [NVRAM],
            {'hw_armvm_nvram': 'volatile', 'hw_firmware_type': 'uefi'},
            {'armvm:nvram': 'volatile', 'hw:cpu_policy': 'shared'})

    def test_unknown_image_property_is_refused(self):
        with self.assertRaises(exception.PropertyUnknown) as caught:
            properties.check_names([NVRAM], {'hw_armvm_nvrm': 'volatile'}, {})
        self.assertIn('hw_armvm_nvrm', str(caught.exception))

    def test_unknown_extra_spec_is_refused(self):
        with self.assertRaises(exception.PropertyUnknown) as caught:
            properties.check_names([NVRAM], {}, {'armvm:nvrm': 'volatile'})
        self.assertIn('armvm:nvrm', str(caught.exception))
