# SPDX-License-Identifier: Apache-2.0
"""What an operator changes while a server is off is what its guest finds."""
from unittest import mock

from nova.tests.functional.api import client

from nova_armvm import exception
from nova_armvm.store import change
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.functional import base
from tests.functional import operators


class ChangeTest(operators.NvramCommandTestCase):

    def test_variable_is_there_and_the_rest_untouched(self):
        before = self.flash(self.server)
        self.assertEqual(2, self.set().version)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())
        self.assertEqual(len(before), len(self.flash(self.server)))
        self.assertFalse(self.is_locked())
        self._start_server(self.server)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())

    def test_changes_are_taken_back_until_the_guest_writes(self):
        self.set(b'one')
        self.set(b'two')
        self._start_server(self.server)
        self._stop_server(self.server)
        self.editor.undo(self.uuid)
        self.assertEqual({}, self.found())
        self.assertEqual(['restore', 'operator', 'operator', 'first-boot'],
                         self.reasons())
        self.set(b'three')
        self._start_server(self.server)
        self.guest_writes(self.server, 'x')
        self._stop_server(self.server)
        self.assertRaises(exception.StoreNothingKept, self.editor.undo,
                          self.uuid)
        self.assertEqual(b'three', self.found()[operators.KEY].content)

    def test_every_version_can_be_restored(self):
        for content in (b'one', b'two'):
            self.set(content)
        first, second, _third = (
            entry.version.sequence for entry in reversed(
                self.editor.history(self.uuid, 0)))
        self.editor.restore(self.uuid, second)
        self.assertEqual(b'one', self.found()[operators.KEY].content)
        self._start_server(self.server)
        self.assertEqual(b'one', self.found()[operators.KEY].content)
        self._stop_server(self.server)
        self.editor.restore(self.uuid, first)
        self.assertEqual({}, self.found())

    def test_server_that_runs_is_left_alone(self):
        self._start_server(self.server)
        before = self.flash(self.server)
        self.assertRaises(exception.ServerNotOff, self.set)
        self.assertRaises(exception.ServerNotOff, self.editor.look,
                          self.uuid)
        self.assertEqual(varstore.parse(before), self.editor.look(
            self.uuid, running=True).variables)
        self.assertEqual(1, len(self.editor.history(self.uuid, 0)))
        self.assertEqual(before, self.flash(self.server))
        self.assertFalse(self.is_locked())
        self.assert_store_in_use(self.server)

    def test_server_that_its_tenant_starts_meanwhile_is_left_alone(self):
        def start_first(action):
            if 'lock' in action:
                self._start_server(self.server)
        self.nova.before = start_first
        self.assertRaises(exception.ServerNotOff, self.set)
        self.assertFalse(self.is_locked())
        self.assertEqual(['first-boot'], self.reasons())

    def test_tenant_cannot_start_it_while_it_is_changed(self):
        def changed(flash):
            refused = self.assertRaises(
                client.OpenStackApiException, self.api.post_server_action,
                self.uuid, {'os-start': None})
            self.assertEqual(409, refused.response.status_code)
            return flash
        self.assertTrue(self.editor.change(self.uuid, changed).nothing)
        self._start_server(self.server)

    def test_server_that_somebody_else_has_locked_is_left_alone(self):
        self.admin_api.post_server_action(
            self.uuid, {'lock': {'locked_reason': 'mine'}})
        error = self.assertRaises(exception.ServerLocked, self.set)
        self.assertIn('mine', str(error))
        self.assertTrue(self.is_locked())
        self.assertEqual(['first-boot'], self.reasons())

    def lock_again(self):
        # Nova ignores a second lock by the server's own project, to which
        # the administrator of these tests belongs.
        for action in ({'unlock': None}, {'lock': {'locked_reason': 'other'}}):
            self.admin_api.post_server_action(self.uuid, action)

    def test_command_that_began_beside_this_one_wins(self):
        before = self.flash(self.server)

        def lock_first(action):
            self.nova.before = lambda action: None
            if 'lock' in action:
                # The other has looked before and locks afterwards.
                self.addCleanup(self.admin_api.post_server_action, self.uuid,
                                {'unlock': None})
                self.nova.after = lambda action: self.lock_again()
        self.nova.before = lock_first
        self.assertRaises(exception.ServerLocked, self.set)
        self.assertEqual(before, self.flash(self.server))
        self.assertTrue(self.is_locked())

    def test_lock_that_is_lost_ends_the_change_before_it_is_written(self):
        before = self.flash(self.server)

        def changed(flash):
            self.lock_again()
            return edit.edited(flash, {operators.KEY: operators.variable()})
        self.assertRaises(exception.ServerLocked, self.editor.change,
                          self.uuid, changed)
        self.assertEqual(before, self.flash(self.server))
        self.assertTrue(self.is_locked())

    def test_start_by_an_administrator_ends_the_change(self):
        before = self.flash(self.server)

        def changed(flash):
            self.admin_api.post_server_action(self.uuid, {'os-start': None})
            self._wait_for_state_change(self.server, 'ACTIVE')
            return edit.edited(flash, {operators.KEY: operators.variable()})
        self.assertRaises(exception.ServerNotOff, self.editor.change,
                          self.uuid, changed)
        self.assertEqual(before, self.flash(self.server))
        self.assertFalse(self.is_locked())
        self._stop_server(self.server)
        self._start_server(self.server)

    def test_start_by_an_administrator_ends_the_reset(self):
        volumes = self.editor._access.volumes
        real, started = volumes.note_anew, []

        def note(*given):
            if not started:
                started.append(self.server)
                self.admin_api.post_server_action(self.uuid,
                                                  {'os-start': None})
                self._wait_for_state_change(self.server, 'ACTIVE')
            real(*given)
        with mock.patch.object(volumes, 'note_anew', note):
            self.assertRaises(exception.ServerNotOff, self.editor.reset,
                              self.uuid)
        self.guest_writes(self.server, 'x')
        self._stop_server(self.server)
        self._start_server(self.server)
        self.assertEqual('x', self.guest_reads(self.server))

    def test_volume_that_fails_is_named(self):
        with self.fails_after(0):
            error = self.assertRaises(exception.StoreReadFailed, self.set)
        self.assertIn(self.store_of(self.server).id, str(error))
        self.assertFalse(self.is_locked())

    def test_service_that_is_away_is_named_with_the_remedy(self):
        self.flash_service().stop()
        for work in (self.set, lambda: self.editor.look(self.uuid)):
            error = self.assertRaises(exception.FlashServiceUnavailable, work)
            self.assertIn('start armvm-nvramd', str(error))
        self.assertFalse(self.is_locked())
        self.flash_service().restart()
        self.set()

    def test_host_that_was_started_again_has_its_stores(self):
        self.flash_service().lose_power()
        self.set()
        self._start_server(self.server)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())

    def test_edit_that_fails_changes_nothing(self):
        def changed(flash):
            raise exception.NoSuchVariable(name='x', guid='y')
        before = self.flash(self.server)
        self.assertRaises(exception.NoSuchVariable, self.editor.change,
                          self.uuid, changed)
        self.assertEqual(before, self.flash(self.server))
        self.assertFalse(self.is_locked())

    def test_server_is_found_by_its_name(self):
        found = self.servers.find(self.server['name'])
        self.assertEqual(self.uuid, found.uuid)
        self.assertRaises(exception.ServerNotFound, self.servers.find, 'none')

    def test_deletion_leaves_nothing(self):
        self.set()
        self._delete_server(self.server)
        self.assert_nothing_left()

    def test_server_with_volatile_variables(self):
        other = self.boot(image=self.make_image(
            **base.ARM_IMAGE, hw_armvm_nvram='volatile'))
        self._stop_server(other)
        self.assertRaises(exception.ServerWithoutStore, self.editor.look,
                          other['id'])


class DeathTest(operators.NvramCommandTestCase):
    """The command, or what it relies on, dies in the middle."""

    def test_store_is_the_old_or_the_new_one_after_every_write(self):
        self.set(b'old')
        for writes in range(100):
            with self.fails_after(writes):
                try:
                    self.set(b'new')
                    break
                except exception.StoreReadFailed:
                    self.assertIn(self.found()[operators.KEY].content,
                                  (b'old', b'new'))
        self.assertGreater(writes, 2)
        self.assertEqual(b'new', self.found()[operators.KEY].content)
        self._start_server(self.server)
        self.assertEqual(b'new', self.found()[operators.KEY].content)

    def test_lock_of_a_process_that_died_is_explained(self):
        with mock.patch.object(self.servers, '_let_go'):
            self.set()
        error = self.assertRaises(exception.ServerLocked, self.set)
        for words in ('armvm-manage', 'process', 'openstack server unlock'):
            self.assertIn(words, str(error))
        self.admin_api.post_server_action(self.uuid, {'unlock': None})
        self.set(b'again')


class WholeTest(operators.NvramCommandTestCase):

    def test_exported_flash_can_be_imported(self):
        self.set(b'exported')
        exported = self.editor.look(self.uuid, whole=True).flash
        self.set(b'changed')
        self.editor.change(
            self.uuid, lambda flash: change.flash_of_size(
                exported, len(flash)), whole=True)
        self.assertEqual(exported, self.flash(self.server))

    def test_flash_of_another_size_is_refused(self):
        self.assertRaises(
            exception.FlashMismatch, self.editor.change, self.uuid,
            lambda flash: change.flash_of_size(flash[:-512], len(flash)),
            True)

    def test_reset_begins_with_the_template_once(self):
        self.set()
        self.editor.reset(self.uuid)
        self._start_server(self.server)
        self.assertEqual({}, self.found())
        self.assertEqual(['reset', 'operator', 'first-boot'], self.reasons())
        self.guest_writes(self.server, 'x')
        self._stop_server(self.server)
        self._start_server(self.server)
        self.assertEqual('x', self.guest_reads(self.server))

    def test_change_that_a_reset_would_undo_is_refused(self):
        self.editor.reset(self.uuid)
        self.assertRaises(exception.StoreResetWaiting, self.set)
        self.editor.undo(self.uuid)
        self.set()

    def test_reset_can_be_taken_back(self):
        self.set()
        self._start_server(self.server)
        self._stop_server(self.server)
        self.editor.reset(self.uuid)
        self.editor.undo(self.uuid)
        self._start_server(self.server)
        self.assertEqual({operators.KEY: operators.variable()}, self.found())
