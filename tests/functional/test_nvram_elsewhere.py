# SPDX-License-Identifier: Apache-2.0
"""Stores that operators change from another host, or move."""
from unittest import mock

from nova_armvm.cmd import nvram_retype
from nova_armvm import exception
from nova_armvm.store import metadata
from tests.functional import operators


class OtherHostTest(operators.NvramCommandTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute('compute2')
        self.other = self.editor_on('compute2')

    def test_store_is_attached_there_for_a_while_only(self):
        attached = dict(self.cinder.store.attachments)
        self.set(editor=self.other)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())
        self.assertEqual(attached, self.cinder.store.attachments)
        self._start_server(self.server)
        self.assert_store_in_use(self.server)

    def test_running_server_is_read_on_its_host_only(self):
        self._start_server(self.server)
        error = self.assertRaises(exception.ServerElsewhere, self.other.look,
                                  self.uuid, running=True)
        self.assertIn('compute1', str(error))

    def test_shelved_server_can_be_changed_from_anywhere(self):
        self._start_server(self.server)
        self._shelve_server(self.server)
        self.set(editor=self.other)
        self._unshelve_server(self.server)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())


class RetypeTest(operators.NvramCommandTestCase):

    def setUp(self):
        super().setUp()
        self.cinder.store.add_type('other')
        self.access = self.access_on('compute1')

    def retype(self, hostname='compute1', wanted='other', limit=3):
        return nvram_retype.Retyper(
            hostname, self.servers, self.access.volumes,
            self.access.stores.attachments, limit, lambda: False,
            lambda line: None).retype(self.uuid, wanted)

    def test_store_has_its_content_on_the_other_type(self):
        self.set()
        self._start_server(self.server)
        self._stop_server(self.server)
        self.retype()
        store = self.store_of(self.server)
        self.assertEqual('other', store.volume_type)
        self.assertEqual('attached', self.attachment_of(self.server).status)
        self._start_server(self.server)
        self.assert_store_in_use(self.server)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())

    def test_store_that_cannot_be_moved_is_protected_again(self):
        self.cinder.store.behaviour.retype_fails = True
        self.assertRaises(exception.StoreRetypeFailed, self.retype)
        self.assertEqual('attached', self.attachment_of(self.server).status)
        self.assertFalse(self.is_locked())
        self._start_server(self.server)
        self.assert_store_in_use(self.server)

    def test_store_that_was_let_go_by_half_is_protected_again(self):
        with mock.patch.object(self.access.stores.records, 'drop',
                               side_effect=OSError):
            self.assertRaises(OSError, self.retype)
        self.assertEqual('attached', self.attachment_of(self.server).status)
        self._start_server(self.server)
        self.assert_store_in_use(self.server)

    def test_type_that_cannot_be_used_changes_nothing(self):
        self.cinder.store.add_type('secret', encrypted=True)
        for wanted, words in (('nothing', 'unknown'),
                              ('secret', 'encrypted')):
            with self.subTest(wanted):
                error = self.assertRaises(exception.VolumeTypeUnsuitable,
                                          self.retype, wanted=wanted)
                self.assertIn(words, str(error))
                self.assertEqual('attached',
                                 self.attachment_of(self.server).status)
        self._start_server(self.server)
        self.assert_store_in_use(self.server)

    def test_snapshot_of_an_earlier_release_is_in_the_way(self):
        store = self.store_of(self.server)
        store.metadata[metadata.OLD_SNAPSHOT_KEY] = 'snapshot'
        self.assertRaises(exception.StoreSnapshotInTheWay, self.retype)

    def test_change_is_moved_along(self):
        self.set()
        self.retype()
        self.assertEqual({operators.KEY: operators.variable()}, self.found())
        self.editor.undo(self.uuid)

    def test_other_host_is_told_where_to_do_it(self):
        self.start_compute('compute2')
        error = self.assertRaises(exception.ServerElsewhere, self.retype,
                                  'compute2')
        self.assertIn('compute1', str(error))
