# SPDX-License-Identifier: Apache-2.0
"""What a guest wrote leaves the host's cache when it could be lost there."""
import fixtures
from nova.virt import event as virtevent

from nova_armvm.virt import reboots
from tests.functional import base


class FlushTest(base.ArmServersTestCase):
    """A server whose store is a kernel block device."""

    def setUp(self):
        super().setUp()
        self.flushed = []
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.host.privileged.flush', self.flush))
        self.flags(nvram_flush_interval=3600, group='armvm')
        self.start_compute()
        self.driver = self.computes['compute1'].driver
        self.server = self.boot()

    def flush(self, paths):
        self.flushed += paths
        return {}

    def assert_flushed(self):
        path = self.store_of(self.server).path
        self._wait_for_assert(lambda: self.assertIn(path, self.flushed))

    def test_guest_that_reboots_by_itself(self):
        # Nova's tests let libvirt connect, but start none of the threads
        # that pass events on.
        self.driver._host._event_handler = Queue(self.driver.emit_event)
        self.driver._handle_conn_event(True, None)
        self.domain(self.server).reset_inside()
        self.assert_flushed()

    def test_guest_that_stops(self):
        self.driver.emit_event(virtevent.LifecycleEvent(
            self.server['id'], virtevent.EVENT_LIFECYCLE_STOPPED))
        self.assert_flushed()

    def test_guest_that_only_starts_needs_none(self):
        self.driver.emit_event(virtevent.LifecycleEvent(
            self.server['id'], virtevent.EVENT_LIFECYCLE_STARTED))
        self.assertEqual([], self.flushed)

    def test_reboot_is_nothing_to_nova(self):
        told = []
        self.driver.register_event_listener(told.append)
        self.driver.emit_event(reboots.GuestRebooted(self.server['id']))
        self.assertEqual([], told)


class Queue:
    """Nova's queue of libvirt's events, with nothing between its ends."""

    def __init__(self, emit):
        self._queue_event = emit
