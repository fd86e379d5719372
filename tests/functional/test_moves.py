# SPDX-License-Identifier: Apache-2.0
"""The store follows its server from host to host, and nothing stays behind."""
import contextlib
import os

import fixtures
from nova.tests.functional.api import client
from nova.virt.libvirt import driver as libvirt_driver

from nova_armvm.nvram import store as nvram_store
from tests.fixtures import firmware
from tests.functional import base


def power_off_and_copy_nothing(driver, context, instance, *_args, **_kwargs):
    """Do for a cold migration what Nova does, but for the disks.

    The hosts of these tests share one directory and one address.
    """
    driver.power_off(instance)
    return '[]'


class TwoHostsTestCase(base.ArmServersTestCase):
    """A server on compute1 whose guest has left the letter G in its flash."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.driver.LibvirtDriver.'
            'migrate_disk_and_power_off', power_off_and_copy_nothing))
        self.flags(allow_resize_to_same_host=False)
        # As for guests that are emulated: the imitation cannot compare CPUs.
        self.flags(skip_cpu_compare_on_dest=True, group='workarounds')
        self.start_compute('compute1')
        self.start_compute('compute2')
        self.server = self.boot()
        self.guest_writes(self.server, 'G')

    def ask(self, body):
        """Ask for what will fail.

        In this process Nova's casts are calls, so the tenant is told at once
        what the server's state tells otherwise.
        """
        with contextlib.suppress(client.OpenStackApiException):
            self.admin_api.post_server_action(self.server['id'], body)

    def work_for_source_of_migration(self):
        """Let Nova's code find the name of the host that it works for.

        It reads it from the configuration, which is that of the host that
        was started last.
        """
        migrations = self.admin_api.api_get('os-migrations').body
        self.flags(host=migrations['migrations'][0]['source_compute'])

    def _confirm_resize(self, server, **kwargs):
        self.work_for_source_of_migration()
        return super()._confirm_resize(server, **kwargs)

    def assert_store_at(self, hostname, note='G'):
        """Only this host has the store, and the guest finds its note."""
        self.assertEqual(hostname, self.host_of(self.server))
        self.assert_store_in_use(self.server, hostname)
        self.assertEqual(note, self.guest_reads(self.server))
        for other in self.computes:
            if other != hostname:
                self.assertEqual([], self.own_stores(other))
        self.assert_never_unlinked()

    def own_stores(self, hostname):
        return [path for path in self.own_files(hostname)
                if path.endswith('.json')]

    def assert_never_unlinked(self):
        for hostname in self.computes:
            for _name, flags in self.connection(hostname).undefined:
                self.assertFalse(
                    flags & base.fakelibvirt.VIR_DOMAIN_UNDEFINE_NVRAM)


class ColdMigrationTest(TwoHostsTestCase):

    def test_confirmed(self):
        with self.no_new_volume():
            self._migrate_server(self.server, api=self.admin_api)
            self.assert_store_at('compute2')
            self._confirm_resize(self.server)
        self.assert_store_at('compute2')
        self.assertIsNone(self.domain(self.server, 'compute1'))

    def test_reverted_with_what_was_written_meanwhile(self):
        self._migrate_server(self.server, api=self.admin_api)
        self.guest_writes(self.server, 'H')
        with self.no_new_volume():
            self._revert_resize(self.server)
        self.assert_store_at('compute1', 'H')
        self.assertIsNone(self.domain(self.server, 'compute2'))

    def test_there_and_back_again(self):
        for hostname in ('compute2', 'compute1', 'compute2'):
            self._migrate_server(self.server, api=self.admin_api)
            self._confirm_resize(self.server)
            self.assert_store_at(hostname)

    def test_volume_is_protected_all_the_time(self):
        statuses = []
        store = self.cinder.store
        original = store.detach

        def detach(*args, **kwargs):
            result = original(*args, **kwargs)
            statuses.append(self.store_of(self.server).status)
            return result

        self.useFixture(fixtures.MockPatchObject(store, 'detach', detach))
        self._migrate_server(self.server, api=self.admin_api)
        self._confirm_resize(self.server)
        self.assertEqual(['in-use'], statuses)

    def test_stopped_server(self):
        self._stop_server(self.server)
        self._migrate_server(self.server, api=self.admin_api)
        self.api.post_server_action(self.server['id'],
                                    {'confirmResize': None})
        self._wait_for_state_change(self.server, 'SHUTOFF')
        self._start_server(self.server)
        self.assert_store_at('compute2')

    def test_deleted_before_it_is_confirmed(self):
        self._migrate_server(self.server, api=self.admin_api)
        self.work_for_source_of_migration()
        self._delete_server(self.server)
        self.assert_nothing_left()

    def test_destination_that_refuses_keeps_the_store(self):
        self.connection('compute2').refuse('start', 'no')
        self.ask({'migrate': None})
        self._wait_for_state_change(self.server, 'ERROR')
        self.connection('compute2').accept('start')
        self.assertEqual('compute2', self.host_of(self.server))
        with self.no_new_volume():
            self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute2')

    def test_source_that_refuses_keeps_the_store(self):
        def refuse(*_args, **_kwargs):
            raise OSError('no space')

        with fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver.'
                'migrate_disk_and_power_off', refuse):
            self.ask({'migrate': None})
        self._wait_for_state_change(self.server, 'ERROR')
        self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute1')

    def test_cinder_away_when_the_source_lets_go(self):
        def away(driver, context, instance, *_args, **_kwargs):
            driver.power_off(instance)
            self.cinder.unreachable = True
            return '[]'

        with fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver.'
                'migrate_disk_and_power_off', away):
            self.ask({'migrate': None})
        self._wait_for_state_change(self.server, 'ERROR')
        self.cinder.unreachable = False
        self._reboot_server(self.server, hard=True)
        self.run_periodic_tasks()
        self.assert_store_at(self.host_of(self.server))


class ResizeTest(TwoHostsTestCase):

    def setUp(self):
        super().setUp()
        self.larger = self._create_flavor(memory_mb=4096)

    def test_confirmed(self):
        self._resize_server(self.server, self.larger)
        self._confirm_resize(self.server)
        self.assert_store_at('compute2')

    def test_reverted(self):
        self._resize_server(self.server, self.larger)
        self.guest_writes(self.server, 'H')
        self._revert_resize(self.server)
        self.assert_store_at('compute1', 'H')


class ResizeOnOneHostTest(TwoHostsTestCase):

    def setUp(self):
        super().setUp()
        self.flags(allow_resize_to_same_host=True)
        self.larger = self._create_flavor(memory_mb=4096)
        self.computes['compute2'].stop()
        services = self.admin_api.get_services(binary='nova-compute',
                                               host='compute2')
        self.admin_api.put_service_force_down(services[0]['id'], True)

    def test_confirmed(self):
        self._resize_server(self.server, self.larger)
        self._confirm_resize(self.server)
        self.assert_store_at('compute1')

    def test_reverted(self):
        self._resize_server(self.server, self.larger)
        self.guest_writes(self.server, 'H')
        self._revert_resize(self.server)
        self.assert_store_at('compute1', 'H')


class ShelveTest(TwoHostsTestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MockPatchObject(
            libvirt_driver.LibvirtDriver, 'snapshot'))

    def unshelve_at(self, hostname):
        self.admin_api.post_server_action(
            self.server['id'], {'unshelve': {'host': hostname}})
        return self._wait_for_state_change(self.server, 'ACTIVE')

    def test_unshelved_on_the_other_host(self):
        self._shelve_server(self.server)
        with self.no_new_volume():
            self.unshelve_at('compute2')
        self.assert_store_at('compute2')

    def test_unshelved_on_the_same_host(self):
        self._shelve_server(self.server)
        self.unshelve_at('compute1')
        self.assert_store_at('compute1')

    def test_volume_cannot_be_deleted_meanwhile(self):
        self._shelve_server(self.server)
        self.assertEqual('in-use', self.store_of(self.server).status)
        self.assertEqual('attached', self.attachment_of(self.server).status)
        self.assertEqual([], self.own_stores('compute1'))
        self.assertIsNone(self.domain(self.server, 'compute1'))

    def test_failed_unshelve_keeps_the_store(self):
        self._shelve_server(self.server)
        self.connection('compute2').refuse('start', 'no')
        self.ask({'unshelve': {'host': 'compute2'}})
        self._wait_for_instance_action_event(
            self.server, 'unshelve', 'compute_unshelve_instance', 'Error')
        self._wait_for_state_change(self.server, 'SHELVED_OFFLOADED')
        self.connection('compute2').accept('start')
        self.unshelve_at('compute1')
        self.run_periodic_tasks()
        self.assert_store_at('compute1')


class EvacuationTest(TwoHostsTestCase):

    def lose(self, hostname):
        """Let a host die; its guests with it."""
        self.computes[hostname].stop()
        self.connection(hostname).lose_power()
        service = self.admin_api.get_services(
            binary='nova-compute', host=hostname)[0]
        self.admin_api.put_service_force_down(service['id'], True)

    def come_back(self, hostname):
        self.restart_compute_service(hostname)
        service = self.admin_api.get_services(
            binary='nova-compute', host=hostname)[0]
        self.admin_api.put_service_force_down(service['id'], False)

    def evacuate(self):
        with self.no_new_volume():
            self._evacuate_server(self.server, expected_host='compute2')
            self._start_server(self.server)

    def test_store_is_on_the_new_host_alone(self):
        self.lose('compute1')
        self.evacuate()
        self.assert_store_in_use(self.server, 'compute2')
        self.assertEqual('G', self.guest_reads(self.server))

    def test_returning_host_cleans_up_its_own_only(self):
        self.lose('compute1')
        self.evacuate()
        self.come_back('compute1')
        self.assert_store_at('compute2')
        self.assertIsNone(self.domain(self.server, 'compute1'))

    def test_server_deleted_before_the_host_returns(self):
        self.lose('compute1')
        self.evacuate()
        self._delete_server(self.server)
        self.come_back('compute1')
        self.run_periodic_tasks()
        self.assert_nothing_left()

    def test_failed_evacuation_keeps_the_store(self):
        self.lose('compute1')
        self.connection('compute2').refuse('define', 'no')
        self.ask({'evacuate': {}})
        self._wait_for_migration_status(self.server, ['failed'])
        self.assertEqual('G', self.guest_reads(self.server))
        self.connection('compute2').accept('define')
        with self.no_new_volume():
            self.ask({'evacuate': {}})
            self._wait_for_server_parameter(
                self.server, {'OS-EXT-SRV-ATTR:host': 'compute2'})
            self._reboot_server(self.server, hard=True)
        self.assert_store_in_use(self.server, 'compute2')
        self.assertEqual('G', self.guest_reads(self.server))

    def test_server_deleted_while_its_host_is_down(self):
        self.lose('compute1')
        self.api.delete_server(self.server['id'])
        self._wait_until_deleted(self.server)
        # Nova asks no driver; the host finds out when it is back.
        self.assertEqual('in-use', self.store_of(self.server).status)
        self.come_back('compute1')
        self.run_periodic_tasks()
        self.assertEqual([], self.cinder.volumes_left())


class LiveMigrationTest(TwoHostsTestCase):

    def setUp(self):
        super().setUp()
        self.introduce('compute1', 'compute2')
        self.introduce('compute2', 'compute1')

    def migrate(self, **kwargs):
        self._live_migrate(self.server, api=self.admin_api, **kwargs)

    def test_guest_runs_on_with_its_store(self):
        with self.no_new_volume():
            self.migrate()
        self.assert_store_at('compute2')
        self.assertIsNone(self.domain(self.server, 'compute1'))

    def test_there_and_back_again(self):
        self.migrate()
        self.migrate()
        self.assert_store_at('compute1')

    def used(self):
        """Return how many bytes the volume takes up."""
        return os.stat(self.store_of(self.server).path).st_blocks * 512

    def test_space_is_given_back_when_the_guest_is_off(self):
        before = self.used()
        self.migrate()
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
        self.migrate()
        self._wait_for_assert(lambda: self.assertIn(
            nvram_store.SWOLLEN_KEY, self.store_of(self.server).metadata))
        with fixtures.MonkeyPatch(
                'nova_armvm.nvram.privileged.punch_hole', self.cannot):
            self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute2')

    @staticmethod
    def cannot(*_args):
        raise OSError('Operation not supported')

    def test_boot_order_stays_with_the_guest(self):
        self.migrate()
        domain = self.domain(self.server, 'compute2')
        domain.reset_inside()
        self.assertEqual({}, domain.boots[-1])

    def test_hard_reboot_afterwards(self):
        self.migrate()
        self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute2')

    def test_refused_by_the_destinations_qemu(self):
        self.connection('compute2').refuse('receive', 'no')
        self.migrate(migration_expected_state='error',
                     server_expected_state='ERROR', wait_for_fault_key=False)
        self.connection('compute2').accept('receive')
        self.assert_only_source_has_it()

    def test_refused_before_it_begins(self):
        self.connection('compute1').refuse('migrate', 'no')
        self.migrate(migration_expected_state='error',
                     server_expected_state='ERROR', wait_for_fault_key=False)
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
        self.migrate(migration_expected_state='failed')
        self.cinder.heal('attachment_create')
        self.assert_only_source_has_it()

    def test_volume_that_is_busy_is_refused_at_once(self):
        self.store_of(self.server).status = 'backing-up'
        self.ask_for_migration()
        self.store_of(self.server).status = 'in-use'
        self.assert_only_source_has_it()

    def test_destination_left_alone_by_a_dead_source_cleans_up(self):
        driver = self.computes['compute2'].driver
        instance = self.instance(self.server)
        driver._armvm_guests.moves._hosted.join(
            driver._armvm_guests._owners.owner(instance))
        self.assertEqual(1, len(self.own_stores('compute2')))
        self.run_periodic_tasks()
        self.assert_store_at('compute1')

    def test_destination_in_the_middle_of_it_is_left_alone(self):
        driver = self.computes['compute2'].driver
        instance = self.instance(self.server)
        driver._armvm_guests.moves._hosted.join(
            driver._armvm_guests._owners.owner(instance))
        instance.task_state = 'migrating'
        instance.save()
        driver.get_available_resource('compute2')
        self.assertEqual(1, len(self.own_stores('compute2')))

    def test_destination_with_another_driver_is_refused(self):
        # Such a one does not announce itself.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.virt.migration.announce', lambda _data: None))
        self.ask_for_migration()
        self.assert_only_source_has_it()
