# SPDX-License-Identifier: Apache-2.0
"""Variables go to files and come from them."""
import json
import os
import stat

from nova_armvm.cmd import dialogue
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from tests.unit.cmd import stage
from tests.unit.uefi import flash_images as images

ORDER = varstore.VariableKey(images.GLOBAL, 'BootOrder')


class FileTest(stage.NvramTestCase):

    flash = images.real('offered')

    def exported(self, kind, *words):
        path = self.directory.join(f'export.{kind}')
        status, printed, _ = self.nvram('export', 'server', '--format', kind,
                                        '--output', path, *words)
        self.assertEqual((dialogue.DONE, ''), (status, printed))
        return path

    def test_export_can_be_imported_in_every_format(self):
        wanted = self.editor.variables()
        for kind in formats.FORMATS:
            with self.subTest(kind):
                path = self.exported(kind)
                self.editor.flash['server'] = images.real('natural')
                status, _, _ = self.nvram('import', 'server', path, '--yes')
                self.assertEqual(dialogue.DONE, status)
                self.assertEqual(wanted, self.editor.variables())
                self.assertEqual(
                    dialogue.DONE, self.nvram('diff', 'server', path)[0])

    def test_files_are_their_owner_s_alone(self):
        for path in (self.exported('json'), self.exported('raw')):
            self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        path = self.directory.join('content')
        self.nvram('get', 'server', 'BootOrder', '--output', path)
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))

    def test_nothing_is_overwritten(self):
        path = self.directory.join('file')
        link = self.directory.join('link')
        with open(path, 'wb') as stream:
            stream.write(b'precious')
        os.symlink(self.directory.join('absent'), link)
        for target in (path, link):
            for words in (('export', 'server'),
                          ('get', 'server', 'BootOrder')):
                status, _, complaint = self.nvram(*words, '--output', target)
                self.assertEqual(dialogue.FAILED, status)
                self.assertIn('File exists', complaint)
        with open(path, 'rb') as stream:
            self.assertEqual(b'precious', stream.read())
        self.assertFalse(os.path.exists(self.directory.join('absent')))

    def test_flash_is_written_with_holes(self):
        self.editor.flash['server'] = self.flash.ljust(2 ** 26, b'\0')
        path = self.exported('raw')
        self.assertEqual(2 ** 26, os.path.getsize(path))
        self.assertLess(os.stat(path).st_blocks * 512, 2 ** 21)
        with open(path, 'rb') as stream:
            self.assertEqual(self.editor.flash['server'], stream.read())

    def test_flash_does_not_go_to_the_terminal(self):
        status, printed, complaint = self.nvram('export', 'server', '-f',
                                                'raw')
        self.assertEqual((dialogue.FAILED, ''), (status, printed))
        self.assertIn('--output', complaint)

    def test_standard_output_is_json_or_base64(self):
        wanted = set(self.editor.variables().values())
        for kind in ('json', 'aws'):
            _, printed, _ = self.nvram('export', 'server', '-f', kind)
            self.assertEqual(wanted, set(formats.read(printed.encode())))

    def test_content_of_a_variable(self):
        _, printed, _ = self.nvram('get', 'server', 'BootOrder')
        self.assertEqual(self.editor.variables()[ORDER].content.hex(),
                         printed.strip())

    def test_file_that_does_not_fit_is_refused_before_anything_is_done(self):
        json_of_two = json.dumps({'version': 2, 'variables': 2 * [
            {'name': 'a', 'guid': str(images.VENDOR), 'attr': 7,
             'data': '00'}]})
        for content, words in (
                (b'', 'bytes of flash'), (self.flash[:-512], 'longer than'),
                (self.flash + bytes(512), 'bytes of flash'),
                (b'rubbish' * 1000, 'variable volume'),
                (b'{"version": 3, "variables": []}', 'version'),
                (b'{"version": 2', 'not what was expected'),
                (b'[' * 100_000, 'variable volume'),
                (b'{"a":' * 100_000, 'not what was expected'),
                (json_of_two.encode(), 'twice'),
                (b'QU1aTlVFRkk=', 'ends within its header')):
            with self.subTest(words):
                path = self.directory.join('file')
                with open(path, 'wb') as stream:
                    stream.write(content)
                status, _, complaint = self.nvram('import', 'server', path,
                                                  '--yes')
                self.assertEqual(dialogue.FAILED, status)
                self.assertIn(words, complaint)
                self.assertEqual(self.flash, self.editor.flash['server'])

    def test_file_that_is_too_large_is_not_read(self):
        path = self.directory.join('file')
        with open(path, 'wb') as stream:
            stream.truncate(2 ** 40)
        status, _, complaint = self.nvram('import', 'server', path, '--yes')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('larger than any flash', complaint)

    def test_file_that_is_none(self):
        for path, words in ((self.directory.path, 'directory'),
                            (self.directory.join('absent'), 'No such file')):
            status, _, complaint = self.nvram('diff', 'server', path)
            self.assertEqual(dialogue.FAILED, status)
            self.assertIn(words, complaint)

    def test_import_tells_how_many_it_brings(self):
        path = self.exported('json')
        _, _, asked = self.nvram('import', 'server', path)
        self.assertIn(f'the {len(self.editor.variables())} of', asked)
