# SPDX-License-Identifier: Apache-2.0
import itertools
import random
import unittest
from unittest import mock

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import slots
from tests.unit.nvramd import logs
from tests.unit.nvramd import volumes


class TwoHostsTest(unittest.TestCase):
    """Two hosts that have the same volume, operation by operation."""

    def setUp(self):
        patch = mock.patch.object(slots, 'LANE_BYTES', logs.SHORT_LANE)
        patch.start()
        self.addCleanup(patch.stop)
        fresh = volumes.Memory()
        self.epoch = logs.made(fresh).claim('a', 2)
        self.fresh = bytes(fresh.content)

    def host(self, volume, contents, name=None):
        """Return a host that commits, and what it was told is committed."""
        stepped = volumes.Stepped(volume)
        # Opened before the race.
        log = logs.opened(volume)
        log._volume = stepped
        committed = []

        def run():
            epoch = log.claim(name, 3) if name else self.epoch
            for content in contents:
                logs.append(log, epoch, content)
                committed.append(content)

        stepped.start(run)
        return stepped, committed

    def settle(self, volume, hosts):
        """Check what has become of it; return how often one was refused."""
        told = [content for _stepped, committed in hosts
                for content in committed]
        refused = [stepped.error for stepped, _committed in hosts
                   if stepped.error is not None]
        for error in refused:
            self.assertIsInstance(error, (errors.Fenced, errors.VolumeFailed))
        found = logs.contents(volume)
        self.assertLessEqual(set(told), set(found))
        for _stepped, committed in hosts:
            self.assertEqual(committed[::-1], [
                content for content in found if content in committed])
        sequences = [version.sequence
                     for version in logs.opened(volume).versions()]
        self.assertEqual(sorted(set(sequences), reverse=True), sequences)
        # What counts now counts for ever, and nothing comes back.
        logs.opened(volume).claim('c', 4)
        self.assertEqual(found, logs.contents(volume))
        return len(refused)

    def test_append_and_claim_in_every_order(self):
        claims = self.operations(('b1',), 'b')
        refused = 0
        for places in itertools.combinations_with_replacement(
                range(claims + 1), 3):
            volume = volumes.Memory(self.fresh)
            a = self.host(volume, (b'a1',))
            b = self.host(volume, (b'b1',), 'b')
            done = 0
            for place in places:
                while done < place:
                    b[0].step()
                    done += 1
                a[0].step()
            b[0].finish()
            a[0].finish()
            self.assertEqual([b'b1'], b[1])
            self.assertEqual(b'b1', logs.newest(volume))
            refused += self.settle(volume, (a, b))
        self.assertGreater(refused, 100)

    def operations(self, contents, name):
        """Return how many operations a host takes alone."""
        host, _told = self.host(volumes.Memory(self.fresh),
                                [content.encode() for content in contents],
                                name)
        for count in itertools.count():
            if host.done:
                return count
            host.step()

    def race(self, chance, *hosts):
        """Let hosts go on by chance, in runs of some operations."""
        while not all(stepped.done for stepped, _committed in hosts):
            stepped, _committed = chance.choice(hosts)
            for _step in range(chance.choice((1, 1, 2, 8, 20))):
                stepped.step()

    def test_many_appends_and_a_claim_by_chance(self):
        chance = random.Random(6)
        for _race in range(150):
            volume = volumes.Memory(self.fresh)
            hosts = (self.host(volume, (b'a1', b'a2', b'a3')),
                     self.host(volume, (b'b1', b'b2'), 'b'))
            self.race(chance, *hosts)
            self.assertEqual([b'b1', b'b2'], hosts[1][1])
            self.settle(volume, hosts)

    def test_two_claims_by_chance(self):
        chance = random.Random(7)
        for _race in range(250):
            volume = volumes.Memory(self.fresh)
            hosts = (self.host(volume, (b'a1', b'a2')),
                     self.host(volume, (b'b1', b'b2'), 'b'),
                     self.host(volume, (b'c1', b'c2'), 'c'))
            self.race(chance, *hosts)
            self.settle(volume, hosts)
            self.assertTrue(any(len(committed) == 2
                                for _stepped, committed in hosts[1:]))
