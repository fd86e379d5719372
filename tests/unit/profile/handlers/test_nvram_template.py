# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm import exception
from nova_armvm.profile import registry
from tests.unit.profile import settings

ID = '1b7e6f1c-0a52-4d4e-9a8e-6a0c6b6f2f11'


def resolve(nvram=None, **setting):
    image = {'hw_armvm_nvram_template': ID}
    if nvram:
        image['hw_armvm_nvram'] = nvram
    return registry.resolve(image, {}, settings.setting(**setting))


class NvramTemplateTest(unittest.TestCase):

    def test_variables_that_an_image_brings_are_to_stay(self):
        for default in ('persistent', 'volatile'):
            hardware = resolve(nvram_default=default)
            self.assertEqual(('persistent', ID),
                             (hardware.nvram, hardware.nvram_template))

    def test_host_must_have_this_driver(self):
        self.assertEqual(('CUSTOM_ARMVM',), registry.traits(resolve()))

    def test_there_must_be_a_store_for_them(self):
        for nvram, setting in (('volatile', {}), (None, {'stateless': True}),
                               (None, {'uefi': False})):
            with self.subTest(setting):
                with self.assertRaises(exception.PropertyUnmet) as caught:
                    resolve(nvram, **setting)
                self.assertIn('volatile', str(caught.exception))

    def test_flavor_cannot_name_one(self):
        with self.assertRaises(exception.PropertyUnknown):
            registry.resolve({}, {'armvm:nvram_template': ID},
                             settings.setting())
        with self.assertRaises(exception.PropertyUnknown):
            registry.check_flavor(resolve(), {'armvm:nvram_template': ID})

    def test_every_flavor_goes_with_it(self):
        registry.check_flavor(resolve(), {'armvm:nvram': 'persistent'})
