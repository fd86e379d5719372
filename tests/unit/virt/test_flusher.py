# SPDX-License-Identifier: Apache-2.0
import os
import threading

import fixtures
from nova.tests import fixtures as nova_fixtures
import testtools

from nova_armvm.nvram import privileged
from nova_armvm.virt import flusher


class FlushTest(testtools.TestCase):
    """The privileged part."""

    def setUp(self):
        super().setUp()
        self.useFixture(nova_fixtures.PrivsepFixture())
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.device = os.path.join(self.directory, 'device')
        with open(self.device, 'wb'):
            pass

    def test_device_is_flushed(self):
        flushed = []
        self.useFixture(fixtures.MonkeyPatch(
            'os.fsync', lambda fd: flushed.append(
                os.readlink(f'/proc/self/fd/{fd}'))))
        self.assertEqual({}, privileged.flush([self.device]))
        self.assertEqual([self.device], flushed)

    def test_device_that_is_gone_is_no_failure(self):
        self.assertEqual({}, privileged.flush([self.device + '-gone']))

    def test_failure_of_one_does_not_keep_the_next_from_it(self):
        broken = os.path.join(self.device, 'below-a-file')
        flushed = []
        self.useFixture(fixtures.MonkeyPatch('os.fsync', flushed.append))
        self.assertEqual({broken: 'Not a directory'},
                         privileged.flush([broken, self.device]))
        self.assertEqual(1, len(flushed))


class FlusherTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.flushed = []
        self.done = threading.Event()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.nvram.privileged.flush', self.flush))

    def flush(self, paths):
        self.flushed.append(paths)
        self.done.set()
        return {}

    def test_all_devices_in_one_call(self):
        flusher.Flusher(10, lambda: ['a', 'b']).flush()
        self.assertEqual([['a', 'b']], self.flushed)

    def test_host_without_block_devices_asks_nothing(self):
        flusher.Flusher(10, lambda: []).flush()
        self.assertEqual([], self.flushed)

    def test_records_that_cannot_be_read_do_not_end_it(self):
        def unreadable():
            raise OSError('Input/output error')

        flusher.Flusher(10, unreadable).flush()
        self.assertEqual([], self.flushed)

    def test_guest_that_stops_does_not_wait_for_its_turn(self):
        running = flusher.Flusher(3600, lambda: ['a'])
        running.start()
        running.soon()
        self.assertTrue(self.done.wait(30))

    def test_again_and_again(self):
        running = flusher.Flusher(0.01, lambda: ['a'])
        running.start()
        for _round in range(2):
            self.assertTrue(self.done.wait(30))
            self.done.clear()
