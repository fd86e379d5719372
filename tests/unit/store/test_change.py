# SPDX-License-Identifier: Apache-2.0
import contextlib

import testtools

from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.store import change
from nova_armvm.store import metadata
from nova_armvm.store import versions
from nova_armvm.uefi import edit
from nova_armvm.uefi import region
from nova_armvm.uefi import varstore
from tests.unit.cmd import stage
from tests.unit.store import log_service
from tests.unit.uefi import flash_images as images

KEY = varstore.VariableKey(images.VENDOR, 'Name')
FIRST, SECOND, THIRD = (
    images.flash(images.record(content=content))
    for content in (b'first', b'second', b'third'))


class Servers:
    """Nova with one server.

    :ivar locked: by a command.
    :ivar check: what Nova says when it is asked once more.
    """

    def __init__(self):
        self.server = stage.server()
        self.locked = False
        self.check = lambda: None

    def find(self, wanted):
        return self.server

    @contextlib.contextmanager
    def held_off(self, uuid):
        self.server.check_off()
        self.locked = True
        try:
            yield stage.held_server.Held(self.server, lambda: self.check())
        finally:
            self.locked = False


class Access:
    """Cinder and this host with one store.

    :ivar metadata: of its volume.
    :ivar opened_while_locked: of each time that it was opened.
    """

    def __init__(self, service, servers):
        self.service, self._servers = service, servers
        self.metadata = {metadata.FORM_KEY: metadata.LOG_FORM}
        self.opened_while_locked = []
        self.volumes = self

    def find(self, server):
        return stage.store_volume(metadata=dict(self.metadata))

    def note_anew(self, volume, noted):
        self.metadata.update(noted)

    @contextlib.contextmanager
    def opened(self, server, volume):
        self.opened_while_locked.append(self._servers.locked)
        yield versions.Versions(self.service, server.uuid, volume.id)


class ChangeTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.service = log_service.LogService(FIRST)
        self.servers = Servers()
        self.access = Access(self.service, self.servers)
        self.editor = change.StoreEditor(self.servers, self.access)

    def set(self, content=b'new', then=lambda: None):
        def changed(flash):
            then()
            return edit.edited(flash, {KEY: varstore.Variable(
                KEY, 7, content)})
        return self.editor.change('server', changed)

    def content(self, number=None):
        store = self.service.read('', number).store
        return region.variables_of(store).variables[KEY].content

    def reasons(self):
        return [stored.version.reason for stored in self.service.versions]

    def start(self):
        """Have the server run."""
        self.servers.server = stage.server(vm_state='active', power_state=1)
        self.servers.check = self.servers.server.check_off


class ChangeTest(ChangeTestCase):

    def test_change_is_a_version_of_its_own(self):
        done = self.set()
        self.assertEqual((2, False), (done.version, done.nothing))
        self.assertEqual(['operator', 'guest'], self.reasons())
        self.assertEqual((b'new', b'first'), (self.content(),
                                              self.content(1)))
        self.assertFalse(self.servers.locked)

    def test_nothing_to_do_makes_no_version(self):
        self.assertTrue(self.set(b'first').nothing)
        self.assertEqual(['guest'], self.reasons())

    def test_server_that_runs_is_left_alone(self):
        self.start()
        self.assertRaises(exception.ServerNotOff, self.set)
        self.assertEqual([], self.service.asked)

    def test_server_is_asked_for_once_more_before_the_commit(self):
        self.assertRaises(exception.ServerNotOff, self.set, then=self.start)
        self.assertNotIn('commit', self.service.asked)
        self.assertFalse(self.servers.locked)

    def test_version_that_was_added_meanwhile_is_not_lost(self):
        self.service.before_commit = lambda: self.service.add(SECOND)
        error = self.assertRaises(exception.StoreChangedMeanwhile, self.set)
        self.assertIn(stage.SERVER, str(error))
        self.assertEqual(b'second', self.content())

    def test_flash_that_is_still_served_is_stopped(self):
        self.service.served = True
        self.set()
        self.assertEqual(b'new', self.content())

    def test_flash_that_qemu_has_open_is_left_alone(self):
        self.service.served, self.service.connected = True, 1
        self.assertRaises(exception.ServerNotOff, self.set)
        self.assertTrue(self.service.served)
        self.assertEqual(b'first', self.content())

    def test_edit_that_fails_changes_nothing(self):
        def fail():
            raise exception.NoSuchVariable(name='x', guid='y')
        self.assertRaises(exception.NoSuchVariable, self.set, then=fail)
        self.assertEqual(['guest'], self.reasons())

    def test_store_that_no_firmware_has_formatted(self):
        self.service.add_store(b'', 'rebuild')
        self.set()
        self.assertEqual(b'new', self.content())

    def test_service_that_is_away_is_named_with_the_remedy(self):
        self.service.away = ConnectionRefusedError()
        error = self.assertRaises(exception.FlashServiceUnavailable, self.set)
        self.assertIn('start armvm-nvramd', str(error))

    def test_whole_flash_replaces_another(self):
        def changed(flash):
            self.assertEqual(log_service.FLASH_SIZE, len(flash))
            return THIRD.ljust(len(flash), b'\0')
        self.editor.change('server', changed, whole=True)
        self.assertEqual(b'third', self.content())


class OldFormTest(ChangeTestCase):
    """A change by an earlier release was cut short."""

    def setUp(self):
        super().setUp()
        self.access.metadata = {metadata.OLD_CHANGING_KEY: 'mark'}

    def test_nothing_is_built_upon_half_a_change(self):
        for work in (self.set, lambda: self.editor.undo('server'),
                     lambda: self.editor.restore('server', 1)):
            self.assertRaises(exception.StoreChangeUnfinished, work)
        self.assertEqual(['guest'], self.reasons())

    def test_whole_flash_settles_it(self):
        self.editor.change('server', lambda flash: flash, whole=True)
        self.assertEqual('False',
                         self.access.metadata[metadata.OLD_CHANGING_KEY])
        self.assertEqual(['operator', 'guest'], self.reasons())

    def test_reset_can_follow(self):
        self.editor.reset('server')
        self.assertEqual('True', self.access.metadata[metadata.RESET_KEY])


class LookTest(ChangeTestCase):

    def test_newest_and_earlier_versions(self):
        self.service.add(SECOND)
        found = [look.variables.variables[KEY].content for look in
                 self.editor.looks('server', (None, 1, 2))]
        self.assertEqual([b'second', b'first', b'second'], found)

    def test_version_that_is_not_there(self):
        error = self.assertRaises(exception.NoSuchVersion, self.editor.looks,
                                  'server', (7,))
        self.assertIn('no version 7', str(error))

    def test_whole_flash_has_the_size_of_the_firmware_s(self):
        flash = self.editor.look('server', whole=True).flash
        self.assertEqual(log_service.FLASH_SIZE, len(flash))
        self.assertEqual(varstore.parse(FIRST).variables,
                         varstore.parse(flash).variables)

    def test_server_that_runs_is_looked_at_where_that_is_wanted(self):
        self.start()
        self.assertRaises(exception.ServerNotOff, self.editor.look, 'server')
        self.editor.look('server', running=True)
        self.assertEqual(['read'], self.service.asked)

    def test_store_of_the_old_form_is_converted_while_nobody_starts_it(self):
        self.editor.look('server')
        self.access.metadata = {}
        self.editor.look('server')
        self.start()
        self.editor.look('server', running=True)
        self.assertEqual([False, True, False],
                         self.access.opened_while_locked)

    def test_guest_of_before_the_service(self):
        self.start()
        self.service.is_open = False
        error = self.assertRaises(exception.StoreNotInService,
                                  self.editor.look, 'server', running=True)
        self.assertIn('Hard reboot', str(error))


class HistoryTest(ChangeTestCase):

    def history(self, limit=0):
        return [(entry.version.sequence, entry.variables)
                for entry in self.editor.history('server', limit)]

    def test_versions_with_what_they_hold(self):
        self.service.add_store(b'', 'rebuild')
        self.service.add_store(b'\x5a' * 1000, 'guest')
        self.assertEqual([(3, None), (2, 0), (1, 1)], self.history())
        self.assertEqual([(3, None)], self.history(1))

    def test_version_that_is_dropped_meanwhile_is_no_error(self):
        self.service.add(SECOND)
        versions = self.service.history('')
        self.service.history = lambda instance: versions
        del self.service.versions[1]
        self.assertEqual([(2, 1), (1, None)], self.history())

    def test_server_that_runs(self):
        self.start()
        self.assertEqual([(1, 1)], self.history())


class RestoreTest(ChangeTestCase):

    def setUp(self):
        super().setUp()
        self.service.add(SECOND)

    def test_version_is_copied(self):
        done = self.editor.restore('server', 1)
        self.assertEqual((3, 1), (done.version, done.copied))
        self.assertEqual('restore', self.reasons()[0])
        self.assertEqual(b'first', self.content())

    def test_newest_is_there_already(self):
        self.assertTrue(self.editor.restore('server', 2).nothing)

    def test_version_that_is_not_there(self):
        self.assertRaises(exception.NoSuchVersion, self.editor.restore,
                          'server', 9)

    def test_version_for_another_firmware_is_refused(self):
        self.service.add(THIRD, flash_size=32 * 1024 * 1024)
        self.assertRaises(exception.VersionUnfit, self.editor.restore,
                          'server', 1)
        self.assertEqual(b'third', self.content())

    def test_server_that_was_started_is_left_alone(self):
        def start():
            raise exception.ServerNotOff(server='server', state='active')
        self.servers.check = start
        self.assertRaises(exception.ServerNotOff, self.editor.restore,
                          'server', 1)
        self.assertEqual(b'second', self.content())


class UndoTest(ChangeTestCase):

    def test_all_changes_since_the_guest_wrote_are_taken_back(self):
        self.service.add(SECOND)
        self.set(b'one')
        self.editor.restore('server', 1)
        self.set(b'two')
        done = self.editor.undo('server')
        self.assertEqual(2, done.copied)
        self.assertEqual(b'second', self.content())

    def test_what_a_guest_wrote_is_not_taken_back(self):
        for reason in ('guest', 'first-boot', 'rebuild', 'take-over',
                       'conversion', 'formatted-by-firmware'):
            self.service.add(THIRD, reason)
            self.assertRaises(exception.StoreNothingKept, self.editor.undo,
                              'server')

    def test_nothing_is_taken_back_twice(self):
        self.set()
        self.editor.undo('server')
        self.assertRaises(exception.StoreNothingKept, self.editor.undo,
                          'server')
        self.assertEqual(b'first', self.content())

    def test_reset_that_was_carried_out_is_taken_back(self):
        self.service.add(SECOND, 'reset')
        self.editor.undo('server')
        self.assertEqual(b'first', self.content())

    def test_version_before_the_changes_is_not_there_any_more(self):
        self.service.add(SECOND)
        self.set(b'one')
        del self.service.versions[1]
        self.assertRaises(exception.StoreNothingKept, self.editor.undo,
                          'server')
        self.assertEqual(b'one', self.content())


class ResetTest(ChangeTestCase):

    def waits(self):
        return self.access.metadata.get(metadata.RESET_KEY) == 'True'

    def test_next_start_is_told(self):
        done = self.editor.reset('server')
        self.assertFalse(done.nothing)
        self.assertTrue(self.waits())
        self.assertEqual(['guest'], self.reasons())
        self.assertTrue(self.editor.reset('server').nothing)

    def test_undo_takes_it_back_and_nothing_else(self):
        self.set()
        self.editor.reset('server')
        self.assertFalse(self.editor.undo('server').nothing)
        self.assertFalse(self.waits())
        self.assertEqual(b'new', self.content())

    def test_changes_that_it_would_undo_are_refused(self):
        self.editor.reset('server')
        self.assertRaises(exception.StoreResetWaiting, self.set)
        self.assertRaises(exception.StoreResetWaiting, self.editor.restore,
                          'server', 1)

    def test_start_ends_it(self):
        def started():
            raise exception.ServerNotOff(server='server', state='active')
        self.servers.check = started
        self.assertRaises(exception.ServerNotOff, self.editor.reset, 'server')
        self.assertFalse(self.waits())


class FlashTest(testtools.TestCase):

    def test_flash_has_to_be_of_the_firmware_s_size(self):
        self.assertEqual(FIRST, change.flash_of_size(FIRST, len(FIRST)))
        self.assertRaises(exception.FlashMismatch, change.flash_of_size,
                          FIRST[:-512], len(FIRST))
        self.assertRaises(exception.VariableStoreInvalid,
                          change.flash_of_size, b'\x5a' * len(FIRST),
                          len(FIRST))


class TranslationTest(testtools.TestCase):

    def test_errors_of_the_service_are_told_as_errors_about_a_store(self):
        class Service:
            def history(self, instance):
                raise error
        for error, wanted in (
                (flash_service.Fenced(''), exception.StoreClaimed),
                (flash_service.NotALog(''), exception.StoreImageInvalid),
                (flash_service.VolumeFailed(''), exception.StoreReadFailed),
                (flash_service.AlreadyServed(''),
                 exception.FlashServiceFailed)):
            self.assertRaises(wanted, versions.Versions(
                Service(), 'server', 'volume').history)
