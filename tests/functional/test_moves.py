# SPDX-License-Identifier: Apache-2.0
"""The store follows its server from host to host, and nothing stays behind."""
import fixtures
from nova.virt.libvirt import driver as libvirt_driver

from tests.functional import two_hosts


class ColdMigrationTest(two_hosts.TwoHostsTestCase):

    def test_confirmed(self):
        with self.no_new_volume():
            self.cold_migrate()
            self.assert_store_at('compute2')
            self._confirm_resize(self.server)
        self.assert_store_at('compute2')
        self.assertIsNone(self.domain(self.server, 'compute1'))

    def test_reverted_with_what_was_written_meanwhile(self):
        self.cold_migrate()
        self.guest_writes(self.server, 'H')
        with self.no_new_volume():
            self._revert_resize(self.server)
        self.assert_store_at('compute1', 'H')
        self.assertIsNone(self.domain(self.server, 'compute2'))

    def test_there_and_back_again(self):
        for hostname in ('compute2', 'compute1', 'compute2'):
            self.cold_migrate()
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
        self.cold_migrate()
        self._confirm_resize(self.server)
        self.assertEqual(['in-use'], statuses)

    def test_stopped_server(self):
        self._stop_server(self.server)
        self.cold_migrate()
        self.api.post_server_action(self.server['id'],
                                    {'confirmResize': None})
        self._wait_for_state_change(self.server, 'SHUTOFF')
        self._start_server(self.server)
        self.assert_store_at('compute2')

    def test_deleted_before_it_is_confirmed(self):
        self.cold_migrate()
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


class ResizeTest(two_hosts.TwoHostsTestCase):

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


class ResizeOnOneHostTest(two_hosts.TwoHostsTestCase):

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


class ShelveTest(two_hosts.TwoHostsTestCase):

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
