# SPDX-License-Identifier: Apache-2.0
import random
import unittest
from unittest import mock

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import slots
from tests.unit.nvramd import logs
from tests.unit.nvramd import volumes


class LogTest(unittest.TestCase):
    def test_new_log_holds_its_first_version(self):
        logs.made(volumes.Memory())
        volume = volumes.Memory(random.Random(1).randbytes(slots.LOG_BYTES))
        log = logs.made(volume, b'content')
        self.assertEqual(log.newest, logs.opened(volume).newest)
        self.assertEqual((1, 1, logs.FLASH, 'first-boot', 7), (
            log.newest.sequence, log.newest.epoch, log.newest.flash_size,
            log.newest.reason, log.newest.length))
        self.assertEqual([b'content'], logs.contents(volume))

    def test_unformatted_store_is_a_version(self):
        volume = volumes.Memory()
        logs.made(volume, b'')
        self.assertEqual(b'', logs.newest(volume))

    def test_versions_are_listed_newest_first(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        epoch = log.claim('a', 2)
        for number in range(10):
            logs.append(log, epoch, b'%d' % number)
        self.assertEqual([b'%d' % number for number in range(9, -1, -1)] +
                         [b'first'], logs.contents(volume))
        self.assertEqual(list(range(11, 0, -1)), [
            version.sequence for version in log.versions()])

    def test_history_survives_many_claims_without_a_version(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        for number in range(100):
            self.assertEqual(2 + number, log.claim('a', 2))
        self.assertEqual([b'first'], logs.contents(volume))
        logs.append(log, 101, b'second')
        self.assertEqual([b'second', b'first'], logs.contents(volume))

    def test_volume_without_log_or_of_another_instance_is_refused(self):
        volume = volumes.Memory()
        self.assertRaises(errors.NotALog, logs.opened, volume)
        logs.made(volume, instance='other')
        self.assertRaises(errors.ForeignLog, logs.opened, volume)

    def test_log_of_the_future_is_refused(self):
        volume = volumes.Memory()
        with mock.patch.object(slots, 'FORMAT', 2):
            logs.made(volume)
        self.assertRaises(errors.Incompatible, logs.opened, volume)

    def test_slots_of_a_log_before_do_not_count(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        epoch = log.claim('a', 2)
        for number in range(20):
            logs.append(log, epoch, b'old %d' % number)
        logs.made(volume, b'new')
        self.assertEqual([b'new'], logs.contents(volume))
        self.assertRaises(errors.Fenced, logs.append, log, epoch, b'late')
        self.assertEqual(b'new', logs.newest(volume))

    def test_version_whose_slot_was_used_again_is_unknown(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        epoch = log.claim('a', 2)
        chance = random.Random(1)
        versions = [logs.append(log, epoch, chance.randbytes(logs.LARGEST))
                    for _number in range(5)]
        self.assertRaises(errors.VersionUnknown, log.read, versions[0])
        self.assertEqual(logs.LARGEST, len(log.read(versions[-1])))

    def test_store_that_does_not_fit_is_refused_and_the_newest_stays(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        epoch = log.claim('a', 2)
        large = random.Random(1).randbytes(600 * 1024)
        logs.append(log, epoch, large)
        self.assertRaises(errors.VolumeFailed, logs.append, log, epoch,
                          random.Random(2).randbytes(600 * 1024))
        self.assertEqual(large, logs.newest(volume))

    def test_one_copy_of_the_header_is_enough(self):
        for place in 0, slots.BLOCK:
            volume = volumes.Memory()
            logs.made(volume)
            volume.land(place, bytes(slots.BLOCK))
            self.assertEqual(b'first', logs.newest(volume))


class WrappingTest(unittest.TestCase):
    def test_slot_never_lies_over_the_newest(self):
        volume = volumes.Memory()
        chance = random.Random(1)
        log = logs.made(volume, chance.randbytes(logs.LARGEST))
        epoch, last = 1, log.newest
        for number in range(120):
            if number % 23 == 0:
                epoch = log.claim('a', 2)
            if number % 7 == 0:
                log = logs.opened(volume)
            size = chance.choice((logs.LARGEST,
                                  chance.randrange(logs.LARGEST)))
            version = logs.append(log, epoch, chance.randbytes(size))
            self.assertTrue(version.end <= last.offset or
                            last.end <= version.offset)
            self.assertEqual(version, logs.opened(volume).newest)
            last = version

    def test_torn_slot_leaves_the_newest_at_every_place_of_the_ring(self):
        volume = volumes.Memory()
        chance = random.Random(2)
        log = logs.made(volume)
        epoch = log.claim('a', 2)
        for _number in range(12):
            content = chance.randbytes(logs.LARGEST - chance.randrange(40960))
            logs.append(log, epoch, content)
            torn = volumes.Torn(volume.content, 0, range)
            half = volumes.Torn(volume.content, 0, lambda n: range(n // 2))
            for each in torn, half:
                each_log = logs.opened(each)
                self.assertRaises(volumes.PowerCut, logs.append, each_log,
                                  epoch, chance.randbytes(logs.LARGEST))
            self.assertIn(content, logs.contents(torn)[:2])
            self.assertEqual(content, logs.newest(half))


class TornTest(unittest.TestCase):
    """A host that dies in a write, of which any sectors may have arrived."""

    def ways(self, chance):
        """Return which sectors of a write arrive, in how many ways."""
        for kept in range(1, 9):
            yield lambda count, kept=kept: range(min(kept, count))
            yield lambda count, kept=kept: range(max(0, count - kept), count)
        for _way in range(6):
            yield lambda count: [number for number in range(count)
                                 if chance.random() < 0.5]

    def tear(self, before, action):
        """Yield the volume after each way to tear each write of an action."""
        chance = random.Random(3)
        whole = volumes.Memory(before)
        action(whole)
        for number in range(len(whole.writes)):
            for way in self.ways(chance):
                volume = volumes.Torn(before, number, way)
                self.assertRaises(volumes.PowerCut, action, volume)
                yield number, volumes.Memory(volume.content)

    def test_formatting(self):
        before = volumes.Memory()
        logs.made(before, b'old')
        seen = set()
        for _number, volume in self.tear(bytes(before.content), logs.made):
            try:
                seen.add(logs.newest(volume))
            except errors.NotALog:
                logs.made(volume)
                self.assertEqual(b'first', logs.newest(volume))
        self.assertEqual({b'old', b'first'}, seen)

    def test_claim(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        epoch = log.claim('a' * 200, 2)
        logs.append(log, epoch, b'second')
        before = bytes(volume.content)

        def claim(volume):
            logs.opened(volume).claim('b' * 200, 3)

        for _number, torn in self.tear(before, claim):
            self.assertEqual([b'second', b'first'], logs.contents(torn))
            self.assertIn(logs.opened(torn).owner().epoch, (epoch, epoch + 1))
            log = logs.opened(torn)
            again = log.claim('c', 4)
            self.assertGreater(again, epoch)
            logs.append(log, again, b'third')
            self.assertEqual([b'third', b'second', b'first'],
                             logs.contents(torn))

    def test_append(self):
        volume = volumes.Memory()
        log = logs.made(volume)
        epoch = log.claim('a', 2)
        logs.append(log, epoch, b'second')
        store = random.Random(4).randbytes(9000)
        before = bytes(volume.content)

        def append(volume):
            logs.append(logs.opened(volume), epoch, store)

        for _number, torn in self.tear(before, append):
            found = logs.contents(torn)
            self.assertIn(found, ([b'second', b'first'],
                                  [store, b'second', b'first']))
            # The service goes on without claiming again.
            logs.append(logs.opened(torn), epoch, b'fourth')
            self.assertEqual([b'fourth', *found], logs.contents(torn))


class FailingTest(unittest.TestCase):
    """Writes that fail, and may arrive later all the same."""

    def setUp(self):
        self.volume = volumes.Memory()
        self.log = logs.made(self.volume)
        self.epoch = self.log.claim('a', 2)
        logs.append(self.log, self.epoch, b'second')

    def fail(self, log, content):
        held = volumes.Held(self.volume)
        with mock.patch.object(log, '_volume', held):
            self.assertRaises(OSError, logs.append, log, self.epoch, content)
        return held

    def test_append_that_failed_is_done_again(self):
        held = self.fail(self.log, b'third')
        logs.append(self.log, self.epoch, b'third')
        self.assertEqual([b'third', b'second', b'first'],
                         logs.contents(self.volume))
        logs.append(self.log, self.epoch, b'fourth')
        held.let()
        self.assertEqual([b'fourth', b'third', b'third', b'second',
                          b'first'], logs.contents(self.volume))

    def test_late_write_does_not_become_the_newest(self):
        for restarted in False, True:
            self.setUp()
            held = self.fail(self.log, b'late')
            log = logs.opened(self.volume) if restarted else self.log
            logs.append(log, self.epoch, b'third')
            held.let()
            self.assertEqual(b'third', logs.newest(self.volume))
            logs.append(log, self.epoch, b'fourth')
            self.assertEqual(b'fourth', logs.newest(self.volume))

    def test_late_writes_hit_nothing_of_the_next_three_owners(self):
        chance = random.Random(5)
        for owners in range(1, 4):
            self.setUp()
            held = self.fail(self.log, chance.randbytes(logs.LARGEST))
            committed = []
            for _owner in range(owners):
                log = logs.opened(self.volume)
                epoch = log.claim('b', 3)
                for _number in range(4):
                    committed.append(chance.randbytes(logs.LARGEST))
                    logs.append(log, epoch, committed[-1])
            before = logs.contents(self.volume)
            held.let()
            self.assertEqual(before, logs.contents(self.volume))
            self.assertEqual(committed[-1], logs.newest(self.volume))
            log = logs.opened(self.volume)
            for _claim in range(3):
                log.claim('c', 4)
                self.assertEqual(before, logs.contents(self.volume))

    def test_void_version_stays_void_when_the_slots_after_it_are_gone(self):
        with mock.patch.object(slots, 'LANE_BYTES', logs.SHORT_LANE):
            self.setUp()
            held = self.fail(self.log, b'void')
            log = logs.opened(self.volume)
            for number in range(20):
                epoch = log.claim('b', 3)
                held.let()
                for version in range(number % 9):
                    logs.append(log, epoch, b'%d %d' % (number, version))
                self.assertNotIn(b'void', logs.contents(self.volume))
