# SPDX-License-Identifier: Apache-2.0
import random

import hypothesis
from hypothesis import strategies
import testtools

from tests.unit.sandbox import test_history
from tools.sandbox.history import events

ABSENT, TORN = events.ABSENT, events.TORN
OK, FAILED = events.Result.OK, events.Result.FAILED
NAMES = ('H0', 'H1', 'H2')


class Simulation:
    """A guest and its store, with crashes; a fault may be put in."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.guest = test_history.Guest()
        self.store = dict.fromkeys(NAMES, ABSENT)
        self.past = [dict(self.store)]
        self.guest.observe(**self.store)

    def operate(self, crash=False):
        """Do an operation; a crash in it leaves it done or not."""
        name = self.random.choice(NAMES)
        value = self.guest.begin(
            name, ABSENT if self.random.random() < 0.2 else None)
        refused = self.random.random() < 0.1
        if not (crash or refused) or self.random.random() < 0.5:
            self.store[name] = (
                ABSENT if self._is_deletion() else value)
        if crash:
            return
        self.past.append(dict(self.store))
        self.guest.end(name, FAILED if refused else OK, self.store[name])

    def _is_deletion(self):
        return self.guest.history.ordered()[-1].value == ABSENT

    def live(self, operations):
        for _time in range(operations):
            draw = self.random.random()
            if draw < 0.1:
                self.operate(crash=True)
                self.guest.reboot(**self.store)
            elif draw < 0.15:
                self.guest.observe(**self.store)
            elif draw < 0.2:
                self.guest.reboot(**self.store)
            else:
                self.operate()

    def write_all(self):
        for name in NAMES:
            self.store[name] = self.guest.write(name)
            self.past.append(dict(self.store))

    # Faults

    def lose_one(self):
        """Go back by one variable."""
        name = self.random.choice(NAMES)
        older = [each[name] for each in self.past
                 if each[name] != self.store[name]]
        self.store[name] = self.random.choice(older)

    def lose_all(self):
        self.store = dict.fromkeys(NAMES, ABSENT)

    def tear(self):
        self.store[self.random.choice(NAMES)] = TORN

    def resurrect(self):
        """Become the store of an earlier time."""
        self.store = dict(self.random.choice(
            [each for each in self.past if each != self.store]))

    def invent(self):
        self.store[self.random.choice(NAMES)] = 77


class SimulationTest(testtools.TestCase):

    @hypothesis.settings(deadline=None, max_examples=200)
    @hypothesis.given(strategies.integers(0, 2 ** 32),
                      strategies.integers(0, 120))
    def test_store_that_keeps_its_word_is_never_blamed(self, seed, length):
        simulation = Simulation(seed)
        simulation.live(length)
        self.assertEqual([], simulation.guest.kinds())

    @hypothesis.settings(deadline=None, max_examples=300)
    @hypothesis.given(
        strategies.integers(0, 2 ** 32), strategies.integers(0, 60),
        strategies.sampled_from(('lose_one', 'lose_all', 'tear',
                                 'resurrect', 'invent')),
        strategies.booleans())
    def test_fault_is_always_caught(self, seed, length, fault, by_crash):
        simulation = Simulation(seed)
        simulation.live(length)
        simulation.write_all()
        getattr(simulation, fault)()
        look = (simulation.guest.reboot if by_crash
                else simulation.guest.observe)
        look(**simulation.store)
        simulation.live(length)
        self.assertNotEqual([], simulation.guest.kinds())

    @hypothesis.settings(deadline=None, max_examples=100)
    @hypothesis.given(strategies.integers(0, 2 ** 32))
    def test_late_write_of_a_dead_host_is_caught(self, seed):
        simulation = Simulation(seed)
        simulation.live(30)
        simulation.write_all()
        late = simulation.guest.begin('H0')
        simulation.guest.reboot(**simulation.store)
        simulation.store['H0'] = late
        simulation.guest.reboot(**simulation.store)
        self.assertEqual(['came back'], simulation.guest.kinds())
