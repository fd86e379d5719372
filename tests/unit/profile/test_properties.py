# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm import exception
from nova_armvm.profile import properties


class ResolveTest(unittest.TestCase):

    def resolve(self, image=None, flavor=None):
        return properties.resolve(properties.NVRAM, image or {}, flavor or {},
                                  'persistent')

    def test_default_holds_when_nobody_says_anything(self):
        self.assertEqual('persistent', self.resolve())

    def test_image_overrides_the_default(self):
        self.assertEqual('volatile',
                         self.resolve({'hw_armvm_nvram': 'volatile'}))

    def test_flavor_overrides_the_default(self):
        self.assertEqual('volatile',
                         self.resolve(flavor={'armvm:nvram': 'volatile'}))

    def test_image_and_flavor_that_agree_are_accepted(self):
        self.assertEqual('volatile',
                         self.resolve({'hw_armvm_nvram': 'volatile'},
                                      {'armvm:nvram': 'volatile'}))

    def test_image_and_flavor_that_disagree_are_refused_by_name(self):
        with self.assertRaises(exception.PropertyConflict) as caught:
            self.resolve({'hw_armvm_nvram': 'volatile'},
                         {'armvm:nvram': 'persistent'})
        self.assertIn('hw_armvm_nvram=volatile', str(caught.exception))
        self.assertIn('armvm:nvram=persistent', str(caught.exception))

    def test_unknown_value_is_refused_with_the_allowed_ones(self):
        with self.assertRaises(exception.PropertyInvalid) as caught:
            self.resolve({'hw_armvm_nvram': 'Persistent'})
        self.assertIn('"Persistent"', str(caught.exception))
        self.assertIn('persistent, volatile', str(caught.exception))


class CheckNamesTest(unittest.TestCase):

    def test_known_and_foreign_names_pass(self):
        properties.check_names(
            {'hw_armvm_nvram': 'volatile', 'hw_firmware_type': 'uefi'},
            {'armvm:nvram': 'volatile', 'hw:cpu_policy': 'shared'})

    def test_unknown_image_property_is_refused(self):
        with self.assertRaises(exception.PropertyUnknown) as caught:
            properties.check_names({'hw_armvm_nvrm': 'volatile'}, {})
        self.assertIn('hw_armvm_nvrm', str(caught.exception))

    def test_unknown_extra_spec_is_refused(self):
        with self.assertRaises(exception.PropertyUnknown) as caught:
            properties.check_names({}, {'armvm:nvrm': 'volatile'})
        self.assertIn('armvm:nvrm', str(caught.exception))
