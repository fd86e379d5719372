# SPDX-License-Identifier: Apache-2.0
import json

import fixtures

from nova_armvm.cmd import dialogue
from nova_armvm.store import change as store_change
from nova_armvm.store import metadata
from tests.unit.cmd import stage
from tests.unit.uefi import flash_images as images


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

    def test_versions_are_compared(self):
        self.editor.earlier = {1: self.editor.flash['other'], 2: self.flash}
        for words, heads in (
                (('--version', '1'), ('In server', 'In version 1')),
                (('--version', '2', '--version', '1'),
                 ('In version 2', 'In version 1'))):
            status, printed, _ = self.nvram('diff', 'server', *words)
            self.assertEqual(dialogue.FOUND, status)
            self.assertIn('only in the first', printed)
            for head in heads:
                self.assertIn(head, printed)
        self.assertEqual(dialogue.DONE, self.nvram('diff', 'server',
                                                   '--version', '2')[0])
        self.assertEqual(dialogue.FAILED, self.nvram('diff', 'server',
                                                     '--version', '3')[0])

    def test_server_that_runs_is_compared(self):
        self.editor.running = True
        self.assertEqual(dialogue.DONE, self.nvram(
            'diff', 'server', '--with-server', 'server')[0])

    def test_programs_get_both_sides(self):
        _, printed, _ = self.nvram('diff', 'other', '--with-server', 'server',
                                   '-f', 'json')
        changed, only = json.loads(printed)
        self.assertEqual('only in the second', only['difference'])
        self.assertIsNone(only['first'])
        self.assertEqual([b'new'.hex(), b'content'.hex()], [
            changed[side]['content'] for side in ('first', 'second')])


class HistoryTest(stage.NvramTestCase):

    def setUp(self):
        super().setUp()
        self.editor.entries = [
            store_change.Entry(stage.version(3, 'operator'), 2),
            store_change.Entry(stage.version(2, stage.EVIL, time=1e300), None)]

    def test_every_version_has_a_line(self):
        status, printed, _ = self.nvram('history', 'server')
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('2026-09-21 14:13:20', printed)
        self.assertIn('operator', printed)
        self.assertIn('\\x1b[2J', printed)
        self.assertNotIn('\\x1b', self.nvram('history', 'server', '--limit',
                                             '1')[1])

    def test_programs_get_the_same(self):
        _, printed, _ = self.nvram('history', 'server', '-f', 'json')
        first, second = json.loads(printed)
        self.assertEqual(
            {'version': 3, 'time': '2026-09-21T14:13:20',
             'reason': 'operator', 'epoch': 1, 'variables': 2, 'sha256': ''},
            first)
        self.assertEqual((None, None, stage.EVIL), (
            second['time'], second['variables'], second['reason']))


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
                metadata.FLASH_SIZE_KEY: '67108864',
                metadata.OLD_SNAPSHOT_KEY: 'snapshot'}),
            stage.store_volume('server-1', hosts={}, metadata={
                metadata.OLD_CHANGING_KEY: 'mark',
                metadata.RESET_KEY: 'True'}),
            stage.store_volume('server-3', metadata={
                metadata.FLASH_SIZE_KEY: '67108864',
                metadata.FORM_KEY: metadata.LOG_FORM}))
        self.assertEqual(dialogue.DONE, status)
        first, second, third = (line for line in printed.splitlines()
                                if 'server-' in line)
        self.assertIn('server-1', first)
        self.assertIn('unfinished change, reset', first)
        self.assertIn('67108864', second)
        self.assertIn('conversion, snapshot of an earlier release', second)
        self.assertNotIn('conversion', third)

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
            stage.EVIL, hosts={'a': stage.EVIL}, status=stage.EVIL,
            metadata={metadata.DESCRIPTOR_KEY: stage.EVIL}))

    def test_no_store_is_an_empty_list(self):
        status, printed, _ = self.run_list(words=('-f', 'json'))
        self.assertEqual((dialogue.DONE, '[]\n'), (status, printed))
