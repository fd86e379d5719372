# SPDX-License-Identifier: Apache-2.0
"""A store goes with its server, and with nothing less."""
from nova import context as nova_context

from tests.fixtures.cinder import fixture as cinder_fixture
from tests.fixtures.cinder import rows
from tests.functional import base


class DeletionTest(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_deletion_leaves_nothing(self):
        server = self.boot()
        self._delete_server(server)
        self.assert_nothing_left()
        self.assertEqual([], self.cinder.store.nova_was_asked_about)

    def test_deletion_of_a_stopped_server_leaves_nothing(self):
        server = self.boot()
        self._stop_server(server)
        self._delete_server(server)
        self.assert_nothing_left()

    def test_deletion_of_a_suspended_server_leaves_nothing(self):
        server = self.boot()
        self._suspend_server(server)
        self._delete_server(server)
        self.assert_nothing_left()

    def test_other_servers_keep_theirs(self):
        server, other = self.boot(), self.boot()
        self._delete_server(server)
        self.assert_store_in_use(other)

    def test_volume_of_the_same_name_that_is_not_ours_stays(self):
        server = self.boot()
        foreign = self.cinder.store.create_volume(
            rows.Caller(cinder_fixture.SERVICE_PROJECT),
            {'size': 1, 'name': self.store_of(server).name})
        foreign.status = 'available'
        self._delete_server(server)
        self.assertEqual([foreign], self.cinder.volumes_left())

    def test_volume_with_snapshots_goes_with_them(self):
        server = self.boot()
        self.store_of(server).snapshots = 1
        self._delete_server(server)
        self.assert_nothing_left()

    def test_libvirt_is_never_told_to_delete_the_store(self):
        server = self.boot()
        path = self.store_of(server).path
        self.cinder.fail('attachment_delete', 503)
        self.cinder.fail('volume_delete', 503)
        self._delete_server(server)
        self.assertTrue(base.os.path.exists(path))

    def test_forced_deletion_leaves_nothing(self):
        server = self.boot()
        self.api.post_server_action(server['id'], {'forceDelete': None})
        self._wait_until_deleted(server)
        self.assert_nothing_left()

    def test_deletion_of_a_server_in_error_leaves_nothing(self):
        server = self.boot()
        self.admin_api.post_server_action(
            server['id'], {'os-resetState': {'state': 'error'}})
        server = self._wait_for_state_change(server, 'ERROR',
                                             wait_for_fault_key=False)
        self._delete_server(server)
        self.assert_nothing_left()


class InterruptedDeletionTest(base.ArmServersTestCase):
    """What Cinder could not do with the server is done later."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()

    def assert_done_later(self):
        self.run_periodic_tasks()
        self.assert_nothing_left()

    def test_unreachable_cinder_does_not_keep_the_server(self):
        self.cinder.unreachable = True
        self._delete_server(self.server)
        self.cinder.unreachable = False
        self.assertEqual(1, len(self.cinder.volumes_left()))
        self.assert_done_later()

    def test_refused_deletion_of_the_volume_is_tried_again(self):
        self.cinder.fail('volume_delete', 400)
        self._delete_server(self.server)
        self.cinder.heal('volume_delete')
        self.assert_done_later()

    def test_refused_deletion_of_the_attachment_is_tried_again(self):
        self.cinder.fail('attachment_delete', 503)
        self._delete_server(self.server)
        self.cinder.heal('attachment_delete')
        self.assert_done_later()

    def test_intention_survives_a_restart_of_the_service(self):
        self.cinder.unreachable = True
        self._delete_server(self.server)
        self.restart_compute_service('compute1')
        self.cinder.unreachable = False
        self.assert_done_later()

    def test_server_of_another_that_lives_is_left_alone(self):
        other = self.boot()
        self.cinder.unreachable = True
        self._delete_server(self.server)
        self.cinder.unreachable = False
        self.run_periodic_tasks()
        self.assert_store_in_use(other)
        self.assertEqual(1, len(self.cinder.volumes_left()))


class SoftDeletionTest(base.ArmServersTestCase):
    """With reclaim_instance_interval a deleted server can be restored."""

    def setUp(self):
        super().setUp()
        self.flags(reclaim_instance_interval=3600)
        self.start_compute()
        self.server = self.boot()
        self.guest_writes(self.server, 'G')
        self.api.delete_server(self.server['id'])
        self._wait_for_state_change(self.server, 'SOFT_DELETED')

    def test_soft_deleted_server_keeps_its_store(self):
        self.assert_store_in_use(self.server)

    def test_restored_server_has_its_variables(self):
        self.api.post_server_action(self.server['id'], {'restore': {}})
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assert_store_in_use(self.server)
        self.assertEqual('G', self.guest_reads(self.server))

    def test_reclaimed_server_leaves_nothing(self):
        # Zero would mean never.
        self.flags(reclaim_instance_interval=1)
        self._wait_for_assert(self._reclaim)

    def _reclaim(self):
        self.computes['compute1'].manager._reclaim_queued_deletes(
            nova_context.get_admin_context())
        self.assert_nothing_left()

    def test_forced_deletion_leaves_nothing(self):
        self.api.post_server_action(self.server['id'], {'forceDelete': None})
        self._wait_until_deleted(self.server)
        self.assert_nothing_left()


class DeletionWhileBuildingTest(base.ArmServersTestCase):

    #: Requests return before they are carried out, as in real life.
    CAST_AS_CALL = False

    def setUp(self):
        super().setUp()
        self.start_compute()

    def delete_at(self, operation):
        """Delete a server when its build has come to an operation."""
        server = {}

        def delete():
            self.cinder.on(operation, lambda: None)
            [server['id']] = [each['id'] for each in self.api.get_servers()]
            self.api.delete_server(server['id'])

        self.cinder.on(operation, delete)
        self.api.post_server({'server': self._build_server(
            image_uuid=self.image, networks='none')})
        self._wait_for_assert(lambda: self.assertIn('id', server))
        self._wait_until_deleted(server)
        self._wait_for_assert(self.assert_nothing_left)

    def test_while_the_volume_is_made(self):
        self.delete_at('volume_create')

    def test_while_the_volume_is_attached(self):
        self.delete_at('attachment_create')

    def test_while_the_firmware_is_noted(self):
        self.delete_at('metadata_set')


class ReapedServerTest(base.ArmServersTestCase):
    """The server was deleted while its host was away."""

    def test_host_that_returns_removes_the_store(self):
        self.flags(running_deleted_instance_timeout=0)
        self.start_compute()
        server = self.boot()
        self.computes['compute1'].stop()
        service = self.admin_api.get_services(binary='nova-compute')[0]
        self.admin_api.put_service_force_down(service['id'], True)
        self._delete_server(server)
        self.assertEqual(1, len(self.cinder.volumes_left()))
        self.admin_api.put_service_force_down(service['id'], False)
        self.restart_compute_service('compute1')
        self.computes['compute1'].manager._cleanup_running_deleted_instances(
            nova_context.get_admin_context())
        self.assert_nothing_left()
