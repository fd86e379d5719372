# SPDX-License-Identifier: Apache-2.0
"""Stores as releases before the flash service have left them."""
import os
import subprocess

import fixtures
from nova.tests.functional.api import client

from nova_armvm import exception
from nova_armvm.store import metadata
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.functional import operators


class OldFormTest(operators.NvramCommandTestCase):

    def setUp(self):
        super().setUp()
        store, whole = self.store_of(self.server), self.flash(self.server)
        raw = self.useFixture(fixtures.TempDir()).join('flash')
        with open(raw, 'wb') as stream:
            stream.write(edit.edited(
                whole[:varstore.READ_SIZE],
                {operators.KEY: operators.variable(b'old')}))
            stream.truncate(len(whole))
        size = os.path.getsize(store.path)
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2',
                        raw, store.path], check=True)
        os.truncate(store.path, size)
        store.metadata.pop(metadata.FORM_KEY, None)
        # Which has never served it.
        self.flash_service().lose_power()

    def content(self):
        return self.found()[operators.KEY].content

    def test_reading_converts_it(self):
        found = self.editor.look(self.uuid).variables.variables
        self.assertEqual(b'old', found[operators.KEY].content)
        self.assertEqual(['conversion'], self.reasons())
        self.assertEqual(metadata.LOG_FORM, self.store_of(
            self.server).metadata[metadata.FORM_KEY])
        self.assertFalse(self.is_locked())

    def test_change_converts_it_first(self):
        self.set(b'new')
        self.assertEqual(['operator', 'conversion'], self.reasons())
        self.editor.undo(self.uuid)
        self.assertEqual(b'old', self.content())
        self._start_server(self.server)
        self.assertEqual(b'old', self.content())

    def test_conversion_that_is_cut_short_is_done_again(self):
        for writes in range(100):
            with self.fails_after(writes):
                try:
                    self.editor.look(self.uuid)
                    break
                except exception.StoreReadFailed:
                    continue
        self.assertGreater(writes, 2)
        self.assertEqual(b'old', self.content())

    def test_half_a_change_is_replaced_as_a_whole(self):
        self.store_of(self.server).metadata[
            metadata.OLD_CHANGING_KEY] = 'mark'
        whole = self.editor.look(self.uuid, whole=True).flash
        self.assertRaises(exception.StoreChangeUnfinished, self.set)
        self.assertRaises(
            client.OpenStackApiException, self.api.post_server_action,
            self.uuid, {'os-start': None})
        self._wait_for_state_change(self.server, 'SHUTOFF')
        self.assertIn('cut short', self.reason(self.server, 'start'))
        self.editor.change(self.uuid, lambda flash: whole, whole=True)
        self._start_server(self.server)
        self.assertEqual(b'old', self.content())
