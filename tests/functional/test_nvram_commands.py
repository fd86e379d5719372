# SPDX-License-Identifier: Apache-2.0
"""What an operator changes while a server is off is what its guest finds."""
import contextlib
from unittest import mock

from nova.tests.functional.api import client

from nova_armvm.cmd import held_server
from nova_armvm.cmd import nvram_change
from nova_armvm.cmd import nvram_retype
from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.nvram import access
from nova_armvm.nvram import offline
from nova_armvm.nvram import previous
from nova_armvm.nvram import volume
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from nova_armvm.virt import host_volumes
from tests.functional import base
from tests.unit.uefi import flash_images

KEY = varstore.VariableKey(flash_images.VENDOR, 'Name')


def variable(content=b'content'):
    return varstore.Variable(KEY, 7, content)


class _Answer:
    def __init__(self, body):
        self._body = body

    def json(self):
        return self._body


class NovaApi:
    """Nova's API as an adapter of keystoneauth, through Nova's own tests.

    :ivar before: called with each action before it is carried out.
    :ivar after: called with each action afterwards, once.
    """

    def __init__(self, client):
        self._client = client
        self.before = self.after = lambda action: None

    def get(self, path, microversion=None):
        return _Answer(self._client.api_get(path).body)

    def post(self, path, json=None, microversion=None):
        self.before(json)
        self._client.api_post(path, json, check_response_status=[202])
        after, self.after = self.after, lambda action: None
        after(json)


class NvramCommandTestCase(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()
        self.uuid = self.server['id']
        self.nova = NovaApi(self.admin_api)
        self.servers = held_server.Servers(self.nova)
        self.editor = self.editor_on('compute1')
        self._stop_server(self.server)

    def volumes_of(self, hostname):
        return volume.StoreVolumes(hostname, None,
                                   volume.Patience(limit=3, interval=1))

    def editor_on(self, hostname):
        volumes = self.volumes_of(hostname)
        return nvram_change.StoreEditor(
            self.servers, store_access.StoreAccess(
                volumes, host_volumes.LibvirtHostVolumes(
                    self.computes[hostname].driver),
                self.hosted(hostname).is_recorded),
            previous.PreviousContents(volumes, 3))

    def hosted(self, hostname):
        return self.computes[hostname].driver._armvm_guests._hosted

    def set(self, content=b'content', editor=None):
        return (editor or self.editor).change(
            self.uuid, lambda flash: edit.edited(
                flash, {KEY: variable(content)}))

    def found(self):
        return varstore.parse(self.flash(self.server)).variables

    def is_locked(self):
        return self.admin_api.get_server(self.uuid)['locked']

    @contextlib.contextmanager
    def dies_after(self, blocks):
        """The command's process dies when it has written so many blocks."""
        written = []
        real = access.PathBytes.write_at

        def write_at(this, offset, content):
            if len(written) == blocks:
                raise OSError('died')
            written.append(offset)
            real(this, offset, content)
        with mock.patch.object(access.PathBytes, 'write_at', write_at):
            yield


class ChangeTest(NvramCommandTestCase):

    def test_variable_is_there_and_the_rest_untouched(self):
        before = self.flash(self.server)
        self.assertGreater(self.set().written, 0)
        self.assertEqual({KEY: variable()}, dict(self.found()))
        self.assertEqual(before[varstore.READ_SIZE:],
                         self.flash(self.server)[varstore.READ_SIZE:])
        self.assertFalse(self.is_locked())
        self._start_server(self.server)
        self.assertEqual({KEY: variable()}, dict(self.found()))

    def test_content_before_is_kept_until_the_next_start(self):
        self.set(b'one')
        self.set(b'two')
        kept, = self.cinder.store.snapshots
        self._start_server(self.server)
        self.assertEqual({}, self.cinder.store.snapshots)
        self.assertEqual(b'two', self.found()[KEY].content)
        self._stop_server(self.server)
        self.assertRaises(exception.StoreNothingKept, self.editor.undo,
                          self.uuid)

    def test_server_that_runs_is_left_alone(self):
        self._start_server(self.server)
        before = self.flash(self.server)
        self.assertRaises(exception.ServerNotOff, self.set)
        self.assertRaises(exception.ServerNotOff, self.editor.look,
                          self.uuid)
        self.editor.look(self.uuid, running=True)
        self.assertEqual(before, self.flash(self.server))
        self.assertFalse(self.is_locked())

    def test_server_that_its_tenant_starts_meanwhile_is_left_alone(self):
        def start_first(action):
            if 'lock' in action:
                self._start_server(self.server)
        self.nova.before = start_first
        self.assertRaises(exception.ServerNotOff, self.set)
        self.assertFalse(self.is_locked())
        self.assertEqual({}, self.cinder.store.snapshots)

    def test_tenant_cannot_start_it_while_it_is_changed(self):
        def changed(flash):
            refused = self.assertRaises(
                client.OpenStackApiException, self.api.post_server_action,
                self.uuid, {'os-start': None})
            self.assertEqual(409, refused.response.status_code)
            return flash
        self.assertEqual(0, self.editor.change(self.uuid, changed).written)
        self._start_server(self.server)

    def test_server_that_somebody_else_has_locked_is_left_alone(self):
        self.admin_api.post_server_action(
            self.uuid, {'lock': {'locked_reason': 'mine'}})
        error = self.assertRaises(exception.ServerLocked, self.set)
        self.assertIn('mine', str(error))
        self.assertTrue(self.is_locked())
        self.assertEqual({}, self.cinder.store.snapshots)

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
            return edit.edited(flash, {KEY: variable()})
        self.assertRaises(exception.ServerLocked, self.editor.change,
                          self.uuid, changed)
        self.assertEqual(before, self.flash(self.server))
        self.assertTrue(self.is_locked())

    def test_start_by_an_administrator_ends_the_change(self):
        before = self.flash(self.server)

        def changed(flash):
            self.admin_api.post_server_action(self.uuid, {'os-start': None})
            self._wait_for_state_change(self.server, 'ACTIVE')
            return edit.edited(flash, {KEY: variable()})
        self.assertRaises(exception.ServerNotOff, self.editor.change,
                          self.uuid, changed)
        self.assertEqual(before, self.flash(self.server))
        self.assertFalse(self.is_locked())
        self._stop_server(self.server)
        self._start_server(self.server)

    def test_start_by_an_administrator_ends_the_reset(self):
        real = self.editor._kept.keep

        def keep(*given):
            self.admin_api.post_server_action(self.uuid, {'os-start': None})
            self._wait_for_state_change(self.server, 'ACTIVE')
            return real(*given)
        with mock.patch.object(self.editor._kept, 'keep', keep):
            self.assertRaises(exception.ServerNotOff, self.editor.reset,
                              self.uuid)
        self.guest_writes(self.server, 'x')
        self._stop_server(self.server)
        self._start_server(self.server)
        self.assertEqual('x', self.guest_reads(self.server))

    def test_what_the_guest_wrote_is_not_taken_back(self):
        """Cinder was away when the guest started, so the snapshot is there."""
        self.set()
        self.cinder.fail('snapshot_delete', 503)
        self._start_server(self.server)
        self.cinder.heal('snapshot_delete')
        self.write_flash(self.server, edit.edited(
            self.flash(self.server)[:varstore.READ_SIZE],
            {KEY: variable(b'by the guest')}))
        self._stop_server(self.server)
        self.assertEqual(1, len(self.cinder.store.snapshots))
        self.assertRaises(exception.StoreNothingKept, self.editor.undo,
                          self.uuid)
        self.set(b'again')
        self.editor.undo(self.uuid)
        self.assertEqual(b'by the guest', self.found()[KEY].content)

    def test_error_of_the_host_is_told_in_words(self):
        with mock.patch.object(access.PathBytes, 'read_at',
                               side_effect=OSError(5, 'Input/output error')):
            error = self.assertRaises(exception.StoreNotOpened, self.set)
        self.assertIn('Input/output error', str(error))
        self.assertFalse(self.is_locked())

    def test_edit_that_fails_changes_nothing(self):
        def changed(flash):
            raise exception.NoSuchVariable(name='x', guid='y')
        before = self.flash(self.server)
        self.assertRaises(exception.NoSuchVariable, self.editor.change,
                          self.uuid, changed)
        self.assertEqual(before, self.flash(self.server))
        self.assertEqual({}, self.cinder.store.snapshots)
        self.assertFalse(self.is_locked())

    def test_server_is_found_by_its_name(self):
        found = self.servers.find(self.server['name'])
        self.assertEqual(self.uuid, found.uuid)
        self.assertRaises(exception.ServerNotFound, self.servers.find, 'none')

    def test_deletion_takes_the_snapshot_along(self):
        self.set()
        self._delete_server(self.server)
        self.assert_nothing_left()
        self.assertEqual({}, self.cinder.store.snapshots)

    def test_server_with_volatile_variables(self):
        other = self.boot(image=self.make_image(
            **base.ARM_IMAGE, hw_armvm_nvram='volatile'))
        self._stop_server(other)
        self.assertRaises(exception.ServerWithoutStore, self.editor.look,
                          other['id'])


class DeathTest(NvramCommandTestCase):
    """The command dies while it writes."""

    def setUp(self):
        super().setUp()
        self.set(b'before')
        self._start_server(self.server)
        self._stop_server(self.server)

    def replace_all(self):
        """Change blocks at both ends of the variables."""
        def changed(flash):
            return edit.edited(flash, {
                varstore.VariableKey(flash_images.VENDOR, f'V{number}'):
                varstore.Variable(varstore.VariableKey(
                    flash_images.VENDOR, f'V{number}'), 7, bytes(60_000))
                for number in range(3)})
        return self.editor.change(self.uuid, changed)

    def test_server_does_not_start_from_half_a_change(self):
        with self.dies_after(1):
            self.assertRaises(exception.StoreNotOpened, self.replace_all)
        self.assertRaises(
            client.OpenStackApiException, self.api.post_server_action,
            self.uuid, {'os-start': None})
        self._wait_for_state_change(self.server, 'SHUTOFF')
        self.assertIn('cut short', self.reason(self.server, 'start'))

    def test_nothing_is_built_upon_half_a_change(self):
        with self.dies_after(1):
            self.assertRaises(exception.StoreNotOpened, self.replace_all)
        self.assertRaises(exception.StoreChangeUnfinished, self.replace_all)
        self.editor.undo(self.uuid)
        self.replace_all()
        self._start_server(self.server)
        self.assertEqual(4, len(self.found()))

    def test_whole_flash_can_replace_half_a_change(self):
        whole = self.flash(self.server)
        with self.dies_after(1):
            self.assertRaises(exception.StoreNotOpened, self.replace_all)
        self.editor.change(self.uuid, lambda flash: whole, whole=True)
        self._start_server(self.server)
        self.assertEqual(b'before', self.found()[KEY].content)

    def test_reset_can_follow_half_a_change(self):
        with self.dies_after(1):
            self.assertRaises(exception.StoreNotOpened, self.replace_all)
        self.editor.reset(self.uuid)
        self._start_server(self.server)
        self.assertEqual({}, dict(self.found()))

    def test_change_can_be_taken_back(self):
        before = self.flash(self.server)
        with self.dies_after(1):
            self.assertRaises(exception.StoreNotOpened, self.replace_all)
        self.assertNotEqual(before, self.flash(self.server))
        self.editor.undo(self.uuid)
        self.assertEqual(before, self.flash(self.server))
        self.assertEqual({}, self.cinder.store.snapshots)
        self.assertEqual([self.store_of(self.server).id],
                         list(self.cinder.store.volumes))
        self._start_server(self.server)
        self.assertEqual(b'before', self.found()[KEY].content)

    def test_lock_of_a_process_that_died_is_explained(self):
        with mock.patch.object(self.servers, '_let_go'):
            self.set()
        error = self.assertRaises(exception.ServerLocked, self.set)
        for words in ('armvm-manage', 'process', 'openstack server unlock'):
            self.assertIn(words, str(error))
        self.admin_api.post_server_action(self.uuid, {'unlock': None})
        self.set(b'again')


class WholeTest(NvramCommandTestCase):

    def test_exported_flash_can_be_imported(self):
        self.set(b'exported')
        exported = self.editor.look(self.uuid, whole=True).flash
        self.set(b'changed')
        self.editor.change(
            self.uuid, lambda flash: nvram_change.flash_of_size(
                exported, len(flash)), whole=True)
        self.assertEqual(exported, self.flash(self.server))

    def test_flash_of_another_size_is_refused(self):
        self.assertRaises(
            exception.FlashMismatch, self.editor.change, self.uuid,
            lambda flash: nvram_change.flash_of_size(flash[:-512],
                                                     len(flash)), True)

    def test_reset_begins_with_the_template_once(self):
        self.set()
        self.editor.reset(self.uuid)
        self._start_server(self.server)
        self.assertEqual({}, dict(self.found()))
        self.assertEqual({}, self.cinder.store.snapshots)
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
        self.assertEqual({KEY: variable()}, dict(self.found()))


class OtherHostTest(NvramCommandTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute('compute2')
        self.other = self.editor_on('compute2')

    def test_store_is_attached_there_for_a_while_only(self):
        attached = dict(self.cinder.store.attachments)
        self.set(editor=self.other)
        self.assertEqual({KEY: variable()}, dict(self.found()))
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
        self.assertEqual({KEY: variable()}, dict(self.found()))


class RetypeTest(NvramCommandTestCase):

    def setUp(self):
        super().setUp()
        self.cinder.store.add_type('other')

    def retype(self, hostname='compute1', wanted='other', limit=3):
        volumes = self.volumes_of(hostname)
        return nvram_retype.Retyper(
            hostname, self.servers, volumes, self.hosted(hostname), limit,
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
        self.assertEqual({KEY: variable()}, dict(self.found()))

    def test_store_that_cannot_be_moved_is_protected_again(self):
        self.cinder.store.behaviour.retype_fails = True
        self.assertRaises(exception.StoreRetypeFailed, self.retype)
        self.assertEqual('attached', self.attachment_of(self.server).status)
        self.assertFalse(self.is_locked())
        self._start_server(self.server)
        self.assert_store_in_use(self.server)

    def test_store_that_was_let_go_by_half_is_protected_again(self):
        hosted = self.hosted('compute1')
        with mock.patch.object(hosted._records, 'drop', side_effect=OSError):
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

    def test_change_that_is_not_settled_is_in_the_way(self):
        self.set()
        self.assertRaises(exception.StoreSnapshotInTheWay, self.retype)

    def test_other_host_is_told_where_to_do_it(self):
        self.start_compute('compute2')
        error = self.assertRaises(exception.ServerElsewhere, self.retype,
                                  'compute2')
        self.assertIn('compute1', str(error))


class OfflineTest(NvramCommandTestCase):

    def test_flash_keeps_its_size(self):
        with self.editor._stores.opened(
                self.servers.find(self.uuid),
                self.editor._stores.find(
                    self.servers.find(self.uuid))) as opened:
            present = offline.read(opened)
            self.assertRaises(ValueError, offline.write, opened, present,
                              present[1:])
