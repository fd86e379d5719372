# SPDX-License-Identifier: Apache-2.0
"""A host dies; its servers go on elsewhere with their stores."""
from tests.functional import two_hosts


class EvacuationTest(two_hosts.TwoHostsTestCase):

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
