# SPDX-License-Identifier: Apache-2.0
"""What is made from the code is what it would be now."""
import json
import re
import unittest

from nova_armvm.profile.handlers import nvram_template
from nova_armvm.profile import registry
from nova_armvm.profile import requirements
from nova_armvm.virt import extra_specs
from tools import generate

ID = '1b7e6f1c-0a52-4d4e-9a8e-6a0c6b6f2f11'
OF_FLAVORS = [each for each in registry.PROPERTIES
              if not each.of_images_only]
_STALE = 'stale: run "python -m tools.generate" and commit the result'


class GeneratedTest(unittest.TestCase):

    def test_files_are_what_would_be_made_now(self):
        for path, made in generate.MADE.items():
            self.assertEqual(made(), path.read_text(), _STALE)

    def test_table_of_the_specification(self):
        self.assertEqual(generate.specification(),
                         generate.SPECIFICATION.read_text(), _STALE)


class SpecificationTest(unittest.TestCase):

    def test_every_requirement_is_there_once(self):
        table = generate.specification()
        for wanted in requirements.REQUIREMENTS:
            self.assertEqual(1, table.count(f'   * - {wanted.id}\n'))

    def test_versions_that_differ_are_told_apart(self):
        line = next(line for line in generate.specification().splitlines()
                    if 'the default of 1.0' in line)
        self.assertIn('1.0: edk2 with', line)
        self.assertIn('2.0: *not by this firmware*', line)


class MetadefsTest(unittest.TestCase):

    def setUp(self):
        super().setUp()
        self.namespaces = [json.loads(made()) for made in (
            generate.metadefs, generate.image_metadefs)]

    def names_for(self, resource_type):
        """Return the names that a kind of resource gets."""
        return {each['prefix'] + name for namespace in self.namespaces
                for each in namespace['resource_type_associations']
                for name in namespace['properties']
                if each['name'] == resource_type}

    def test_images_and_flavors_get_the_names_that_the_driver_reads(self):
        self.assertEqual({each.image_name for each in registry.PROPERTIES},
                         self.names_for('OS::Glance::Image'))
        self.assertEqual({each.flavor_name for each in OF_FLAVORS},
                         self.names_for('OS::Nova::Flavor'))

    def test_values_are_those_that_the_driver_allows(self):
        defined = {name: definition for namespace in self.namespaces
                   for name, definition in namespace['properties'].items()}
        for wanted in registry.PROPERTIES:
            definition = defined[wanted.name]
            self.assertEqual(list(wanted.allowed),
                             definition.get('enum', []))
            self.assertEqual(bool(wanted.pattern), 'pattern' in definition)

    def test_pattern_takes_what_the_driver_takes(self):
        pattern = json.loads(generate.image_metadefs())[
            'properties']['nvram_template']['pattern']
        for value, fits in ((ID, True), (ID.upper(), False),
                            (ID + '0', False), ('keys', False)):
            self.assertEqual(fits, bool(re.search(pattern, value)))
            self.assertEqual(fits, nvram_template.PROPERTY.allows(value))


class ExtraSpecsTest(unittest.TestCase):

    def test_every_extra_spec_has_a_validator_with_its_values(self):
        validators = {each.name: each for each in extra_specs.register()}
        self.assertEqual({each.flavor_name for each in OF_FLAVORS},
                         set(validators))
        for wanted in OF_FLAVORS:
            for value in wanted.allowed:
                validators[wanted.flavor_name].validate(wanted.flavor_name,
                                                        value)
