# SPDX-License-Identifier: Apache-2.0
import os
import threading

import fixtures
from nova.tests import fixtures as nova_fixtures
import testtools

from nova_armvm.host import privileged
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


class Hosted:
    """The stores of a host; each value is a device, or an error."""

    def __init__(self, **devices):
        self.devices = devices

    def device_paths(self):
        return [path for instance in self.devices
                for path in self.device_paths_of(instance)]

    def device_paths_of(self, instance):
        found = self.devices.get(instance)
        if isinstance(found, Exception):
            raise found
        return [found] if found else []


class FlusherTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.flushed = []
        self.done = threading.Event()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.host.privileged.flush', self.flush))

    def flush(self, paths):
        self.flushed.append(paths)
        self.done.set()
        return {}

    def flusher(self, interval=3600, **devices):
        return flusher.Flusher(interval, Hosted(**devices))

    def test_all_devices_in_one_call(self):
        self.flusher(one='a', two='b').flush_all()
        self.assertEqual([['a', 'b']], self.flushed)

    def test_host_without_block_devices_asks_nothing(self):
        self.flusher(one=None).flush_all()
        self.assertEqual([], self.flushed)

    def test_records_that_cannot_be_read_do_not_end_it(self):
        log = self.useFixture(fixtures.FakeLogger())
        self.flusher(one=OSError('Input/output error')).flush_all()
        self.assertEqual([], self.flushed)
        self.assertIn('Input/output error', log.output)

    def test_guest_that_stops_does_not_wait_for_its_turn(self):
        self.flusher(one='a', two='b').soon('two')
        self.assertTrue(self.done.wait(30))
        self.assertEqual([['b']], self.flushed)

    def test_guest_without_a_block_device_that_stops(self):
        self.flusher(one=None).soon('one')
        self.flusher(one=None).soon('of-the-stock-driver')
        self.assertEqual([], self.flushed)

    def test_again_and_again(self):
        self.flusher(interval=0.01, one='a').start()
        for _round in range(2):
            self.assertTrue(self.done.wait(30))
            self.done.clear()
