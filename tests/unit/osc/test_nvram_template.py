# SPDX-License-Identifier: Apache-2.0
import os
import tempfile

from osc_lib import exceptions

from nova_armvm.osc import nvram_template
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import secure_boot
from nova_armvm.uefi import varstore
from tests.unit import certificates
from tests.unit.osc import commands
from tests.unit.uefi import flash_images as images

GUID = '6a3f9d2c-51f0-4f0e-8d57-0f6c3d8b7a10'


class CreateTest(commands.CommandTestCase):

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.keys = ['--pk', self.file('pk', certificates.pem('pk')),
                     '--kek', self.file('kek', certificates.der('kek')),
                     '--db', self.file('db', certificates.pem('db')),
                     '--owner-guid', GUID]

    def file(self, name, content):
        path = os.path.join(self.directory, name)
        with open(path, 'wb') as stream:
            stream.write(content)
        return path

    def create(self, *words):
        status, facts = self.run_command(nvram_template.Create, *words)
        self.assertEqual(0, status)
        return facts

    def found(self, content):
        return {each.key.name: each for each in formats.read(content)}

    def test_image_has_the_keys(self):
        facts = self.create('keys', *self.keys)
        image = self.glance.images[facts['id']]
        self.assertEqual('keys', image.name)
        self.assertEqual({'disk_format': 'raw', 'container_format': 'bare',
                          'visibility': 'private'}, image.properties)
        found = self.found(image.content)
        self.assertEqual({'PK', 'KEK', 'db'}, set(found))
        self.assertTrue(
            found['KEK'].content.endswith(certificates.der('kek')))
        self.assertEqual(('KEK, PK, db', GUID, 'raw', varstore.READ_SIZE),
                         (facts['variables'], facts['owner_guid'],
                          facts['format'], facts['size']))

    def test_file_is_written_instead_and_never_replaced(self):
        path = os.path.join(self.directory, 'made')
        self.create('--file', path, *self.keys)
        self.assertEqual({}, self.glance.images)
        self.assertEqual(0o600, os.stat(path).st_mode & 0o777)
        with open(path, 'rb') as stream:
            self.assertEqual({'PK', 'KEK', 'db'},
                             set(self.found(stream.read())))
        self.assertIn('File exists', self.refused(
            nvram_template.Create, '--file', path, *self.keys))

    def test_every_form_holds_the_same(self):
        contents = []
        for form in formats.FORMATS:
            facts = self.create('keys', '--store-format', form, *self.keys)
            contents.append({
                name: each.content for name, each in self.found(
                    self.glance.images[facts['id']].content).items()})
        self.assertEqual([contents[0]] * 3, contents)

    def test_variables_of_a_file_are_taken_as_they_are(self):
        wanted = varstore.parse(images.real('offered')).variables
        for name, content in (
                ('flash', images.real('offered')),
                ('json', formats.to_json(wanted.values()).encode())):
            facts = self.create('keys', '--from', self.file(name, content))
            self.assertEqual(
                set(wanted.values()),
                set(formats.read(self.glance.images[facts['id']].content)))

    def test_owner_is_made_up_where_none_is_given(self):
        first = self.create('keys', *self.keys[:-2])['owner_guid']
        self.assertNotEqual(first,
                            self.create('keys', *self.keys[:-2])['owner_guid'])

    def refuses(self, *words):
        told = self.refused(nvram_template.Create, *words)
        self.assertEqual({}, self.glance.images)
        return told

    def test_platform_key_and_signers_are_needed(self):
        for keys in ([], self.keys[:2], self.keys[4:6]):
            self.assertIn('--pk and --db', self.refuses('keys', *keys))

    def test_platform_key_is_just_one(self):
        two = self.file('two', certificates.pem('pk') +
                        certificates.pem('other'))
        self.assertIn('holds 2 certificates', self.refuses(
            'keys', *self.keys, '--pk', two))

    def test_keys_do_not_go_with_variables(self):
        self.assertIn('as they are', self.refuses(
            'keys', '--from', self.file('x', b''), *self.keys))

    def test_image_or_file_is_said(self):
        for words in ((), ('keys', '--file', 'made')):
            self.assertIn('either', self.refuses(*words, *self.keys))

    def test_file_that_cannot_be_used_is_named(self):
        self.assertIn('No such file', self.refuses(
            'keys', *self.keys, '--dbx', '/nowhere'))
        self.assertIn('no X.509 certificate', self.refuses(
            'keys', *self.keys, '--dbx', self.file('text', b'text')))
        self.assertIn('larger than', self.refuses(
            'keys', *self.keys, '--dbx',
            self.file('large', bytes(secure_boot.MAX_FILE + 1))))
        self.assertIn('no variables', self.refuses(
            'keys', '--from', self.file('empty', edit.formatted(
                varstore.READ_SIZE))))

    def test_what_would_not_fit_is_refused(self):
        many = [varstore.Variable(varstore.VariableKey(
            images.VENDOR, f'Key{number}'), 7, bytes(60000))
            for number in range(5)]
        self.assertIn('no room', self.refuses(
            'keys', '--from',
            self.file('json', formats.to_json(many).encode())))

    def test_image_without_content_is_taken_back(self):
        self.glance.full = True
        self.assertIn('Glance refuses', self.refuses('keys', *self.keys))

    def test_nothing_else_than_a_guid_is_an_owner(self):
        self.assertRaises(SystemExit, self.run_command,
                          nvram_template.Create, 'keys', '--owner-guid', 'me')


class ErrorsTest(commands.CommandTestCase):

    def test_error_is_one_line_of_openstackclient(self):
        error = self.assertRaises(
            exceptions.CommandError, self.run_command, nvram_template.Create,
            'keys', '--from', '/nowhere')
        self.assertNotIn('\n', str(error))
