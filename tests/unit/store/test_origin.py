# SPDX-License-Identifier: Apache-2.0
"""What a new store starts from."""
import os
import shutil
import subprocess

import fixtures
import nova.privsep
import testtools

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.profile import guest_xml
from nova_armvm.store import origin
from nova_armvm.store import template
from nova_armvm.uefi import edit
from nova_armvm.uefi import region
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images

FLASH = 2 * 1024 * 1024


def variable(name: str, content: bytes = b'content') -> varstore.Variable:
    return varstore.Variable(
        varstore.VariableKey(flash_images.VENDOR, name), 7, content)


@testtools.skipUnless(shutil.which('qemu-img'), 'needs qemu-img')
class OriginTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        # What needs another user's rights is done in this process.
        context = nova.privsep.sys_admin_pctxt
        self.addCleanup(setattr, context, 'client_mode', context.client_mode)
        context.set_client_mode(False)
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.reader = origin.TemplateReader(
            os.path.join(self.directory, 'scratch'))

    def file(self, name: str, *variables: varstore.Variable, size=FLASH,
             image_format='raw') -> str:
        """Write a flash with variables, blank without; return its path."""
        path = os.path.join(self.directory, name)
        with open(path, 'wb') as stream:
            stream.write(edit.store_of(variables, size) if variables else
                         bytes(size))
        if image_format != 'raw':
            os.rename(path, path + '.raw')
            subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O',
                            image_format, path + '.raw', path], check=True)
        return path

    def begin(self, path: str, image_format='raw', **more) -> origin.Content:
        described = firmware.Descriptor(
            'fw.json', frozenset(['aarch64']), '/code', path, image_format)
        return origin.content(
            origin.Origin(described, False, **more), self.reader)

    def names(self, content: origin.Content) -> set[str]:
        return {key.name for key in
                region.variables_of(content.canonical).variables}

    def test_blank_template_is_left_to_the_firmware(self):
        content = self.begin(self.file('blank'))
        self.assertEqual((FLASH, b''), (content.flash_size,
                                        content.canonical))

    def test_variables_of_the_template_are_there(self):
        content = self.begin(self.file('keys', variable('PK')))
        self.assertEqual({'PK'}, self.names(content))

    def test_template_in_qcow2_is_read(self):
        path = self.file('keys', variable('PK'), image_format='qcow2')
        content = self.begin(path, 'qcow2')
        self.assertEqual((FLASH, {'PK'}), (content.flash_size,
                                           self.names(content)))

    def test_variables_of_an_image_replace_those_of_the_template(self):
        content = self.begin(
            self.file('keys', variable('PK')),
            image=template.StoreTemplate('id', 'sum', (variable('db'),)))
        self.assertEqual({'db'}, self.names(content))

    def test_file_of_the_stock_driver_is_taken_over_whole(self):
        for image_format in ('raw', 'qcow2'):
            path = self.file(f'old-{image_format}', variable('Mine'),
                             image_format=image_format)
            content = self.begin(
                self.file('template', variable('PK')),
                file=guest_xml.FlashFile(path, image_format))
            self.assertEqual({'Mine'}, self.names(content))

    def test_file_for_another_flash_is_refused(self):
        path = self.file('small', variable('Mine'), size=FLASH // 2)
        self.assertRaises(
            exception.FirmwareMismatch, self.begin, self.file('template'),
            file=guest_xml.FlashFile(path, 'raw'))

    def test_rewrite_that_was_cut_short_in_the_file_is_finished(self):
        flash = bytearray(flash_images.real('interrupted'))
        path = os.path.join(self.directory, 'interrupted')
        with open(path, 'wb') as stream:
            stream.write(bytes(flash).ljust(FLASH, b'\0'))
        content = self.begin(self.file('template'),
                             file=guest_xml.FlashFile(path, 'raw'))
        self.assertEqual(
            {key.name for key in varstore.parse(bytes(flash)).variables},
            self.names(content))

    def test_template_that_changes_is_read_again(self):
        path = self.file('template', variable('PK'))
        self.begin(path)
        os.unlink(path)
        self.file('template', variable('PK'), variable('KEK'))
        self.assertEqual({'PK', 'KEK'}, self.names(self.begin(path)))

    def test_impossible_size_is_refused(self):
        path = os.path.join(self.directory, 'empty')
        with open(path, 'wb'):
            pass
        self.assertRaises(exception.StoreImageInvalid, self.begin, path)
