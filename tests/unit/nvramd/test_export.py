# SPDX-License-Identifier: Apache-2.0
import errno
import threading
import time

import testtools

from nova_armvm.nvramd import committer
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import export
from tests.unit.nvramd import edk2
from tests.unit.nvramd import stage

KIB = 1024
REGION = 768 * KIB


def flash_of(served):
    return served.pread(0, REGION)


def error_of(action, *arguments):
    """Return the number of the error that QEMU is told."""
    try:
        action(*arguments)
    except OSError as error:
        return error.errno
    return None


class ReadWriteTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.served = self.host.serve()

    def test_unformatted_flash_is_all_zeros(self):
        self.assertEqual(bytes(REGION), flash_of(self.served))
        self.assertEqual(bytes(8192), self.served.pread(REGION - 4096, 8192))
        self.assertEqual(bytes(KIB),
                         self.served.pread(stage.FLASH - KIB, KIB))

    def test_what_is_written_is_read_back(self):
        self.served.pwrite(1000, b'some bytes')
        self.served.pwrite(REGION - 3, b'end')
        self.assertEqual(b'some bytes', self.served.pread(1000, 10))
        self.assertEqual(b'end' + bytes(5), self.served.pread(REGION - 3, 8))

    def test_nothing_beyond_the_flash_is_reachable(self):
        for offset, length in ((-1, 1), (stage.FLASH, 1), (stage.FLASH - 1, 2),
                               (1 << 62, 1), (-(1 << 62), 1 << 62)):
            self.assertEqual(errno.EINVAL,
                             error_of(self.served.pread, offset, length))
            self.assertEqual(errno.EINVAL,
                             error_of(self.served.extents, offset, length))
            self.assertEqual(errno.EINVAL,
                             error_of(self.served.pzero, offset, length))
        self.assertEqual(errno.EINVAL,
                         error_of(self.served.pwrite, stage.FLASH, b'x'))
        self.assertEqual(errno.EINVAL, error_of(self.served.pwrite, -1, b'x'))
        self.assertEqual(errno.EINVAL, error_of(self.served.pread, 5, -1))

    def test_empty_requests_are_harmless(self):
        self.assertEqual(b'', self.served.pread(stage.FLASH, 0))
        self.served.pwrite(stage.FLASH, b'')
        self.served.pzero(0, 0)
        self.assertEqual([], self.served.extents(5, 0))

    def test_blank_writes_behind_the_store_are_dropped(self):
        self.served.pwrite(REGION, bytes(4096))
        self.served.pwrite(stage.FLASH - 4096, b'\xff' * 4096)
        self.served.pzero(0, stage.FLASH)
        self.assertEqual(bytes(4096), self.served.pread(REGION, 4096))

    def test_a_guest_cannot_fill_the_memory_of_the_host(self):
        for offset, content in ((REGION, b'x'), (stage.FLASH - 1, b'\x01'),
                                (REGION, b'\0\xff')):
            self.assertEqual(errno.EPERM,
                             error_of(self.served.pwrite, offset, content))

    def test_refused_write_changes_nothing(self):
        before = flash_of(self.served)
        self.assertEqual(errno.EPERM, error_of(
            self.served.pwrite, REGION - 10, b'x' * 20))
        self.assertEqual(before, flash_of(self.served))

    def test_only_the_store_is_data_all_else_a_hole(self):
        self.assertEqual([(0, REGION, False),
                          (REGION, stage.FLASH - REGION, True)],
                         self.served.extents(0, stage.FLASH))
        self.assertEqual([(10, 20, False)], self.served.extents(10, 20))
        self.assertEqual([(REGION + 5, 7, True)],
                         self.served.extents(REGION + 5, 7))

    def test_a_flash_arrives_in_two_pieces_of_half_its_size(self):
        flash = edk2.empty_store().ljust(stage.FLASH, b'\0')
        half = stage.FLASH // 2
        self.served.pwrite(0, flash[:half])
        self.served.pwrite(half, flash[half:])
        self.assertEqual(flash[:REGION], flash_of(self.served))


class CommitTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.disk = self.host.disks['/dev/a']
        self.served = self.host.serve()
        self.firmware = stage.firmware(self.served)

    def test_variable_is_on_the_volume_when_it_is_set(self):
        for number in range(3):
            self.firmware.set('Name', b'content %d' % number)
            self.assertEqual({'Name': b'content %d' % number},
                             stage.variables(self.disk))

    def test_each_commit_is_a_version(self):
        before = self.served.state()['sequence']
        self.firmware.set('One', b'1')
        self.firmware.set('Two', b'2')
        state = self.served.state()
        self.assertEqual(before + 2, state['sequence'])
        self.assertEqual(('whole', 'start', 2, None),
                         (state['state'], state['mode'], state['epoch'],
                          state['commit_error']))

    def test_writes_that_change_no_variable_cost_no_commit(self):
        self.firmware.set('Name', b'content')
        writes = self.disk.writes
        flash = flash_of(self.served)
        for offset in range(0, REGION, 64 * KIB):
            self.served.pwrite(offset, flash[offset:offset + 64 * KIB])
        self.assertEqual(writes, self.disk.writes)

    def test_guest_waits_until_the_volume_takes_the_commit(self):
        def fail(_number):
            raise OSError(errno.EIO, 'Input/output error')
        self.disk.fail = fail
        setting = stage.Background(
            lambda: self.firmware.set('Name', b'content'))
        self._wait_for_error('Input/output error')
        self.assertFalse(setting.is_done)
        self.disk.fail = lambda _number: None
        self.assertIsNone(setting.join())
        self.assertEqual({'Name': b'content'}, stage.variables(self.disk))
        self.assertIsNone(self.served.state()['commit_error'])

    def _wait_for_error(self, expected, served=None):
        end = time.monotonic() + 10
        while (served or self.served).state()['commit_error'] != expected:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_a_full_back_end_is_a_failure_as_any_other(self):
        def fail(number):
            if number < full + 3:
                raise OSError(errno.ENOSPC, 'No space left on device')
        full = self.disk.writes
        self.disk.fail = fail
        self.firmware.set('Name', b'content')
        self.assertEqual({'Name': b'content'}, stage.variables(self.disk))

    def test_commit_is_repeated_when_its_answer_was_lost(self):
        self.firmware.set('Before', b'')

        def fail(number):
            if number == self.disk.writes:
                self.disk.fail = lambda _number: None
                raise OSError(errno.ETIMEDOUT, 'Connection timed out')
        # Arrives whole, and the host is told that it failed.
        self.disk.torn = 1 << 20
        self.disk.fail = fail
        self.firmware.set('Name', b'content')
        self.firmware.set('After', b'')
        self.assertEqual({'Before': b'', 'Name': b'content', 'After': b''},
                         stage.variables(self.disk))

    def test_torn_commit_is_repeated(self):
        for torn in (0, 512, 1024, 4096):
            self.disk.torn = torn

            def fail(_number):
                self.disk.fail = lambda _number: None
                raise OSError(errno.EIO, 'Input/output error')
            self.disk.fail = fail
            self.firmware.set('Name', b'%d' % torn)
            self.assertEqual({'Name': b'%d' % torn},
                             stage.variables(self.disk))

    def test_fault_of_the_service_is_no_reason_to_answer(self):
        def fail(_number):
            self.disk.fail = lambda _number: None
            raise KeyError('a mistake')
        self.disk.fail = fail
        self.firmware.set('Name', b'content')
        self.assertEqual({'Name': b'content'}, stage.variables(self.disk))
        self.assertIn('Traceback', self.host.log.output)

    def test_a_volume_that_fails_holds_up_no_other_flash(self):
        self.host.disks['/dev/b'] = stage.Disk()
        other = self.host.serve(instance=stage.OTHER, path='/dev/b')
        going = threading.Event()
        self.disk.fail = lambda _number: going.wait(30)
        setting = stage.Background(
            lambda: self.firmware.set('Name', b'content'))
        stage.firmware(other).set('Other', b'content')
        self.assertEqual({'Other': b'content'}, stage.variables(
            self.host.disks['/dev/b'], stage.OTHER))
        states = self.host.service.list()['states']
        self.assertEqual(2, len(states))
        going.set()
        self.assertIsNone(setting.join())

    def test_stop_ends_a_commit_that_does_not_work(self):
        def fail(_number):
            raise OSError(errno.EIO, 'Input/output error')
        self.disk.fail = fail
        setting = stage.Background(
            lambda: self.firmware.set('Name', b'content'))
        self._wait_for_error('Input/output error')
        self.host.service.stop(stage.INSTANCE)
        self.assertEqual(errno.ESHUTDOWN, setting.join().errno)

    def test_stop_tells_when_a_write_does_not_end(self):
        self.patch(export, 'LOCK_TIMEOUT', 0.1)
        going = threading.Event()
        self.disk.fail = lambda _number: going.wait(30)
        setting = stage.Background(
            lambda: self.firmware.set('Name', b'content'))
        while not self.served._lock.locked():
            time.sleep(0.01)
        self.assertRaises(errors.VolumeFailed, self.host.service.stop,
                          stage.INSTANCE)
        self.assertFalse(self.host.service.state(stage.INSTANCE)['served'])
        going.set()
        setting.join()
        self.host.service.stop(stage.INSTANCE)
        self.assertRaises(errors.NotServed, self.host.service.export,
                          stage.INSTANCE)

    def test_volume_that_does_not_answer_is_told(self):
        self.patch(committer, 'SILENT_AFTER', 0.1)
        going = threading.Event()
        self.disk.fail = lambda _number: going.wait(30)
        setting = stage.Background(
            lambda: self.firmware.set('Name', b'content'))
        self._wait_for_error('the volume has not answered for 0 seconds')
        going.set()
        self.assertIsNone(setting.join())
        self.assertIsNone(self.served.state()['commit_error'])

    def test_client_that_hung_up_ends_the_wait(self):
        def fail(_number):
            raise OSError(errno.EIO, 'Input/output error')
        self.disk.fail = fail
        written = []
        content = bytearray(flash_of(self.served))
        made = edk2.Firmware(content, edk2.EDK2_2025_02,
                             lambda *write: written.append(write))
        made.boot()
        made.set('Name', b'content')
        last = None
        for offset, new in written:
            last = offset, new
            if error_of(self.served.pwrite, offset, new, lambda: False):
                break
        self.assertEqual(errno.EIO, error_of(
            self.served.pwrite, *last, lambda: False))
        self.disk.fail = lambda _number: None
        # QEMU connects again and repeats the write that was not answered.
        self.served.pwrite(*last)
        self.assertEqual({'Name': b'content'}, stage.variables(self.disk))


class TakenOverTest(testtools.TestCase):
    """Another host has claimed the store."""

    def setUp(self):
        super().setUp()
        self.disks = {'/dev/a': stage.Disk()}
        self.host = self.useFixture(stage.Host(self.disks))
        self.other = self.useFixture(stage.Host(self.disks))
        self.served = self.host.serve()
        self.firmware = stage.firmware(self.served)
        self.firmware.set('Name', b'before')

    def test_host_that_lost_the_store_cannot_write_any_more(self):
        taken = self.other.serve(store=None, owner='host-2')
        self.assertRaises(OSError, self.firmware.set, 'Name', b'late')
        state = self.served.state()
        self.assertTrue(state['fenced'])
        self.assertEqual(errno.EIO, error_of(self.served.pwrite, 0, b'x'))
        self.assertEqual({'Name': b'before'},
                         stage.variables(self.disks['/dev/a']))
        stage.firmware(taken).set('Name', b'new')
        self.assertEqual({'Name': b'new'},
                         stage.variables(self.disks['/dev/a']))

    def test_what_it_has_can_still_be_read(self):
        self.other.serve(store=None, owner='host-2')
        self.assertRaises(OSError, self.firmware.set, 'Name', b'late')
        self.assertIn(b'_FVH', self.served.pread(0, 4096))
        self.assertRaises(errors.Fenced, self.served.verify,
                          flash_of(self.served), True)

    def test_a_new_log_on_the_volume_is_not_written_to(self):
        self.other.open()
        self.other.service.format(stage.INSTANCE, stage.FLASH, b'', 'rebuild')
        self.assertRaises(OSError, self.firmware.set, 'Name', b'late')
        self.assertEqual({}, stage.variables(self.disks['/dev/a']))

    def test_it_can_take_the_store_back(self):
        self.other.serve(store=None, owner='host-2')
        self.assertRaises(OSError, self.firmware.set, 'Name', b'late')
        self.host.service.stop(stage.INSTANCE)
        again = self.host.serve(store=None)
        stage.firmware(again).set('Name', b'again')
        self.assertEqual({'Name': b'again'},
                         stage.variables(self.disks['/dev/a']))


class ArrivalTest(testtools.TestCase):
    """A guest comes running from another host."""

    def setUp(self):
        super().setUp()
        self.disks = {'/dev/a': stage.Disk()}
        self.disk = self.disks['/dev/a']
        self.source = self.useFixture(stage.Host(self.disks))
        self.destination = self.useFixture(stage.Host(self.disks))
        self.there = self.source.serve()
        self.firmware = stage.firmware(self.there)
        self.firmware.set('Name', b'before')
        self.here = self.destination.serve('incoming', store=None,
                                           owner='host-2')

    def _arrive(self):
        flash = flash_of(self.there).ljust(stage.FLASH, b'\0')
        for offset in range(0, stage.FLASH, 256 * KIB):
            self.here.pwrite(offset, flash[offset:offset + 256 * KIB])
        self.firmware.nor.written = self.here.pwrite

    def test_source_goes_on_until_the_guest_has_arrived(self):
        self.firmware.set('Name', b'meanwhile')
        self.assertEqual({'Name': b'meanwhile'}, stage.variables(self.disk))
        self.assertIsNone(self.here.state()['epoch'])

    def test_arrival_alone_claims_nothing(self):
        self._arrive()
        self.firmware.nor.written = self.there.pwrite
        self.assertIsNone(self.here.state()['epoch'])
        self.assertEqual('whole', self.here.state()['state'])
        # The migration was given up after all.
        self.firmware.set('Name', b'source')
        self.assertEqual({'Name': b'source'}, stage.variables(self.disk))

    def test_first_change_claims_the_store(self):
        self._arrive()
        self.firmware.set('Name', b'destination')
        self.assertEqual({'Name': b'destination'},
                         stage.variables(self.disk))
        self.assertIsNotNone(self.here.state()['epoch'])
        self.firmware.nor.written = self.there.pwrite
        self.assertRaises(OSError, self.firmware.set, 'Name', b'source')

    def test_what_the_source_wrote_meanwhile_is_not_lost(self):
        for number in range(40):
            self.firmware.set('Meanwhile', bytes([number]) * 8000)
        self.assertGreater(self.firmware.rewrites, 0)
        self._arrive()
        self.assertEqual('whole', self.here.state()['state'])
        self.firmware.set('Name', b'destination')
        found = stage.variables(self.disk)
        self.assertEqual(b'destination', found['Name'])
        self.assertEqual(bytes([39]) * 8000, found['Meanwhile'])

    def test_take_claims_the_store_at_once(self):
        state = self.destination.service.take(stage.INSTANCE)
        self.assertIsNotNone(state['epoch'])
        self.assertRaises(OSError, self.firmware.set, 'Name', b'source')

    def test_take_before_the_flash_has_come_keeps_what_the_source_wrote(self):
        self.firmware.set('Name', b'meanwhile')
        self.destination.service.take(stage.INSTANCE)
        self.assertEqual({'Name': b'meanwhile'}, stage.variables(self.disk))
        self._arrive()
        self.firmware.set('Other', b'')
        self.assertEqual({'Name': b'meanwhile', 'Other': b''},
                         stage.variables(self.disk))

    def test_take_in_the_middle_of_the_arrival(self):
        self.firmware.set('Name', b'meanwhile')
        flash = flash_of(self.there).ljust(stage.FLASH, b'\0')
        self.here.pwrite(0, flash[:256 * KIB])
        self.destination.service.take(stage.INSTANCE)
        self.here.pwrite(256 * KIB, flash[256 * KIB:])
        self.firmware.nor.written = self.here.pwrite
        self.firmware.set('Name', b'destination')
        self.assertEqual({'Name': b'destination'},
                         stage.variables(self.disk))

    def test_service_dies_in_the_middle_of_the_arrival(self):
        self.firmware.set('Name', b'meanwhile')
        flash = flash_of(self.there).ljust(stage.FLASH, b'\0')
        self.here.pwrite(0, flash[:256 * KIB])
        self.destination.start()
        self.here = self.destination.service.export(stage.INSTANCE)
        self.here.pwrite(0, flash[:256 * KIB])
        self.here.pwrite(256 * KIB, flash[256 * KIB:])
        self.firmware.nor.written = self.here.pwrite
        self.assertEqual('whole', self.here.state()['state'])
        self.firmware.set('Name', b'destination')
        self.assertEqual({'Name': b'destination'},
                         stage.variables(self.disk))

    def test_service_dies_before_the_arrival(self):
        self.destination.start()
        self.here = self.destination.service.export(stage.INSTANCE)
        for number in range(40):
            self.firmware.set('Name', bytes([number]) * 8000)
        self._arrive()
        self.firmware.set('Other', b'x')
        found = stage.variables(self.disk)
        self.assertEqual({'Name': bytes([39]) * 8000, 'Other': b'x'}, found)


class VerifyTest(testtools.TestCase):
    """QEMU gave up while the service was away."""

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.disk = self.host.disks['/dev/a']
        self.served = self.host.serve()
        self.firmware = stage.firmware(self.served)
        self.firmware.set('Name', b'before')
        self.served.gate.gap = True

    def _lose(self, *variables):
        """Have the guest set variables that do not arrive."""
        self.firmware.nor.written = lambda _offset, _content: None
        for name in variables:
            self.firmware.set(name, b'lost')
        self.firmware.nor.written = self.served.pwrite

    def _verify(self, **arguments):
        return self.host.service.verify(
            stage.INSTANCE, bytes(self.firmware.nor.content[:REGION]),
            **arguments)

    def test_equal_flash_closes_the_gap(self):
        self.assertEqual(
            {'equal': True, 'variables_differ': False, 'adopted': False},
            self._verify(adopt=True))
        self.assertFalse(self.served.state()['gap'])

    def test_difference_is_told_and_left(self):
        self._lose('Lost')
        self.assertEqual(
            {'equal': False, 'variables_differ': True, 'adopted': False},
            self._verify(adopt=False))
        self.assertTrue(self.served.state()['gap'])
        self.assertEqual({'Name': b'before'}, stage.variables(self.disk))

    def test_lost_variables_are_adopted_and_committed(self):
        self._lose('Lost')
        self.assertTrue(self._verify(adopt=True)['adopted'])
        self.assertFalse(self.served.state()['gap'])
        self.assertEqual({'Name': b'before', 'Lost': b'lost'},
                         stage.variables(self.disk))
        self.firmware.set('After', b'')
        self.assertEqual({'Name', 'Lost', 'After'},
                         set(stage.variables(self.disk)))

    def test_what_was_read_before_a_write_is_not_adopted(self):
        writes = self.served.state()['writes']
        flash = bytes(self.firmware.nor.content[:REGION])
        self.firmware.set('Name', b'after')
        self.assertRaises(errors.StaleSequence, self.host.service.verify,
                          stage.INSTANCE, flash, True, writes)
        self.assertEqual({'Name': b'after'}, stage.variables(self.disk))

    def test_flash_of_another_length_is_refused(self):
        for length in (0, 1, REGION - 1, REGION + 1):
            self.assertRaises(errors.Invalid, self.host.service.verify,
                              stage.INSTANCE, bytes(length), True)

    def test_junk_in_memory_is_adopted_but_never_committed(self):
        self.host.service.verify(stage.INSTANCE, b'\xa5' * REGION, True)
        self.assertEqual('open', self.served.state()['state'])
        self.assertEqual({'Name': b'before'}, stage.variables(self.disk))
