# SPDX-License-Identifier: Apache-2.0
"""What is made from the registry of properties is what it would be now."""
import json
import unittest

from nova_armvm.profile import registry
from nova_armvm.virt import extra_specs
from tools import generate

_STALE = 'stale: run "python -m tools.generate" and commit the result'


class GeneratedTest(unittest.TestCase):

    def test_metadata_definitions(self):
        self.assertEqual(generate.metadefs(), generate.METADEFS.read_text(),
                         _STALE)

    def test_table_of_the_documentation(self):
        self.assertEqual(generate.reference(),
                         generate.REFERENCE.read_text(), _STALE)


class MetadefsTest(unittest.TestCase):

    def setUp(self):
        super().setUp()
        self.namespace = json.loads(generate.metadefs())

    def test_images_and_flavors_get_the_names_that_the_driver_reads(self):
        prefixes = {each['name']: each['prefix'] for each
                    in self.namespace['resource_type_associations']}
        names = set(self.namespace['properties'])
        self.assertEqual(
            {each.image_name for each in registry.PROPERTIES},
            {prefixes['OS::Glance::Image'] + name for name in names})
        self.assertEqual(
            {each.flavor_name for each in registry.PROPERTIES},
            {prefixes['OS::Nova::Flavor'] + name for name in names})

    def test_values_are_those_that_the_driver_allows(self):
        for wanted in registry.PROPERTIES:
            self.assertEqual(
                list(wanted.allowed),
                self.namespace['properties'][wanted.name]['enum'])


class ExtraSpecsTest(unittest.TestCase):

    def test_every_extra_spec_has_a_validator_with_its_values(self):
        validators = {each.name: each for each in extra_specs.register()}
        self.assertEqual({each.flavor_name for each in registry.PROPERTIES},
                         set(validators))
        for wanted in registry.PROPERTIES:
            for value in wanted.allowed:
                validators[wanted.flavor_name].validate(wanted.flavor_name,
                                                        value)
