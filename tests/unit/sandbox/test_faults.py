# SPDX-License-Identifier: Apache-2.0
import pathlib
import threading

import fixtures
import testtools

from tools.sandbox.faults import steps

STEP = steps.Step('armvm-1', 'attach')
PATIENCE = 30


class StepsTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.MonkeyPatch(
            'tools.sandbox.faults.steps._DIRECTORY', directory))
        self.useFixture(fixtures.MonkeyPatch(
            'tools.sandbox.faults.steps._TRACE', directory / 'trace'))


class GateTest(StepsTestCase):

    def come(self, server='server-1', step=STEP):
        """Come to a gate in a thread, as nova-compute does."""
        thread = threading.Thread(
            target=steps.Gate(server, step).pass_through, daemon=True)
        thread.start()
        return thread

    def assert_passes(self, thread):
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())

    def wait_reached(self, gate):
        deadline = threading.Event()
        for _look in range(PATIENCE * 100):
            if gate.is_reached():
                return
            deadline.wait(0.01)
        self.fail('nobody came')

    def test_closed_gate_is_reached_and_opened(self):
        gate = steps.Gate('server-1', STEP)
        gate.close()
        self.assertFalse(gate.is_reached())
        waiting = self.come()
        self.wait_reached(gate)
        self.assertTrue(waiting.is_alive())
        gate.open()
        self.assert_passes(waiting)

    def test_only_the_first_waits(self):
        gate = steps.Gate('server-1', STEP)
        gate.close()
        waiting = self.come()
        self.wait_reached(gate)
        self.assert_passes(self.come())
        gate.open()
        self.assert_passes(waiting)

    def test_others_pass(self):
        steps.Gate('server-1', STEP).close()
        self.assert_passes(self.come('server-2'))
        self.assert_passes(self.come(step=steps.Step('armvm-2', 'attach')))
        self.assert_passes(self.come(step=steps.Step('armvm-1', 'connect')))

    def test_gate_that_nobody_opens_is_an_error(self):
        self.useFixture(fixtures.MonkeyPatch(
            'tools.sandbox.faults.steps.LIMIT', 0))
        gate = steps.Gate('server-1', STEP)
        gate.close()
        self.assertRaises(TimeoutError, gate.pass_through)


class TraceTest(StepsTestCase):

    def test_steps_of_one_server_each_once_in_order(self):
        other = steps.Step('armvm-2', 'connect')
        for server, step in (('server-1', STEP), ('server-2', STEP),
                             ('server-1', other), ('server-1', STEP)):
            steps.note(server, step)
        self.assertEqual([STEP, other], steps.passed('server-1'))
        self.assertEqual([], steps.passed('server-3'))

    def test_preparing_opens_and_forgets(self):
        gate = steps.Gate('server-1', STEP)
        gate.close()
        steps.note('server-1', STEP)
        steps.prepare()
        gate.pass_through()
        self.assertEqual([], steps.passed('server-1'))


class SpreadTest(testtools.TestCase):

    def test_some_of_many_evenly(self):
        self.assertEqual([1, 4, 7], steps.spread(range(9), 3))
        self.assertEqual([2, 8], steps.spread(range(11), 2))
        self.assertEqual([4], steps.spread(range(9), 1))

    def test_all_where_there_are_no_more(self):
        self.assertEqual([0, 1], steps.spread(range(2), 3))
        self.assertEqual(list(range(9)), steps.spread(range(9), 0))
