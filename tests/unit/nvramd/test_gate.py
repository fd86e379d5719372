# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import time

import fixtures
import testtools

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import gate
from tests.unit.nvramd import stage


class Processes:
    """Processes whose start the test says."""

    def __init__(self):
        self.time = 100.0
        self.alive = {}

    def now(self):
        return self.time

    def exists(self, pid):
        return pid in self.alive

    def started(self, pid):
        return self.alive.get(pid)


class GateTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.processes = Processes()
        self.gate = self._gate()

    def _gate(self, restarted=False):
        return gate.Gate(restarted, self.processes)

    def _start(self, pid):
        self.processes.time += 1
        self.processes.alive[pid] = self.processes.time
        self.processes.time += 1

    def _enter(self, pid, patience=0.0):
        return self.gate.enter(pid, patience)

    def test_first_qemu_leaves_no_gap(self):
        self.assertIsNotNone(self.gate.disconnected_since)
        self._start(7)
        self._enter(7)
        self.assertEqual((1, False, None), (
            self.gate.connected, self.gate.gap, self.gate.disconnected_since))

    def test_second_process_is_refused_while_the_first_is_there(self):
        self._start(7)
        self._start(8)
        first = self._enter(7)
        self.assertRaises(errors.Busy, self._enter, 8)
        self.assertFalse(first.superseded)
        self.gate.leave(first)
        self._enter(8)

    def test_the_same_process_takes_its_own_place(self):
        self._start(7)
        first = self._enter(7)
        self.processes.time += 1
        second = self._enter(7)
        self.assertTrue(first.superseded)
        self.assertFalse(second.superseded)
        self.assertTrue(self.gate.gap)
        self.gate.leave(first)
        self.assertEqual(1, self.gate.connected)

    def test_connection_of_a_dead_process_holds_up_nobody(self):
        self._start(7)
        first = self._enter(7)
        del self.processes.alive[7]
        self._start(8)
        self._enter(8)
        self.assertTrue(first.superseded)
        self.assertFalse(self.gate.gap)

    def test_next_connection_waits_for_the_end_of_the_last(self):
        self._start(7)
        self._start(8)
        first = self._enter(7)
        entering = stage.Background(lambda: self._enter(8, 10.0))
        time.sleep(0.05)
        self.assertFalse(entering.is_done)
        self.gate.leave(first)
        self.assertIsNone(entering.join())

    def test_qemu_that_comes_again_leaves_a_gap(self):
        self._start(7)
        self.gate.leave(self._enter(7))
        self.assertIsNotNone(self.gate.disconnected_since)
        self.processes.time += 1
        self._enter(7)
        self.assertTrue(self.gate.gap)
        self.assertIn('writes may have been lost', self.log.output)

    def test_qemu_that_is_started_later_leaves_none(self):
        self._start(7)
        self.gate.leave(self._enter(7))
        self._start(8)
        self._enter(8)
        self.assertFalse(self.gate.gap)

    def test_qemu_that_was_there_before_the_service_leaves_a_gap(self):
        self._start(7)
        self.gate = self._gate(restarted=True)
        self._enter(7)
        self.assertTrue(self.gate.gap)

    def test_qemu_that_was_there_before_it_was_served_leaves_a_gap(self):
        self._start(7)
        self.gate = self._gate()
        self._enter(7)
        self.assertTrue(self.gate.gap)

    def test_unknown_process_is_judged_by_who_was_there(self):
        self.gate.leave(self._enter(0))
        self.assertFalse(self.gate.gap)
        self._enter(0)
        self.assertTrue(self.gate.gap)

    def test_unknown_process_does_not_take_a_place(self):
        self._enter(0)
        self.assertRaises(errors.Busy, self._enter, 0)

    def test_nobody_enters_a_gate_that_is_shut(self):
        self.gate.shut()
        self.assertRaises(errors.NotServed, self._enter, 7)

    def test_shutting_ends_the_wait(self):
        self._start(7)
        self._start(8)
        self._enter(7)
        entering = stage.Background(lambda: self._enter(8, 30.0))
        time.sleep(0.05)
        self.gate.shut()
        self.assertIsInstance(entering.join(), errors.NotServed)

    def test_leaving_twice_is_harmless(self):
        self._start(7)
        first = self._enter(7)
        self.gate.leave(first)
        self._start(8)
        self._enter(8)
        self.gate.leave(first)
        self.assertEqual(1, self.gate.connected)


class ProcessesTest(testtools.TestCase):

    def test_start_of_a_process_lies_before_now(self):
        started = gate.Processes.started(os.getpid())
        self.assertLess(started, gate.Processes.now() + 0.02)
        self.assertGreater(started, 0)

    def test_later_process_has_a_later_start(self):
        before = gate.Processes.now()
        with subprocess.Popen(['sleep', '60']) as process:
            started = gate.Processes.started(process.pid)
            process.kill()
        self.assertGreater(started, before - 0.02)

    def test_dead_process_is_not_there(self):
        with subprocess.Popen(['true']) as process:
            pass
        self.assertFalse(gate.Processes.exists(process.pid))
        self.assertIsNone(gate.Processes.started(process.pid))

    def test_processes_of_others_are_there(self):
        self.assertTrue(gate.Processes.exists(os.getpid()))
        self.assertTrue(gate.Processes.exists(1))
        self.assertIsNone(gate.Processes.started(0))
