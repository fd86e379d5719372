# SPDX-License-Identifier: Apache-2.0
import testtools

from tools.sandbox.guest import console
from tools.sandbox.history import checker
from tools.sandbox.history import events

ABSENT, TORN = events.ABSENT, events.TORN
OK, FAILED, OTHER = (events.Result.OK, events.Result.FAILED,
                     events.Result.OTHER)
_BOOT = 1 << 20


class Guest:
    """Says what a guest says, as told by a test."""

    def __init__(self):
        self.history = checker.History()
        self.boot = 100
        self.operation = self.boot * _BOOT

    def observe(self, **seen):
        self.history.add(events.Observation(
            self.operation, f'boot-{self.boot}', seen))
        return self

    def reboot(self, **seen):
        self.boot += 1
        self.operation = self.boot * _BOOT
        return self.observe(**seen)

    def begin(self, name, value=None):
        self.operation += 1
        self.history.add(events.Begin(
            self.operation, name,
            self.operation if value is None else value))
        return self.operation

    def end(self, name, result=OK, seen=None, following=None):
        self.history.add(events.End(
            self.operation, name, result,
            self.operation if seen is None else seen, following))
        return self

    def write(self, name):
        number = self.begin(name)
        self.end(name)
        return number

    def delete(self, name):
        self.begin(name, ABSENT)
        self.end(name, seen=ABSENT)

    def kinds(self):
        return [found.kind for found in self.history.violations()]


class CheckerTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.guest = Guest()
        self.guest.observe(H0=ABSENT, H1=ABSENT)

    def test_nothing_said_is_nothing_wrong(self):
        self.assertEqual([], Guest().kinds())

    def test_acknowledged_write_is_there_after_a_crash(self):
        first = self.guest.write('H0')
        second = self.guest.write('H1')
        self.guest.reboot(H0=first, H1=second)
        self.assertEqual([], self.guest.kinds())

    def test_first_look_takes_what_is_there(self):
        self.guest = Guest()
        self.guest.reboot(H0=7, H1=ABSENT)
        self.assertEqual([], self.guest.kinds())
        self.guest.reboot(H0=ABSENT, H1=ABSENT)
        self.assertEqual(['came back'], self.guest.kinds())

    def test_acknowledged_write_that_is_gone_is_lost(self):
        self.guest.write('H0')
        self.guest.reboot(H0=ABSENT, H1=ABSENT)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_acknowledged_write_with_its_predecessor_there_is_lost(self):
        old = self.guest.write('H0')
        self.guest.write('H0')
        self.guest.reboot(H0=old, H1=ABSENT)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_acknowledged_deletion_that_did_not_last_is_lost(self):
        old = self.guest.write('H0')
        self.guest.delete('H0')
        self.guest.reboot(H0=old, H1=ABSENT)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_loss_while_the_guest_runs_is_seen(self):
        self.guest.write('H0')
        self.guest.observe(H0=ABSENT, H1=ABSENT)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_all_lost_at_once_is_an_emptied_store(self):
        self.guest.write('H0')
        self.guest.write('H1')
        self.guest.reboot(H0=ABSENT, H1=ABSENT)
        (found,) = self.guest.history.violations()
        self.assertEqual('emptied', found.kind)
        self.assertEqual(('H0', 'H1'), found.names)
        self.assertIn('H0 has to be', found.report())

    def test_torn_value_is_told(self):
        self.guest.write('H0')
        self.guest.reboot(H0=TORN, H1=ABSENT)
        self.assertEqual(['torn'], self.guest.kinds())

    def test_torn_value_of_an_operation_in_flight_is_told_as_well(self):
        self.guest.write('H0')
        self.guest.begin('H0')
        self.guest.reboot(H0=TORN, H1=ABSENT)
        self.assertEqual(['torn'], self.guest.kinds())

    def test_value_that_nobody_wrote_is_told(self):
        number = self.guest.write('H0')
        self.guest.reboot(H0=number, H1=number + 100)
        self.assertEqual(['never written'], self.guest.kinds())

    def test_value_of_another_variable_is_never_written(self):
        number = self.guest.write('H0')
        self.guest.reboot(H0=number, H1=number)
        self.assertEqual(['never written'], self.guest.kinds())

    def test_operation_in_flight_may_be_old_or_new(self):
        for done in (False, True):
            with self.subTest(done):
                guest = Guest()
                guest.observe(H0=ABSENT)
                old = guest.write('H0')
                new = guest.begin('H0')
                guest.reboot(H0=new if done else old)
                self.assertEqual([], guest.kinds())

    def test_deletion_in_flight_may_be_done_or_not(self):
        for done in (False, True):
            with self.subTest(done):
                guest = Guest()
                guest.observe(H0=ABSENT)
                old = guest.write('H0')
                guest.begin('H0', ABSENT)
                guest.reboot(H0=ABSENT if done else old)
                self.assertEqual([], guest.kinds())

    def test_operation_in_flight_stays_what_it_was_seen_to_be(self):
        for first in (0, 1):
            with self.subTest(first):
                guest = Guest()
                guest.observe(H0=ABSENT)
                states = (guest.write('H0'), guest.begin('H0'))
                guest.reboot(H0=states[first])
                guest.reboot(H0=states[1 - first])
                self.assertEqual(['came back'], guest.kinds())

    def test_operations_in_flight_at_two_crashes_add_up(self):
        old = self.guest.write('H0')
        self.guest.begin('H0')
        # No look at it in between.
        self.guest.boot += 1
        self.guest.operation = self.guest.boot * _BOOT
        self.guest.begin('H0')
        self.guest.reboot(H0=old, H1=ABSENT)
        self.assertEqual([], self.guest.kinds())

    def test_refused_operation_may_be_old_or_new(self):
        old = self.guest.write('H0')
        new = self.guest.begin('H0')
        self.guest.end('H0', FAILED, old)
        self.assertEqual([], self.guest.kinds())
        self.guest.reboot(H0=new, H1=ABSENT)
        self.assertEqual(['came back'], [
            kind.replace('lost', 'came back')
            for kind in self.guest.kinds()])

    def test_refused_operation_that_loses_the_old_value_is_told(self):
        self.guest.write('H0')
        self.guest.begin('H0')
        self.guest.end('H0', FAILED, ABSENT)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_other_value_right_after_the_acknowledgement_is_told(self):
        old = self.guest.write('H0')
        self.guest.begin('H0')
        self.guest.end('H0', OTHER, old)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_old_value_after_a_newer_was_observed_came_back(self):
        old = self.guest.write('H0')
        new = self.guest.write('H0')
        self.guest.reboot(H0=new, H1=ABSENT)
        self.guest.reboot(H0=old, H1=ABSENT)
        self.assertEqual(['came back'], self.guest.kinds())

    def test_store_of_an_earlier_time_is_told_for_each_variable(self):
        first, second = self.guest.write('H0'), self.guest.write('H1')
        self.guest.reboot(H0=first, H1=second)
        self.guest.write('H0')
        self.guest.write('H1')
        self.guest.reboot(H0=first, H1=second)
        self.assertEqual(['lost', 'lost'], self.guest.kinds())


class ConsoleWithGapsTest(testtools.TestCase):
    """Lines that power took with it, or that were read twice."""

    def setUp(self):
        super().setUp()
        self.guest = Guest()
        self.guest.observe(H0=ABSENT, H1=ABSENT)
        self.old = self.guest.write('H0')

    def announce(self, value):
        number = self.guest.begin('H1')
        self.guest.end('H1', following=events.Begin(number + 1, 'H0', value))
        return number

    def test_operation_that_was_only_announced_may_be_in_flight(self):
        number = self.announce(self.guest.operation + 2)
        self.guest.reboot(H0=number + 1, H1=number)
        self.assertEqual([], self.guest.kinds())

    def test_announced_deletion_may_be_in_flight(self):
        number = self.announce(ABSENT)
        self.guest.reboot(H0=ABSENT, H1=number)
        self.assertEqual([], self.guest.kinds())

    def test_announced_operation_does_not_excuse_a_running_guest(self):
        number = self.announce(ABSENT)
        self.guest.observe(H0=ABSENT, H1=number)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_announced_operation_that_was_refused_is_not_in_flight(self):
        number = self.announce(self.guest.operation + 2)
        refused = self.guest.begin('H0')
        self.guest.end('H0', FAILED, self.old)
        self.guest.reboot(H0=refused, H1=number)
        self.assertEqual(['lost'], self.guest.kinds())

    def test_operations_that_nobody_heard_of_may_be_there(self):
        self.guest.reboot(H0=self.old + 2, H1=self.old + 1)
        self.assertEqual([], self.guest.kinds())

    def test_not_many_of_them(self):
        self.guest.reboot(H0=self.old + 50, H1=ABSENT)
        self.assertEqual(['never written'], self.guest.kinds())

    def test_not_while_the_guest_runs(self):
        self.guest.observe(H0=self.old + 2, H1=ABSENT)
        self.assertEqual(['never written'], self.guest.kinds())

    def test_end_that_was_not_heard_leaves_both_states(self):
        number = self.guest.begin('H0')
        other = self.guest.write('H1')
        self.guest.observe(H0=number, H1=other)
        self.assertEqual([], self.guest.kinds())

    def test_beginning_that_was_not_heard_is_known_by_its_end(self):
        self.guest.operation += 1
        self.guest.end('H0')
        number = self.guest.operation
        self.guest.reboot(H0=number, H1=ABSENT)
        self.assertEqual([], self.guest.kinds())
        self.guest.reboot(H0=self.old, H1=ABSENT)
        self.assertEqual(['came back'], self.guest.kinds())

    def test_order_is_that_of_the_guest_and_not_of_reading(self):
        self.guest.write('H1')
        self.guest.reboot(H0=self.old, H1=self.guest.operation)
        mixed = checker.History()
        everything = self.guest.history.ordered()
        for event in reversed(everything):
            self.assertTrue(mixed.add(event))
        self.assertEqual(everything, mixed.ordered())
        self.assertEqual([], mixed.violations())

    def test_second_reading_changes_nothing(self):
        for event in self.guest.history.ordered():
            self.assertFalse(self.guest.history.add(event))
        self.assertEqual([], self.guest.kinds())
        self.assertEqual(1, self.guest.history.counts().acknowledged)

    def test_one_operation_told_in_two_ways_is_a_conflict(self):
        self.guest.end('H0', FAILED, ABSENT)
        self.assertEqual(['conflict'], self.guest.kinds())


class FactsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.history = checker.History()
        self.history.add(events.Facts('boot-1', {'BootOrder': '0100'}))
        self.history.settle({'BootOrder': '40000100', 'Boot0040': 'aabb'})

    def boot(self, **seen):
        self.history.add(events.Facts('boot-2', seen))
        return [found.names for found in self.history.violations()]

    def test_boots_before_it_was_settled_do_not_count(self):
        self.assertEqual([], self.history.violations())

    def test_firmware_may_add_devices_behind_the_order(self):
        self.assertEqual([], self.boot(BootOrder='400001000200',
                                       Boot0040='aabb'))

    def test_order_that_is_not_the_guests_is_told(self):
        self.assertEqual([('BootOrder',)], self.boot(
            BootOrder='01004000', Boot0040='aabb'))

    def test_missing_option_is_told(self):
        self.assertEqual([('Boot0040',)], self.boot(BootOrder='40000100'))


class ReadTest(testtools.TestCase):
    """Lines of the console."""

    def read(self, line):
        return events.read(console.parse(line), 'A')

    def test_operation_begins_and_ends(self):
        self.assertEqual(events.Begin(5, 'H3', 5), self.read(
            b'ARMVM {"event":"begin","sequence":0, "operation":5,'
            b'"name":"H3","kind":"write"}\n'))
        self.assertEqual(
            events.End(6, 'H3', OK, ABSENT, events.Begin(7, 'H1', 7)),
            self.read(b'ARMVM {"event":"end","sequence":0,"operation":6,'
                      b'"name":"H3","result":"ok","seen":"absent",'
                      b'"next":"H1","next_kind":"write"}\n'))

    def test_history(self):
        self.assertEqual(
            events.Observation(9, 'b', {'H0': 8, 'H1': TORN}),
            self.read(b'ARMVM {"event":"history","sequence":0,"disk":"A",'
                      b'"boot_id":"b","operation":9,"seed":"",'
                      b'"seen":{"H0":"8","H1":"torn"}}\n'))

    def test_another_disk_does_not_count(self):
        self.assertIsNone(self.read(
            b'ARMVM {"event":"history","sequence":0,"disk":"R",'
            b'"boot_id":"b","operation":9,"seen":{}}\n'))

    def test_what_is_not_complete_says_nothing(self):
        for line in (b'ARMVM {"event":"begin","sequence":0}\n',
                     b'ARMVM {"event":"end","sequence":0,"operation":6,'
                     b'"name":"H3","result":"fine","seen":"absent"}\n',
                     b'ARMVM {"event":"history","sequence":0,"disk":"A",'
                     b'"boot_id":"b","operation":9,"seen":[]}\n',
                     b'ARMVM {"event":"report","sequence":0}\n'):
            with self.subTest(line):
                self.assertIsNone(self.read(line))
