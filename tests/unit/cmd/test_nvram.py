# SPDX-License-Identifier: Apache-2.0
import json
import logging
import struct
from unittest import mock

import hypothesis
from hypothesis import strategies

from nova_armvm.cmd import dialogue
from nova_armvm.store import metadata
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from tests.unit.cmd import stage
from tests.unit.uefi import flash_images as images

KEY = varstore.VariableKey(images.VENDOR, 'Name')
ORDER = varstore.VariableKey(images.GLOBAL, 'BootOrder')
NEXT = varstore.VariableKey(images.GLOBAL, 'BootNext')
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
        self.editor.metadata = {metadata.RESET_KEY: 'True'}
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
            logging.getLogger('nova_armvm.store.cinder').warning('logged')
            return real(*given, **also)
        real = self.editor.look
        with mock.patch.object(self.editor, 'look', look):
            _, printed, complaint = self.nvram('show', 'server', '-f', 'json')
        json.loads(printed)
        self.assertIn('logged', complaint)


class HostileTest(stage.NvramTestCase):
    """run_command() fails for what a terminal would obey."""

    flash = images.flash(
        images.record(stage.EVIL), *images.boot_records(
            order=(1,), Boot0001=images.load_option(
                stage.EVIL.replace('\0', ''),
                images.node(4, 4, images.ucs2(stage.EVIL)))))

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
        self.assertIn(stage.EVIL, names)
        exported = self.nvram('export', 'server')[1]
        self.assertEqual(self.editor.variables().keys(),
                         {each.key for each in formats.from_json(exported)})

    def test_errors_are_harmless(self):
        path = self.directory.join('file')
        for reason, written in (
                ('bit 0', {'name': stage.EVIL, 'attr': 6, 'data': '00'}),
                ('1 to', {'name': stage.EVIL, 'attr': 7, 'data': ''})):
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
            'unset', 'server', stage.EVIL, '--guid', str(images.VENDOR),
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
                self.assertIn('That is version 7.', printed)
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
                      ('undo', 'server'), ('restore', 'server', '1'),
                      ('verify', 'server', '--adopt'),
                      ('migrate-type', 'server', 'x')):
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
        self.assertIn('no change to be taken back', complaint)

    def test_version_is_brought_back(self):
        self.editor.earlier = {5: images.flash(images.record('Old'))}
        for words in (('restore', 'server', '5'), ('undo', 'server')):
            status, printed, _ = self.nvram(*words, '--yes')
            self.assertEqual(dialogue.DONE, status)
            self.assertIn('Version 8 is a copy of version 5.', printed)
            self.assertEqual('undo' not in words, 'undo' in printed)
        self.assertEqual({'Old'}, {key.name for key in
                                   self.editor.variables()})
        status, _, complaint = self.nvram('restore', 'server', '6', '--yes')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no version 6', complaint)

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
                      ('diff', 'server', 'file', '--version', '1'),
                      ('diff', 'server', '--version', '0'),
                      ('diff', 'server', *3 * ('--version', '1')),
                      ('restore', 'server'), ('restore', 'server', '-1'),
                      ('history', 'server', '--limit', 'x'),
                      ('export', 'server', '--format', 'yaml')):
            with self.subTest(words):
                status, _, complaint = self.nvram(*words)
                self.assertEqual(2, status)
                self.assertIn('usage:', complaint)

    def test_unknown_server(self):
        status, _, complaint = self.nvram('get', 'other', 'Name')
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no server "other"', complaint)
