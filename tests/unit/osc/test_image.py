# SPDX-License-Identifier: Apache-2.0
import tempfile

import testtools

from nova_armvm.osc import image
from tests.unit.image import disks
from tests.unit.osc import commands

TAGGED = {'hw_architecture': 'aarch64', 'hw_machine_type': 'virt',
          'hw_firmware_type': 'uefi', 'hw_armvm_spec': '2.0',
          'trait:CUSTOM_ARMVM': 'required'}


class ProgressBarTest(testtools.TestCase):

    def test_bar_grows_with_what_has_come(self):
        size = 100 * disks.MIB
        self.assertEqual('[' + ' ' * 40 + '] 0 of 100 MiB',
                         image.progress_bar(0, size))
        self.assertEqual('[' + '=' * 20 + ' ' * 20 + '] 50 of 100 MiB',
                         image.progress_bar(size // 2, size))
        self.assertEqual('[' + '=' * 40 + '] 100 of 100 MiB',
                         image.progress_bar(size, size))


class CheckTest(commands.CommandTestCase):

    def test_file(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(disks.good())
            file.flush()
            status, rows = self.run_command(image.Check, file.name)
        self.assertEqual(0, status)
        self.assertEqual('pass', rows[4]['Outcome'])

    def test_image_of_glance_is_read_in_part(self):
        self.glance.add('debian', bytes(disks.good()) + bytes(64 * disks.MIB))
        status, rows = self.run_command(image.Check, 'debian')
        self.assertEqual((0, 9), (status, len(rows)))
        self.assertLess(sum(last + 1 - first
                            for first, last in self.glance.asked),
                        4 * disks.MIB)

    def test_store_without_ranges_is_read_whole(self):
        self.glance.refuses_ranges = True
        self.glance.add('debian', disks.good())
        self.assertEqual(0, self.run_command(image.Check, 'debian')[0])

    def test_image_that_does_not_comply(self):
        self.glance.add('other', bytes(disks.MIB))
        self.assertEqual(image.NOT_COMPLIANT,
                         self.run_command(image.Check, 'other')[0])

    def test_image_that_cannot_be_looked_into(self):
        self.glance.add('other', b'KDMV\1\0\0\0' + bytes(disks.MIB))
        self.assertIn('vmdk', self.refused(image.Check, 'other'))

    def test_image_without_content(self):
        self.glance.add('queued', b'')
        self.assertIn('no content', self.refused(image.Check, 'queued'))

    def test_image_that_does_not_exist(self):
        self.assertIn('"nowhere"', self.refused(image.Check, 'nowhere'))


class TagTest(commands.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.image = self.glance.add('debian', disks.good(), owner='me')

    def test_properties_are_set_in_one_request(self):
        status, rows = self.run_command(image.Tag, 'debian')
        self.assertEqual(0, status)
        self.assertEqual({'owner': 'me', **TAGGED}, self.image.properties)
        self.assertEqual(1, self.glance.patches)
        self.assertIn({'Property': 'hw_armvm_spec', 'Before': '',
                       'After': '2.0'}, rows)

    def test_second_time_changes_nothing_and_says_so(self):
        self.run_command(image.Tag, 'debian')
        status, rows = self.run_command(image.Tag, 'debian')
        self.assertEqual((0, []), (status, rows))
        self.assertEqual(1, self.glance.patches)
        self.assertIn('already', self.complaints)

    def test_nothing_is_set_in_a_dry_run(self):
        _, rows = self.run_command(image.Tag, 'debian', '--dry-run')
        self.assertEqual(len(TAGGED), len(rows))
        self.assertEqual({'owner': 'me'}, self.image.properties)

    def test_other_value_is_left_alone(self):
        self.image.properties['hw_machine_type'] = 'raspi3b'
        told = self.refused(image.Tag, 'debian')
        self.assertIn('hw_machine_type=raspi3b', told)
        self.assertEqual(0, self.glance.patches)

    def test_other_value_is_replaced_by_force(self):
        self.image.properties['hw_machine_type'] = 'raspi3b'
        self.run_command(image.Tag, 'debian', '--force')
        self.assertEqual('virt', self.image.properties['hw_machine_type'])

    def test_further_properties(self):
        self.run_command(image.Tag, 'debian', '--spec', '1.0', '--property',
                         'hw_armvm_gic_version=2')
        self.assertEqual('1.0', self.image.properties['hw_armvm_spec'])
        self.assertEqual(
            'required', self.image.properties['trait:CUSTOM_ARMVM_GIC_V2'])

    def test_properties_that_are_there_stay_with_their_traits(self):
        self.run_command(image.Tag, 'debian', '--property', 'gic_version=3')
        self.assertEqual((0, []), self.run_command(image.Tag, 'debian'))
        self.assertEqual('3', self.image.properties['hw_armvm_gic_version'])

    def test_trait_of_a_value_that_is_replaced_goes(self):
        self.run_command(image.Tag, 'debian', '--property', 'gic_version=3')
        self.assertIn('--force', self.refused(
            image.Tag, 'debian', '--property', 'gic_version=2'))
        self.run_command(image.Tag, 'debian', '--property', 'gic_version=2',
                         '--force')
        self.assertEqual(
            {'owner': 'me', **TAGGED, 'hw_armvm_gic_version': '2',
             'trait:CUSTOM_ARMVM_GIC_V2': 'required'},
            self.image.properties)

    def test_contradiction_is_refused(self):
        self.assertIn('pl011', self.refused(
            image.Tag, 'debian', '--property', 'console=virtio'))
        self.assertEqual({'owner': 'me'}, self.image.properties)

    def test_unknown_property_is_wrong_usage(self):
        self.assertRaises(SystemExit, self.run_command, image.Tag, 'debian',
                          '--property', 'gic=3')

    def test_architecture_is_that_of_the_program(self):
        arm32 = self.glance.add('armhf', disks.image(disks.file_system({
            disks.BOOT_ARM: disks.program(0x1c2, plus=False)}).build()))
        self.run_command(image.Tag, 'armhf', '--check')
        self.assertEqual('armv7l', arm32.properties['hw_architecture'])
        self.assertEqual(
            'required', arm32.properties['trait:CUSTOM_ARMVM_AARCH32'])

    def test_what_does_not_comply_is_not_tagged(self):
        other = self.glance.add('other', bytes(disks.MIB))
        status, rows = self.run_command(image.Tag, 'other', '--check')
        self.assertEqual(image.NOT_COMPLIANT, status)
        self.assertEqual('fail', rows[0]['Outcome'])
        self.assertEqual({}, other.properties)

    def test_refusal_of_glance_is_told(self):
        self.glance.protected = True
        self.assertIn('Glance refuses', self.refused(image.Tag, 'debian'))
