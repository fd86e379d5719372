# SPDX-License-Identifier: Apache-2.0
"""A guest goes to the other host while it runs, or stays where it is."""
import contextlib
import os

import fixtures

from nova_armvm.nvram import store as nvram_store
from tests.fixtures import firmware
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

    def used(self):
        """Return how many bytes the volume takes up."""
        return os.stat(self.store_of(self.server).path).st_blocks * 512

    def test_space_is_given_back_when_the_guest_is_off(self):
        before = self.used()
        self.live_migrate()
        # QEMU on the destination writes the whole flash, zeros and all.
        size = firmware.FLASH_SIZE
        with open(self.store_of(self.server).path, 'r+b') as device:
            content = device.read(size)
            device.seek(0)
            device.write(content)
        self.assertGreater(self.used(), before)
        self._wait_for_assert(lambda: self.assertEqual(
            'True', self.store_of(self.server).metadata.get(
                nvram_store.SWOLLEN_KEY)))
        self._reboot_server(self.server, hard=True)
        self.assertLessEqual(self.used(), before + 64 * 1024)
        self.assertEqual('False', self.store_of(self.server).metadata[
            nvram_store.SWOLLEN_KEY])
        self.assert_store_at('compute2')

    def test_space_that_cannot_be_given_back_does_not_stop_the_guest(self):
        self.live_migrate()
        self._wait_for_assert(lambda: self.assertIn(
            nvram_store.SWOLLEN_KEY, self.store_of(self.server).metadata))
        with fixtures.MonkeyPatch(
                'nova_armvm.host.privileged.punch_hole', self.cannot):
            self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute2')

    @staticmethod
    def cannot(*_args):
        raise OSError('Operation not supported')

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
        guests = self.computes[hostname].driver._armvm_guests
        guests.moves._hosted.join(
            guests._owners.owner(self.instance(self.server)))

    def test_guest_that_has_moved_on_is_not_attached_again(self):
        self.live_migrate()
        self.live_migrate()
        guests = self.computes['compute2'].driver._armvm_guests
        guests.moves._tidy(self.instance(self.server))
        self.assert_store_at('compute1')

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
