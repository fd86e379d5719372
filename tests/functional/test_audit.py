# SPDX-License-Identifier: Apache-2.0
"""What Nova deletes without telling a driver is found by the audit."""
import datetime

import fixtures
from nova.virt.libvirt import driver as libvirt_driver

from nova_armvm.cmd import nvram_audit
from nova_armvm.store import audit
from nova_armvm.store import cinder
from tests.functional import base


class Servers:
    """Nova's API, through the client of Nova's own tests."""

    def __init__(self, client):
        self._client = client

    def servers(self):
        return {found['id']: self._server(found) for found in
                self._client.get_servers(search_opts={'all_tenants': 1})}

    def server(self, uuid):
        found = self._client.api_get(f'servers/{uuid}',
                                     check_response_status=[200, 404])
        return (self._server(found.body['server'])
                if found.status == 200 else None)

    @staticmethod
    def _server(found):
        return audit.Server(
            uuid=found['id'], host=found['OS-EXT-SRV-ATTR:host'],
            status=found['status'],
            task_state=found['OS-EXT-STS:task_state'])


class AuditTest(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MockPatchObject(
            libvirt_driver.LibvirtDriver, 'snapshot'))
        self.start_compute()
        self.server = self.boot()
        self.volumes = cinder.StoreVolumes(
            'controller', None, cinder.Patience(limit=3, interval=1))

    def audit(self):
        return nvram_audit.look(
            self.volumes, Servers(self.admin_api),
            datetime.datetime.now() + datetime.timedelta(hours=2), 3600)

    def remove(self):
        outcome = self.audit()
        nvram_audit.remove(outcome, self.volumes, Servers(self.admin_api),
                           50, lambda text: None)
        return outcome

    def test_servers_that_live_are_not_found(self):
        self.assertEqual([], self.audit().findings)
        self._stop_server(self.server)
        self.assertEqual([], self.audit().findings)
        self._shelve_server(self.server)
        self.assertEqual([], self.audit().findings)

    def test_server_that_can_be_restored_keeps_its_volume(self):
        # Nova's list leaves it out.
        self.flags(reclaim_instance_interval=3600)
        self.api.delete_server(self.server['id'])
        self._wait_for_state_change(self.server, 'SOFT_DELETED')
        self.assertEqual([], self.remove().findings)
        self.api.post_server_action(self.server['id'], {'restore': None})
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assert_store_in_use(self.server)

    def test_server_deleted_while_it_has_no_host(self):
        self._shelve_server(self.server)
        self._delete_server(self.server)
        volume_id = self.store_of(self.server).id
        finding, = self.audit().findings
        self.assertEqual((audit.Kind.NO_SERVER, self.server['id'], volume_id),
                         (finding.kind, finding.instance, finding.volume))
        self.assertEqual([], self.remove().left)
        self.assert_nothing_left()

    def test_server_deleted_while_its_host_is_down(self):
        self.computes['compute1'].stop()
        service = self.admin_api.get_services(
            binary='nova-compute', host='compute1')[0]
        self.admin_api.put_service_force_down(service['id'], True)
        self._delete_server(self.server)
        self.assertEqual([], self.remove().left)
        self.assertEqual([], self.cinder.volumes_left())
        self.assertEqual({}, self.cinder.store.attachments)
