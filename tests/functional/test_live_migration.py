# SPDX-License-Identifier: Apache-2.0
"""A guest goes to the other host while it runs, or stays where it is."""
import contextlib

import fixtures

from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.fixtures import flash_service
from tests.functional import base
from tests.functional import two_hosts


class DeadError(BaseException):
    """The process ends here; nothing of ours is done any more."""


class LiveMigrationTest(two_hosts.TwoHostsTestCase):

    def setUp(self):
        super().setUp()
        self.introduce('compute1', 'compute2')
        self.introduce('compute2', 'compute1')

    def test_guest_runs_on_with_its_store(self):
        with self.no_new_volume():
            self.live_migrate()
        self.assert_store_at('compute2')
        self.assertIsNone(self.domain(self.server, 'compute1'))

    def test_there_and_back_again(self):
        self.live_migrate()
        self.live_migrate()
        self.assert_store_at('compute1')

    def test_arrival_of_the_flash_commits_nothing(self):
        before = self.versions()
        self.live_migrate()
        self.assertEqual(before, self.versions())

    def test_destination_owns_the_store_afterwards(self):
        self.live_migrate()
        self.guest_writes(self.server, 'D')
        self.assertEqual('D', self.guest_reads(self.server))
        self.assertFalse(self.flash_service('compute1').serves(
            self.server['id']))

    def test_source_cannot_write_once_the_destination_has(self):
        source = self.flash_service('compute1').service.export(
            self.server['id'])
        self.connection('compute1').on(
            'migrated', lambda: self.guest_writes(self.server, 'D'))
        self.live_migrate()
        stale = edit.edited(
            self.flash(self.server)[:varstore.READ_SIZE],
            {base.NOTE: varstore.Variable(base.NOTE, 7, b'S')})
        self.assertRaises(OSError, source.pwrite, 0, stale)
        self.assertEqual('D', self.guest_reads(self.server))

    def test_domain_has_the_same_flash_on_both_hosts(self):
        def source():
            return self.domain(self.server, self.host_of(
                self.server)).live.find('os/nvram/source').get('name')
        before = source()
        self.live_migrate()
        self.assertEqual(before, source())

    def versions(self):
        return flash_service.versions_on(
            self.store_of(self.server).path, self.server['id'])

    def test_boot_order_stays_with_the_guest(self):
        self.live_migrate()
        domain = self.domain(self.server, 'compute2')
        domain.reset_inside()
        self.assertEqual({}, domain.boots[-1])

    def test_hard_reboot_afterwards(self):
        self.live_migrate()
        self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute2')

    def fail_to_migrate(self):
        """Begin what libvirt will refuse."""
        self.ask({'os-migrateLive': {'host': None,
                                     'block_migration': 'auto'}})
        self._wait_for_migration_status(self.server, ['error'])
        # Without a fault.
        self._wait_for_state_change(self.server, 'ERROR',
                                    wait_for_fault_key=False)

    def test_refused_by_the_destinations_qemu(self):
        self.connection('compute2').refuse('receive', 'no')
        self.fail_to_migrate()
        self.connection('compute2').accept('receive')
        self.assert_only_source_has_it()

    def test_refused_before_it_begins(self):
        self.connection('compute1').refuse('migrate', 'no')
        self.fail_to_migrate()
        self.assert_only_source_has_it()

    def ask_for_migration(self):
        """Ask for what no host will be found for."""
        self.ask({'os-migrateLive': {'host': None,
                                     'block_migration': 'auto'}})
        self._wait_for_migration_status(self.server, ['error'])
        self._wait_for_state_change(self.server, 'ACTIVE')

    def assert_only_source_has_it(self):
        # The server's host is asked to clean up after Nova has told us.
        self._wait_for_assert(
            lambda: self.assertEqual([], self.own_stores('compute2')))
        self.assert_store_at('compute1')
        self.assertTrue(self.domain(self.server, 'compute1').isActive())

    def test_cinder_refuses_the_second_attachment(self):
        self.cinder.fail('attachment_create', 500)
        self.live_migrate(ends='failed')
        self.cinder.heal('attachment_create')
        self.assert_only_source_has_it()

    def test_volume_that_is_busy_is_refused_at_once(self):
        self.store_of(self.server).status = 'backing-up'
        self.ask_for_migration()
        self.store_of(self.server).status = 'in-use'
        self.assert_only_source_has_it()

    def join_at(self, hostname):
        """Do what a destination does before the guest comes."""
        self.computes[hostname].driver._armvm_guests.moves.join(
            self.instance(self.server))

    def test_destination_left_alone_by_a_dead_source_cleans_up(self):
        self.join_at('compute2')
        self.assertEqual(1, len(self.own_stores('compute2')))
        self.run_periodic_tasks()
        self.assert_store_at('compute1')

    def test_destination_that_died_while_it_attached(self):
        self.die_when('attachment_create')
        self.assert_incomplete()
        self.run_periodic_tasks()
        self.assert_store_at('compute1')
        self.live_migrate()
        self.assert_store_at('compute2')

    def die_when(self, operation):
        """Let a destination begin, and end in the middle of it."""
        self.cinder.fail(operation, DeadError(), after=True)
        with contextlib.suppress(DeadError):
            self.join_at('compute2')
        self.cinder.heal(operation)

    def assert_incomplete(self):
        self.assertEqual('attaching', self.store_of(self.server).status)
        self.assertEqual(1, len(self.own_stores('compute2')))

    def test_destination_in_the_middle_of_it_is_left_alone(self):
        self.join_at('compute2')
        instance = self.instance(self.server)
        instance.task_state = 'migrating'
        instance.save()
        self.computes['compute2'].driver.get_available_resource('compute2')
        self.assertEqual(1, len(self.own_stores('compute2')))

    def test_destination_with_another_driver_is_refused(self):
        # Such a one does not announce itself.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.virt.migration.announce', lambda _data: None))
        self.ask_for_migration()
        self.assert_only_source_has_it()


class DeletionMeanwhileTest(two_hosts.TwoHostsTestCase):
    """The server is deleted while its guest is sent."""

    #: Requests return before they are carried out, as in real life.
    CAST_AS_CALL = False

    def test_nothing_is_left_on_either_host(self):
        self.introduce('compute1', 'compute2')
        self.connection('compute1').on('migrate', self.delete)
        self.admin_api.post_server_action(self.server['id'], {
            'os-migrateLive': {'host': None, 'block_migration': 'auto'}})
        self._wait_until_deleted(self.server)
        self._wait_for_assert(self.assert_nothing_left_in_a_minute)

    def delete(self):
        """Delete the server; return when its guest is gone."""
        self.connection('compute1').on('migrate', lambda: None)
        self.api.delete_server(self.server['id'])
        self._wait_for_assert(lambda: self.assertIsNone(
            self.domain(self.server, 'compute1')))

    def assert_nothing_left_in_a_minute(self):
        self.run_periodic_tasks()
        self.assert_nothing_left()
