# SPDX-License-Identifier: Apache-2.0
"""Variables that an image brings along."""
import hashlib

import hypothesis
from hypothesis import strategies
import testtools

from nova_armvm import exception
from nova_armvm.store import template
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images

ID = '1b7e6f1c-0a52-4d4e-9a8e-6a0c6b6f2f11'
FLASH = 2 * 1024 * 1024


def variable(name, content=b'content'):
    return varstore.Variable(
        varstore.VariableKey(images.VENDOR, name), 7, content)


def arrived(*pieces):
    arriving = template.Arriving(ID)
    for piece in pieces:
        arriving.write(piece)
    return arriving.template()


class CheckImageTest(testtools.TestCase):

    def refused(self, status='active', disk_format='raw', size=1):
        error = self.assertRaises(
            exception.TemplateUnusable, template.check_image, ID, status,
            disk_format, size)
        self.assertIn(ID, str(error))
        return str(error)

    def test_good_image_passes(self):
        template.check_image(ID, 'active', 'raw', template.MAX_BYTES)

    def test_reason_is_told(self):
        self.assertIn('it is queued', self.refused(status='queued'))
        self.assertIn('format is None', self.refused(disk_format=None))
        self.assertIn('larger than 64 MiB',
                      self.refused(size=template.MAX_BYTES + 1))


class ArrivingTest(testtools.TestCase):

    def test_every_format_is_understood_in_whatever_pieces_it_comes(self):
        wanted = [variable('One'), variable('Two', b'\0' * 9)]
        for content in (edit.store_of(wanted, FLASH),
                        formats.to_json(wanted).encode(),
                        formats.to_aws(wanted).encode()):
            pieces = [content[start:start + 4093]
                      for start in range(0, len(content), 4093)]
            found = arrived(*pieces)
            self.assertEqual(set(wanted), set(found.variables))
            self.assertEqual(hashlib.sha256(content).hexdigest(),
                             found.checksum)

    def test_whole_flash_of_the_largest_size_is_taken(self):
        content = edit.store_of([variable('One')], template.MAX_BYTES)
        self.assertEqual((variable('One'),), arrived(content).variables)

    def test_byte_too_many_ends_it(self):
        arriving = template.Arriving(ID)
        arriving.write(bytes(template.MAX_BYTES))
        error = self.assertRaises(exception.TemplateUnusable, arriving.write,
                                  b'x')
        self.assertIn('larger than 64 MiB', str(error))

    def test_no_more_is_kept_than_can_be_understood(self):
        arriving = template.Arriving(ID)
        for _piece in range(60):
            arriving.write(bytes(2 ** 20))
        self.assertLess(len(arriving._kept), 5 * 2 ** 20)

    def refused(self, *pieces):
        return str(self.assertRaises(exception.TemplateUnusable, arrived,
                                     *pieces))

    def test_what_is_no_store_is_refused(self):
        self.assertIn('no variable store', self.refused(b'\x7fELF' * 9999))
        self.assertIn('no variable store', self.refused(b'{"version": 3}'))
        self.assertIn('too long', self.refused(
            b'{' + b' ' * formats.MAX_TEXT))

    def test_what_holds_nothing_is_refused(self):
        for content in (b'', bytes(FLASH), edit.formatted(FLASH),
                        formats.to_json([]).encode()):
            self.assertIn('holds no UEFI variables', self.refused(content))

    def test_ec2s_format_where_it_cannot_be_read(self):
        content = formats.to_aws([variable('One')]).encode()
        self.patch(formats, 'aws_v0', None)
        self.assertIn('EC2\'s format', self.refused(content))

    def test_forgotten_content_is_not_used(self):
        arriving = template.Arriving(ID)
        arriving.write(formats.to_json([variable('One')]).encode())
        arriving.truncate(0)
        self.assertRaises(exception.TemplateUnusable, arriving.template)

    @hypothesis.given(strategies.binary(max_size=300),
                      strategies.sampled_from((b'', b'{', b'QU1aTlVFRkkA')))
    def test_hostile_content_is_refused_and_nothing_else(self, content,
                                                         beginning):
        self.assertRaises(exception.TemplateUnusable, arrived,
                          beginning + content)


class AppliedTest(testtools.TestCase):

    @staticmethod
    def firmware(beginning=b'', size=varstore.READ_SIZE):
        """Return the flash of a firmware's template."""
        return beginning.ljust(size, b'\0')

    @staticmethod
    def applied(firmware, *variables):
        flash = template.applied(
            template.StoreTemplate(ID, 'checksum', variables), firmware)
        return {key.name: each.content for key, each
                in varstore.parse(flash).variables.items()}

    def test_empty_store_of_the_firmware_is_formatted(self):
        self.assertEqual({'One': b'content'},
                         self.applied(self.firmware(), variable('One')))

    def test_variables_of_the_firmware_are_replaced_by_the_images(self):
        firmware = self.firmware(edit.store_of(
            [variable('One', b'old'), variable('Gone')], varstore.READ_SIZE))
        self.assertEqual(
            {'One': b'new', 'Two': b'content'},
            self.applied(firmware, variable('One', b'new'), variable('Two')))

    def refused(self, firmware, *variables):
        return str(self.assertRaises(
            exception.TemplateUnusable, self.applied, firmware, *variables))

    def test_more_than_fits_is_refused(self):
        self.assertIn('no room', self.refused(self.firmware(), *(
            variable(f'Key{number}', bytes(60000))
            for number in range(5))))

    def test_what_firmware_would_not_take_is_refused(self):
        self.assertIn('non-volatile', self.refused(
            self.firmware(), varstore.Variable(
                varstore.VariableKey(images.VENDOR, 'One'), 6, b'x')))

    def test_flash_without_room_for_a_store_is_refused(self):
        self.assertIn('too small', self.refused(
            self.firmware(size=512 * 1024), variable('One')))
