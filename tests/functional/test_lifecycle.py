# SPDX-License-Identifier: Apache-2.0
"""What a guest wrote is there after everything but the server's deletion."""
from nova.compute import task_states
from nova.compute import vm_states
from nova.tests.functional.api import client

from tests.fixtures.cinder import fixture as cinder_fixture
from tests.functional import base


class LifecycleTestCase(base.ArmServersTestCase):
    """A server whose guest has left the letter G in its flash."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()
        self.guest_writes(self.server, 'G')
        self.attachment = self.attachment_of(self.server).id

    def assert_store_kept(self):
        self.assert_store_in_use(self.server)
        self.assertEqual('G', self.guest_reads(self.server))


class PowerTest(LifecycleTestCase):

    def test_soft_reboot(self):
        with self.no_new_volume():
            self._reboot_server(self.server)
        self.assert_store_kept()
        self.assertEqual({}, self.domain(self.server).boots[-1])

    def test_hard_reboot(self):
        with self.no_new_volume():
            self._reboot_server(self.server, hard=True)
        self.assert_store_kept()

    def test_hard_reboot_many_times(self):
        for _time in range(3):
            self._reboot_server(self.server, hard=True)
        self.assert_store_kept()
        self.assertEqual(1, self.cinder.operations.count(
            'attachment_create'))

    def test_stopped_server_keeps_its_attachment(self):
        self._stop_server(self.server)
        self.assert_store_kept()
        self.assertEqual(self.attachment, self.attachment_of(self.server).id)

    def test_stop_and_start(self):
        self._stop_server(self.server)
        with self.no_new_volume():
            self._start_server(self.server)
        self.assert_store_kept()

    def test_pause_and_unpause(self):
        for action, status in (('pause', 'PAUSED'), ('unpause', 'ACTIVE')):
            self.admin_api.post_server_action(self.server['id'],
                                              {action: None})
            self._wait_for_state_change(self.server, status)
        self.assert_store_kept()

    def test_suspend_and_resume(self):
        self._suspend_server(self.server)
        domain = self.domain(self.server)
        boots = len(domain.boots)
        self._resume_server(self.server)
        self.assert_store_kept()
        self.assertIs(domain, self.domain(self.server))
        self.assertEqual(boots, len(domain.boots))

    def test_hard_reboot_of_a_suspended_server(self):
        self._suspend_server(self.server)
        self._reboot_server(self.server, hard=True)
        self.assert_store_kept()

    def test_start_without_the_volume_is_refused(self):
        self._stop_server(self.server)
        volume = self.store_of(self.server)
        del self.cinder.store.attachments[self.attachment]
        del self.cinder.store.volumes[volume.id]
        with self.no_new_volume():
            self.assertRaises(
                client.OpenStackApiException, self.api.post_server_action,
                self.server['id'], {'os-start': None})
        self._wait_for_state_change(self.server, 'SHUTOFF')
        text = self.reason(self.server, 'start')
        self.assertIn('missing', text)
        self.assert_fit_for_a_tenant(text)

    def test_start_with_an_empty_volume_is_refused(self):
        self._stop_server(self.server)
        with open(self.store_of(self.server).path, 'r+b') as device:
            device.write(bytes(1024 ** 2))
        self.assertRaises(
            client.OpenStackApiException, self.api.post_server_action,
            self.server['id'], {'os-start': None})
        domain = self.domain(self.server)
        self.assertTrue(domain is None or not domain.isActive())

    def test_start_while_cinder_is_away_fails_and_can_be_repeated(self):
        self._stop_server(self.server)
        self.cinder.unreachable = True
        self.assertRaises(
            client.OpenStackApiException, self.api.post_server_action,
            self.server['id'], {'os-start': None})
        self.cinder.unreachable = False
        self._start_server(self.server)
        self.assert_store_kept()

    def test_start_that_libvirt_refuses_can_be_repeated(self):
        self._stop_server(self.server)
        self.connection().refuse('start', 'no')
        self.assertRaises(
            client.OpenStackApiException, self.api.post_server_action,
            self.server['id'], {'os-start': None})
        self.connection().accept('start')
        self._start_server(self.server)
        self.assert_store_kept()

    def test_incomplete_attachment_of_a_dead_process_is_replaced(self):
        self._stop_server(self.server)
        volume = self.store_of(self.server)
        own = self.cinder.store.attachments[self.attachment]
        own.status = 'attaching'
        volume.status = volume.attach_status = 'attaching'
        self._start_server(self.server)
        self.assert_store_kept()
        self.assertNotEqual(self.attachment,
                            self.attachment_of(self.server).id)


class RestartTest(LifecycleTestCase):
    """The compute service or its host starts again."""

    def test_restarted_service_leaves_the_guest_alone(self):
        domain = self.domain(self.server)
        self.restart_compute_service('compute1')
        self.assertEqual(1, len(domain.boots))
        self.assert_store_kept()
        self._reboot_server(self.server, hard=True)
        self.assert_store_kept()

    def test_guest_is_started_again_after_a_host_boot(self):
        self.flags(resume_guests_state_on_host_boot=True)
        self.domain(self.server).destroy()
        with self.no_new_volume():
            self.restart_compute_service('compute1')
        self.assertTrue(self.domain(self.server).isActive())
        self.assert_store_kept()

    def interrupt(self, task_state):
        """Let the service die in the middle of something."""
        instance = self.instance(self.server)
        instance.task_state = task_state
        instance.save()

    def test_interrupted_hard_reboot_is_finished(self):
        self.interrupt(task_states.REBOOT_PENDING_HARD)
        self.domain(self.server).destroy()
        self.restart_compute_service('compute1')
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assertTrue(self.domain(self.server).isActive())
        self.assert_store_kept()
        self.assertEqual(self.attachment, self.attachment_of(self.server).id)

    def test_interrupted_soft_reboot_is_finished(self):
        self.interrupt(task_states.REBOOT_PENDING)
        self.restart_compute_service('compute1')
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assert_store_kept()
        self.assertEqual(self.attachment, self.attachment_of(self.server).id)

    def test_interrupted_start_is_finished(self):
        self._stop_server(self.server)
        self.interrupt(task_states.POWERING_ON)
        self.restart_compute_service('compute1')
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assert_store_kept()

    def test_interrupted_deletion_is_finished(self):
        self.interrupt(task_states.DELETING)
        self.restart_compute_service('compute1')
        self._wait_until_deleted(self.server)
        self.assert_nothing_left()


class DeadBuildTest(base.ArmServersTestCase):
    """The service dies while a server is built."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()
        instance = self.instance(self.server)
        instance.vm_state = vm_states.BUILDING
        instance.task_state = task_states.SPAWNING
        instance.launched_at = None
        instance.save()
        self.domain(self.server).destroy()
        self.domain(self.server).undefineFlags(
            base.fakelibvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)

    def assert_cleaned_with_the_server(self):
        self.restart_compute_service('compute1')
        server = self._wait_for_state_change(
            self.server, 'ERROR', wait_for_fault_key=False)
        self._delete_server(server)
        self.assert_nothing_left()

    def test_after_everything_was_done(self):
        self.assert_cleaned_with_the_server()

    def test_between_attachment_and_its_completion(self):
        volume = self.store_of(self.server)
        self.attachment_of(self.server).status = 'attaching'
        volume.status = volume.attach_status = 'attaching'
        self.assert_cleaned_with_the_server()

    def test_before_the_attachment(self):
        volume = self.store_of(self.server)
        del self.cinder.store.attachments[self.attachment_of(self.server).id]
        volume.status, volume.attach_status = 'available', 'detached'
        for path in self.own_files():
            base.os.unlink(path)
        self.assert_cleaned_with_the_server()


class ServiceProjectTest(base.ArmServersTestCase):
    """A server in the very project that the volumes are in.

    Nova's clean-up of attachments that it does not know sees ours here.
    """

    def test_reboot_keeps_the_store(self):
        self.start_compute()
        self.api.project_id = cinder_fixture.SERVICE_PROJECT
        self.admin_api.project_id = cinder_fixture.SERVICE_PROJECT
        server = self.boot()
        self.guest_writes(server, 'G')
        for hard in (False, True):
            self._reboot_server(server, hard=hard)
            self.assert_store_in_use(server)
            self.assertEqual('G', self.guest_reads(server))


class RescueTest(LifecycleTestCase):

    def setUp(self):
        super().setUp()
        self.store = self.store_of(self.server).path

    def rescue_store(self):
        """Return the path of the store that the rescue system has."""
        nvram = self.domain(self.server).live.find('os/nvram')
        self.assertIsNone(nvram.get('type'))
        self.assertNotEqual(self.store, nvram.text)
        return nvram.text

    def test_rescue_system_has_a_store_of_its_own(self):
        self._rescue_server(self.server)
        self.assertTrue(base.os.path.exists(self.rescue_store()))
        self.assertEqual('G', self.guest_reads(self.server))
        self.assertEqual(self.attachment, self.attachment_of(self.server).id)

    def test_rescue_boots_by_the_order_of_the_platform(self):
        self._rescue_server(self.server)
        self.assertNotEqual({}, self.domain(self.server).boots[-1])

    def test_unrescue_brings_the_own_store_back(self):
        self._rescue_server(self.server)
        scratch = self.rescue_store()
        self._unrescue_server(self.server)
        self.assert_store_kept()
        self.assertFalse(base.os.path.exists(scratch))

    def test_every_rescue_begins_with_an_empty_store(self):
        self._rescue_server(self.server)
        with open(self.rescue_store(), 'r+b') as scratch:
            scratch.write(b'what the first rescue wrote')
        self._unrescue_server(self.server)
        self._rescue_server(self.server)
        with open(self.rescue_store(), 'rb') as scratch:
            self.assertEqual(bytes(16), scratch.read(16))

    def test_server_in_rescue_can_be_deleted(self):
        self._rescue_server(self.server)
        scratch = self.rescue_store()
        self._delete_server(self.server)
        self.assertFalse(base.os.path.exists(scratch))
        self.assert_nothing_left()


class StableDeviceRescueTest(LifecycleTestCase):
    """The rescue system has a disk more, and the server's disks with it."""

    def setUp(self):
        super().setUp()
        self.rescue_image = self.make_image(
            **base.ARM_IMAGE, hw_rescue_device='disk', hw_rescue_bus='virtio')

    def rescue(self):
        self.api.post_server_action(self.server['id'], {
            'rescue': {'rescue_image_ref': self.rescue_image}})
        self._wait_for_state_change(self.server, 'RESCUE')

    def test_rescue_system_has_a_store_of_its_own(self):
        self.rescue()
        disks = self.domain(self.server).live.findall(
            "devices/disk[@device='disk']")
        self.assertEqual(2, len(disks))
        nvram = self.domain(self.server).live.find('os/nvram')
        self.assertIsNone(nvram.get('type'))
        self.assertEqual('G', self.guest_reads(self.server))
        self.assertEqual(self.attachment, self.attachment_of(self.server).id)

    def test_rescue_disk_is_booted(self):
        self.rescue()
        [(alias, index)] = self.domain(self.server).boots[-1].items()
        self.assertEqual(('virtio-disk1', 1), (alias, index))

    def test_unrescue_brings_the_own_store_back(self):
        self.rescue()
        self._unrescue_server(self.server)
        self.assert_store_kept()


class RebuildTest(LifecycleTestCase):

    def test_rebuild_to_another_image_begins_with_an_empty_store(self):
        with self.no_new_volume():
            self._rebuild_server(self.server,
                                 self.make_image(**base.ARM_IMAGE))
        self.assert_store_in_use(self.server)
        self.assertEqual('', self.guest_reads(self.server))

    def test_rebuild_begins_with_an_empty_store(self):
        with self.no_new_volume():
            self._rebuild_server(self.server, self.image)
        self.assert_store_in_use(self.server)
        self.assertEqual('', self.guest_reads(self.server))

    def test_rebuild_to_a_volatile_image_ends_the_store(self):
        self._rebuild_server(self.server, self.make_image(
            **base.ARM_IMAGE, hw_armvm_nvram='volatile'))
        self.assertEqual([], self.cinder.volumes_left())
