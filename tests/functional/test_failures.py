# SPDX-License-Identifier: Apache-2.0
"""Whatever fails in a first boot says so and leaves nothing behind."""
import os

import fixtures
from nova import exception as nova_exception

from nova_armvm.store import metadata as facts
from tests.fixtures.cinder import fixture as cinder_fixture
from tests.functional import base

#: As libvirt may put it, with things that are none of a tenant's business.
LIBVIRT_MESSAGE = ('internal error: process exited while connecting to '
                   'monitor: -drive file=/dev/sdq,password=hunter2: '
                   'Permission denied')


class NoSpace:
    """Lets a device fail after so many writes.

    :ivar remaining: writes that still succeed, None for all.
    """

    def __init__(self) -> None:
        self.remaining: int | None = None
        self._write = os.pwritev

    def __call__(self, fd, buffers, offset):
        if self.remaining == 0:
            raise OSError(28, 'No space left on device', '/dev/sdq')
        if self.remaining is not None:
            self.remaining -= 1
        return self._write(fd, buffers, offset)


class FailureTestCase(base.ArmServersTestCase):

    #: How many hosts Nova tries. With more than one, the fault of a server
    #: that none of them could build has Nova's words for just that.
    ATTEMPTS = 1

    def setUp(self):
        super().setUp()
        self.device = NoSpace()
        self.useFixture(fixtures.MonkeyPatch('os.pwritev', self.device))
        self.flags(max_attempts=self.ATTEMPTS, group='scheduler')
        self.flags(block_device_allocate_retries=1)
        self.start_compute()

    def failed_boot(self):
        """Let a server fail to boot; return what the tenant is told."""
        server = self.boot(expected_state='ERROR')
        text = server['fault']['message']
        self.assert_fit_for_a_tenant(text)
        # Nova cuts what is longer than 255 characters.
        self.assertEqual('.', text[-1], text)
        self.server = server
        return text

    def assert_nothing_left_of_it(self):
        self.assert_nothing_left()
        self.assertEqual([], os.listdir(base.CONF.instances_path))


class FailureInCinderTest(FailureTestCase):

    def test_unreachable(self):
        self.cinder.unreachable = True
        self.assertIn('could not be reached', self.failed_boot())
        self.cinder.unreachable = False
        self.run_periodic_tasks()
        self.assert_nothing_left_of_it()

    def test_broken(self):
        self.cinder.fail('volume_create', 503)
        self.assertIn('could not be reached', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_over_quota(self):
        self.cinder.store.quota[cinder_fixture.SERVICE_PROJECT] = 0
        self.assertIn('quota', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_forbidden(self):
        self.cinder.fail('volume_create', 403)
        self.assertIn('refused to make the volume', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_volume_goes_to_error(self):
        self.cinder.store.behaviour.creation_ends_in = 'error'
        self.assertIn('status "error"', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_volume_is_never_available(self):
        self.cinder.store.behaviour.creation_ends_in = None
        self.assertIn('not available after 1 seconds', self.failed_boot())
        # Cinder deletes no volume that it is still making.
        self.cinder.store.behaviour.creation_ends_in = 'available'
        self.cinder.store.settle()
        self.run_periodic_tasks()
        self.assert_nothing_left_of_it()

    def test_answer_to_the_creation_is_lost(self):
        self.cinder.fail('volume_create', 504, after=True)
        self.assertIn('could not be reached', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_attachment_is_refused(self):
        self.cinder.fail('attachment_create', 400)
        self.assertIn('could not be attached', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_back_end_cannot_export_the_volume(self):
        self.cinder.store.behaviour.refuses_connection = True
        self.assertIn('could not be attached', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_attachment_cannot_be_completed(self):
        self.cinder.fail('attachment_complete', 400)
        self.assertIn('complete the attachment', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_firmware_cannot_be_noted_and_is_at_the_next_start(self):
        self.cinder.fail('metadata_set', 400, times=1)
        server = self.boot()
        known = self.cinder.volumes_left()[0].metadata
        self.assertNotIn(facts.FLASH_SIZE_KEY, known)
        self._stop_server(server)
        self._start_server(server)
        known = self.cinder.volumes_left()[0].metadata
        self.assertEqual(str(base.firmware.FLASH_SIZE),
                         known[facts.FLASH_SIZE_KEY])

    def test_volume_is_read_only(self):
        self.cinder.store.behaviour.connection['access_mode'] = 'ro'
        self.assertIn('read-only', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_volume_is_encrypted(self):
        self.cinder.store.behaviour.connection['encrypted'] = True
        self.assertIn('encrypted', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_failed_server_can_be_deleted(self):
        self.cinder.fail('attachment_create', 400)
        self.failed_boot()
        self._delete_server(self.server)
        self.assert_nothing_left_of_it()


class FailureBeforeSpawnTest(FailureTestCase):
    """Nova's own steps fail when the volume is being made already."""

    def fail_when_volume_is_there(self, method, error):
        def fail(*_unused, **_unused_too):
            self._wait_for_assert(
                lambda: self.assertTrue(self.cinder.volumes_left()),
                sleep=0.1)
            raise error
        self.useFixture(fixtures.MonkeyPatch(
            f'nova.compute.manager.ComputeManager.{method}', fail))

    def test_block_devices_cannot_be_prepared(self):
        self.fail_when_volume_is_there(
            '_prep_block_device', nova_exception.InvalidBDM())
        self.failed_boot()
        self.assertEqual(1, self.cinder.operations.count('volume_create'))
        self.assert_nothing_left_of_it()

    def test_cinder_is_away_then(self):
        self.cinder.fail('volume_delete', 503)
        self.fail_when_volume_is_there(
            '_prep_block_device', nova_exception.InvalidBDM())
        self.failed_boot()
        self.assertEqual(1, len(self.cinder.volumes_left()))
        self.cinder.heal('volume_delete')
        self.run_periodic_tasks()
        self.assert_nothing_left_of_it()


class FailureOnTheHostTest(FailureTestCase):

    def test_seed_fails_half_way(self):
        self.device.remaining = 2
        text = self.failed_boot()
        self.assertIn('template could not be written', text)
        self.device.remaining = None
        self.assert_nothing_left_of_it()

    def test_template_is_broken(self):
        for firmware in self.firmware.known:
            os.truncate(firmware.template, 0)
        self.failed_boot()
        self.assert_nothing_left_of_it()

    def test_device_does_not_appear(self):
        self.cinder.store.behaviour.connection['device_path'] = '/dev/none'
        self.assertIn('could not be read', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_libvirt_refuses_the_definition(self):
        self.connection().refuse('define', LIBVIRT_MESSAGE)
        self.assertIn('hypervisor', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_libvirt_refuses_the_start(self):
        self.connection().refuse('start', LIBVIRT_MESSAGE)
        self.assertIn('hypervisor', self.failed_boot())
        self.assert_nothing_left_of_it()

    def test_no_firmware_with_a_template_fits(self):
        server = self.boot(
            self.make_image(**base.ARM_IMAGE, os_secure_boot='required'))
        self._delete_server(server)
        self.firmware.known = [firmware for firmware in self.firmware.known
                               if not firmware.secure_boot]
        server = self.boot(
            self.make_image(**base.ARM_IMAGE, os_secure_boot='required'),
            expected_state='ERROR')
        # Nova 32 finds it out before libvirt does.
        self.assertRegex(server['fault']['message'],
                         'hypervisor|Secure Boot is not supported')
        self.assert_nothing_left_of_it()

    def test_next_server_boots(self):
        self.connection().refuse('start', LIBVIRT_MESSAGE)
        self.failed_boot()
        self.connection().accept('start')
        self.assert_store_in_use(self.boot())


class RescheduleTest(FailureTestCase):
    """Nova's second try, on another host."""

    ATTEMPTS = 3

    def setUp(self):
        super().setUp()
        self.start_compute('compute2')

    def assert_runs_on_second_host(self, server):
        self.assert_store_in_use(server, 'compute2')
        self.assertEqual({}, self.connection('compute1')._vms)
        self.assertEqual([], self.own_files('compute1'))

    def test_first_host_is_preferred(self):
        self.assert_store_in_use(self.boot(), 'compute1')

    def test_after_libvirt_refused(self):
        self.connection('compute1').refuse('start', LIBVIRT_MESSAGE)
        self.assert_runs_on_second_host(self.boot())

    def test_after_the_attachment_was_refused(self):
        self.cinder.fail('attachment_create', 400, times=1)
        self.assert_runs_on_second_host(self.boot())

    def test_after_the_seed_failed(self):
        self.device.remaining = 2
        self.cinder.on('volume_delete',
                       lambda: setattr(self.device, 'remaining', None))
        server = self.boot()
        self.assert_runs_on_second_host(server)
        self.assertEqual(base.firmware.FLASH_SIZE, len(self.flash(server)))

    def test_hopeless_failure_is_not_tried_elsewhere(self):
        self.cinder.store.quota[cinder_fixture.SERVICE_PROJECT] = 0
        self.assertIn('quota', self.failed_boot())
        self.assertEqual(1, self.cinder.operations.count('volume_create'))
        self.assert_nothing_left_of_it()

    def test_back_end_that_fails_once_is_tried_from_elsewhere(self):
        self.cinder.fail('attachment_create', 500, times=1)
        self.assert_runs_on_second_host(self.boot())

    def test_left_over_that_is_in_the_way_ends_the_tries(self):
        self.connection('compute1').refuse('start', LIBVIRT_MESSAGE)
        self.cinder.fail('volume_delete', 400)
        self.failed_boot()
        self.assertEqual(1, len(self.cinder.volumes_left()))
        self.cinder.heal('volume_delete')
        self._delete_server(self.server)
        self.run_periodic_tasks()
        self.assert_nothing_left_of_it()
