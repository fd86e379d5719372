# SPDX-License-Identifier: Apache-2.0
import json
import logging
import os
import stat
import struct
from unittest import mock

import fixtures
import hypothesis
from hypothesis import strategies

from nova_armvm.cmd import dialogue
from nova_armvm.nvram import previous
from nova_armvm.nvram import store
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from tests.unit.cmd import stage
from tests.unit.uefi import flash_images as images

KEY = varstore.VariableKey(images.VENDOR, 'Name')
ORDER = varstore.VariableKey(images.GLOBAL, 'BootOrder')
NEXT = varstore.VariableKey(images.GLOBAL, 'BootNext')
#: Erases the screen, sets its title, erases it as C1 does, writes from right
#: to left, has half a surrogate pair.
EVIL = 'a\x1b[2J\x1b]0;b\x07\x9b2J\u202ec\ud800\n'
OPTION = images.load_option('Debian', images.pci((2, 0)))


class ShowTest(stage.NvramTestCase):

    flash = images.flash(*images.boot_records(
        order=(7, 1), following=1, Boot0001=OPTION,
        Boot0007=images.load_option('Off', images.pci((3, 0)), attributes=0),
        Boot0008=b'rubbish'))

    def test_attributes_options_and_order_are_in_words(self):
        status, printed, _ = self.nvram('show', 'server')
        self.assertEqual(dialogue.DONE, status)
        for words in ('non-volatile+boot+runtime', 'BootNext: 0001',
                      'BootOrder: 0007,0001', 'Boot0001* Debian PciRoot(0x0)',
                      'Boot0007  Off', 'Boot0008 (unreadable)'):
            self.assertIn(words, printed)

    def test_programs_get_the_same(self):
        _, printed, _ = self.nvram('show', 'server', '-f', 'json')
        found = json.loads(printed)
        self.assertEqual([7, 1], found['boot_order'])
        self.assertEqual(1, found['boot_next'])
        self.assertEqual([False, True, True], sorted(
            option['readable'] for option in found['boot_options']))
        self.assertEqual(5, len(found['variables']))

    def test_store_that_no_firmware_has_used(self):
        self.editor.flash['server'] = bytes(varstore.READ_SIZE)
        status, printed, _ = self.nvram('show', 'server')
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('No firmware has used', printed)

    def test_rubbish_is_an_error_and_no_crash(self):
        self.editor.flash['server'] = b'\x5a' * varstore.READ_SIZE
        status, _, complaint = self.nvram('show', 'server')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('invalid', complaint)

    def test_what_the_next_start_will_do_is_told(self):
        self.editor.metadata = {previous.RESET_KEY: 'True'}
        self.assertIn('At the next start: reset.',
                      self.nvram('show', 'server')[1])

    def test_server_that_runs_is_shown(self):
        self.editor.running = True
        self.assertEqual(dialogue.DONE, self.nvram('show', 'server')[0])
        self.assertEqual(dialogue.FAILED,
                         self.nvram('get', 'server', 'BootOrder')[0])

    def test_most_variables_that_fit_are_shown_in_bounds(self):
        self.editor.flash['server'] = images.flash(*(
            images.record(f'Boot{number:04X}', b'', images.GLOBAL)
            for number in range(3000)))
        status, printed, _ = self.nvram('show', 'server')
        self.assertEqual(dialogue.DONE, status)
        self.assertLess(len(printed), 2 ** 20)

    def test_longest_name_and_description_are_cut(self):
        self.editor.flash['server'] = images.flash(
            images.record('n' * 60_000),
            *images.boot_records(Boot0001=images.load_option(
                'd' * 30_000, images.pci((2, 0)))))
        _, printed, _ = self.nvram('show', 'server')
        self.assertLess(len(printed), 10_000)


class LogTest(stage.NvramTestCase):

    flash = images.flash(images.record())

    def test_log_does_not_get_into_the_output(self):
        def look(*given, **also):
            logging.getLogger('nova_armvm.nvram.volume').warning('logged')
            return real(*given, **also)
        real = self.editor.look
        with mock.patch.object(self.editor, 'look', look):
            _, printed, complaint = self.nvram('show', 'server', '-f', 'json')
        json.loads(printed)
        self.assertIn('logged', complaint)


class HostileTest(stage.NvramTestCase):
    """run_command() fails for what a terminal would obey."""

    flash = images.flash(
        images.record(EVIL), *images.boot_records(
            order=(1,), Boot0001=images.load_option(
                EVIL.replace('\0', ''), images.node(4, 4, images.ucs2(EVIL)))))

    def test_tables_are_harmless(self):
        self.assertIn('\\x1b[2J', self.nvram('show', 'server')[1])
        path = self.directory.join('other')
        with open(path, 'wb') as stream:
            stream.write(formats.to_json([]).encode())
        self.assertEqual(dialogue.FOUND,
                         self.nvram('diff', 'server', path)[0])

    def test_json_is_harmless_and_exact(self):
        _, printed, _ = self.nvram('show', 'server', '-f', 'json')
        names = [each['name'] for each in json.loads(printed)['variables']]
        self.assertIn(EVIL, names)
        exported = self.nvram('export', 'server')[1]
        self.assertEqual(self.editor.variables().keys(),
                         {each.key for each in formats.from_json(exported)})

    def test_errors_are_harmless(self):
        path = self.directory.join('file')
        for reason, written in (
                ('bit 0', {'name': EVIL, 'attr': 6, 'data': '00'}),
                ('1 to', {'name': EVIL, 'attr': 7, 'data': ''})):
            with self.subTest(reason):
                with open(path, 'w', encoding='utf-8') as stream:
                    json.dump({'version': 2, 'variables': [
                        {**written, 'guid': str(images.VENDOR)}]}, stream)
                status, _, complaint = self.nvram('import', 'server', path,
                                                  '--yes')
                self.assertEqual(dialogue.FAILED, status)
                self.assertIn(reason, complaint)

    def test_questions_and_answers_are_harmless(self):
        status, printed, asked = self.nvram(
            'unset', 'server', EVIL, '--guid', str(images.VENDOR),
            answer='y\n')
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('\\x1b', asked)
        self.assertIn('\\x1b', printed)

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(strategies.dictionaries(
        strategies.text(strategies.characters(exclude_characters='\0'),
                        min_size=1, max_size=40),
        strategies.binary(min_size=1, max_size=80), max_size=6))
    def test_any_names_and_contents_are_harmless(self, variables):
        self.editor.flash['server'] = images.flash(
            *(images.record(name, content)
              for name, content in variables.items()),
            *images.boot_records(**{
                f'Boot{number:04X}': content
                for number, content in enumerate(variables.values())}))
        self.assertEqual(dialogue.DONE, self.nvram('show', 'server')[0])
        found = json.loads(self.nvram('show', 'server', '-f', 'json')[1])
        self.assertEqual(
            {name: content.hex() for name, content in variables.items()},
            {each['name']: each['content'] for each in found['variables']
             if each['guid'] == str(images.VENDOR)})

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(strategies.binary(max_size=400))
    def test_any_bytes_end_in_words(self, rubbish):
        self.editor.flash['server'] = images.flash(rubbish)
        self.assertIn(self.nvram('show', 'server')[0],
                      (dialogue.DONE, dialogue.FAILED))


class ChangeTest(stage.NvramTestCase):

    flash = images.flash(
        images.record(attributes=3),
        *images.boot_records(order=(1,), Boot0001=OPTION, Boot0002=OPTION))

    def change(self, *words, answer=''):
        return self.nvram(*words, '--guid', str(images.VENDOR), answer=answer)

    def content(self):
        return self.editor.variables()[KEY].content

    def test_nothing_is_done_without_consent(self):
        for answer in ('', '\n', 'n\n', 'yesterday\n'):
            with self.subTest(answer):
                status, printed, complaint = self.change(
                    'set', 'server', 'Name', '--hex', '0102', answer=answer)
                self.assertEqual(dialogue.FAILED, status)
                self.assertEqual('', printed)
                self.assertIn('Nothing was changed.', complaint)
                self.assertEqual(self.flash, self.editor.flash['server'])

    def test_consent_is_asked_for_or_given(self):
        for words, answer, asked in (((), 'y\n', True), ((), ' YES\n', True),
                                     (('--yes',), '', False)):
            with self.subTest(words):
                self.editor.flash['server'] = self.flash
                status, printed, complaint = self.change(
                    'set', 'server', 'Name', '--hex', '0102', *words,
                    answer=answer)
                self.assertEqual(dialogue.DONE, status)
                self.assertEqual(b'\1\2', self.content())
                self.assertEqual(asked, 'set Name? [y/N]' in complaint)
                self.assertIn(stage.SNAPSHOT, printed)
                self.assertIn('undo', printed)

    def test_every_change_asks(self):
        path = self.directory.join('file')
        with open(path, 'wb') as stream:
            stream.write(self.flash)
        for words in (('set', 'server', 'x', '--hex', '00'),
                      ('unset', 'server', 'BootOrder'),
                      ('set-boot-next', 'server', '0001'),
                      ('set-boot-order', 'server', '0001'),
                      ('import', 'server', path), ('reset', 'server'),
                      ('undo', 'server'), ('migrate-type', 'server', 'x')):
            with self.subTest(words):
                status, _, complaint = self.nvram(*words)
                self.assertEqual(dialogue.FAILED, status)
                self.assertIn('[y/N]', complaint)
        self.assertEqual(self.flash, self.editor.flash['server'])

    def test_variable_keeps_its_attributes(self):
        self.change('set', 'server', 'Name', '--hex', '01', '--yes')
        self.assertEqual(3, self.editor.variables()[KEY].attributes)
        self.change('set', 'server', 'Name', '--hex', '01', '--attributes',
                    '0x7', '--yes')
        self.assertEqual(7, self.editor.variables()[KEY].attributes)

    def test_new_variable_has_those_of_an_operating_system(self):
        self.nvram('set', 'server', 'New', '--hex', '01', '--yes')
        key = varstore.VariableKey(images.GLOBAL, 'New')
        self.assertEqual(7, self.editor.variables()[key].attributes)

    def test_content_comes_from_a_file(self):
        path = self.directory.join('file')
        with open(path, 'wb') as stream:
            stream.write(b'from the file')
        self.change('set', 'server', 'Name', '--file', path, '--yes')
        self.assertEqual(b'from the file', self.content())

    def test_nothing_to_do_is_told(self):
        status, printed, _ = self.change('set', 'server', 'Name', '--hex',
                                         b'content'.hex(), '--yes')
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('nothing to do', printed)

    def test_what_firmware_would_not_take_is_refused(self):
        for words in (('--hex', ''), ('--hex', '00' * 65537),
                      ('--hex', '00', '--attributes', '2'),
                      ('--hex', '00', '--attributes', '-1'),
                      ('--hex', '00', '--attributes', '0x80000001')):
            with self.subTest(words[2:]):
                status, _, complaint = self.change('set', 'server', 'Name',
                                                   *words, '--yes')
                self.assertEqual(dialogue.FAILED, status)
                self.assertIn('cannot be written', complaint)
        self.assertEqual(self.flash, self.editor.flash['server'])

    def test_store_that_is_full_is_told_with_figures(self):
        for name in 'ABCD':
            self.change('set', 'server', name, '--hex', '00' * 65000, '--yes')
        before = self.editor.flash['server']
        status, _, complaint = self.change('set', 'server', 'E', '--hex',
                                           '00' * 65000, '--yes')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no room', complaint)
        self.assertEqual(before, self.editor.flash['server'])

    def test_variable_is_removed(self):
        status, _, _ = self.change('unset', 'server', 'Name', '--yes')
        self.assertEqual(dialogue.DONE, status)
        self.assertNotIn(KEY, self.editor.variables())
        status, _, complaint = self.change('unset', 'server', 'Name', '--yes')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no UEFI variable Name', complaint)

    def test_boot_order_and_next_boot(self):
        self.nvram('set-boot-order', 'server', '0002,Boot0001', '--yes')
        self.nvram('set-boot-next', 'server', '2', '--yes')
        found = self.editor.variables()
        self.assertEqual(struct.pack('<2H', 2, 1), found[ORDER].content)
        self.assertEqual(struct.pack('<H', 2), found[NEXT].content)
        self.assertEqual(7, found[NEXT].attributes)

    def test_boot_option_that_is_not_there(self):
        for action in ('set-boot-next', 'set-boot-order'):
            status, _, complaint = self.nvram(action, 'server', '0009',
                                              '--yes')
            self.assertEqual(dialogue.FAILED, status)
            self.assertIn('there are: Boot0001, Boot0002', complaint)

    def test_reset_and_undo(self):
        status, printed, _ = self.nvram('reset', 'server', '--yes')
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('at the next start', printed)
        status, _, complaint = self.nvram('undo', 'server', '--yes')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no previous content', complaint)

    def test_wrong_words_end_with_the_usage(self):
        for words in ((), ('set', 'server', 'Name'),
                      ('set', 'server', 'Name', '--hex', 'xx'),
                      ('set', 'server', 'Name', '--hex', '00', '--file', 'x'),
                      ('set', 'server', 'Name', '--hex', '00', '--attributes',
                       'many'),
                      ('get', 'server', 'Name', '--guid', 'nobody'),
                      ('set-boot-next', 'server', '10000'),
                      ('set-boot-order', 'server', '1,1'),
                      ('set-boot-order', 'server', ''),
                      ('diff', 'server'),
                      ('diff', 'server', 'file', '--with-server', 'other'),
                      ('export', 'server', '--format', 'yaml')):
            with self.subTest(words):
                status, _, complaint = self.nvram(*words)
                self.assertEqual(2, status)
                self.assertIn('usage:', complaint)

    def test_unknown_server(self):
        status, _, complaint = self.nvram('get', 'other', 'Name')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no server "other"', complaint)


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


class DiffTest(stage.NvramTestCase):

    flash = images.flash(images.record('Same'), images.record('Only'),
                         images.record('Changed', attributes=3))

    def setUp(self):
        super().setUp()
        self.editor.flash['other'] = images.flash(
            images.record('Same'), images.record('Changed', b'new'))

    def test_servers_are_compared(self):
        status, printed, _ = self.nvram('diff', 'server', '--with-server',
                                        'other')
        self.assertEqual(dialogue.FOUND, status)
        self.assertIn('only in the first', printed)
        self.assertIn('content, attributes', printed)
        self.assertNotIn('Same', printed)

    def test_names_may_be_those_of_columns(self):
        self.editor.flash['Vendor'] = self.editor.flash['other']
        for other in ('Vendor', 'server'):
            self.assertIn(self.nvram('diff', 'server', '--with-server',
                                     other)[0],
                          (dialogue.DONE, dialogue.FOUND))

    def test_server_is_like_itself(self):
        for words, said in ((), 'No variable differs.\n'), (
                ('-f', 'json'), '[]\n'):
            status, printed, _ = self.nvram('diff', 'server', '--with-server',
                                            'server', *words)
            self.assertEqual((dialogue.DONE, said), (status, printed))

    def test_programs_get_both_sides(self):
        _, printed, _ = self.nvram('diff', 'other', '--with-server', 'server',
                                   '-f', 'json')
        changed, only = json.loads(printed)
        self.assertEqual('only in the second', only['difference'])
        self.assertIsNone(only['first'])
        self.assertEqual([b'new'.hex(), b'content'.hex()], [
            changed[side]['content'] for side in ('first', 'second')])


class ListTest(stage.CommandTestCase):

    def run_list(self, *stores, words=()):
        class Volumes:
            @staticmethod
            def all_stores():
                return list(stores)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.nvram._volumes', lambda conf: Volumes))
        return self.run_command('nvram', 'list', *words)

    def test_every_store_has_a_line_in_order(self):
        status, printed, _ = self.run_list(
            stage.store_volume('server-2', metadata={
                store.FLASH_SIZE_KEY: '67108864',
                previous.SNAPSHOT_KEY: stage.SNAPSHOT}),
            stage.store_volume('server-1', hosts={}, metadata={
                previous.CHANGING_KEY: 'mark', previous.RESET_KEY: 'True'}))
        self.assertEqual(dialogue.DONE, status)
        first, second = (line for line in printed.splitlines()
                         if 'server-' in line)
        self.assertIn('server-1', first)
        self.assertIn('unfinished change, reset', first)
        self.assertIn('67108864', second)
        self.assertIn('previous content kept', second)

    def test_programs_get_every_field(self):
        _, printed, _ = self.run_list(stage.store_volume(),
                                      words=('-f', 'json'))
        found, = json.loads(printed)
        self.assertEqual(
            {'server': stage.SERVER, 'volume': stage.VOLUME,
             'status': 'in-use', 'hosts': ['host-1'], 'type': 'nvram',
             'firmware': None, 'flash_size': None, 'secure_boot': None,
             'waiting': ''}, found)

    def test_metadata_and_hosts_are_harmless(self):
        self.run_list(stage.store_volume(
            EVIL, hosts={'a': EVIL}, status=EVIL,
            metadata={store.DESCRIPTOR_KEY: EVIL}))

    def test_no_store_is_an_empty_list(self):
        status, printed, _ = self.run_list(words=('-f', 'json'))
        self.assertEqual((dialogue.DONE, '[]\n'), (status, printed))
