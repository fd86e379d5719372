# SPDX-License-Identifier: Apache-2.0
import random
import unittest

import hypothesis
from hypothesis import strategies

from nova_armvm import exception
from nova_armvm.nvramd import whole
from nova_armvm.uefi import edit
from nova_armvm.uefi import ftw
from nova_armvm.uefi import varstore
from tests.unit.nvramd import edk2
from tests.unit.nvramd import hosts

MODELS = (edk2.EDK2_2022_11, edk2.EDK2_2023_05, edk2.EDK2_2025_02)
#: Rewrites of a block of so many bytes are as many steps as need be.
SMALL = 16 * 1024
DAY = 86400.0


def store(**contents):
    """Return a canonical store."""
    return whole.canonical_of(edit.store_of(
        [varstore.Variable(varstore.VariableKey(edk2.VENDOR, name), 7,
                           content) for name, content in contents.items()],
        varstore.READ_SIZE))


class LossTest(unittest.TestCase):
    """The host may fail at any write of the guest's."""

    def work(self, install, block=SMALL, seeds=(1,), steps=25, names=14):
        """Run guests whose host has its troubles."""
        rewrites = 0
        for model in MODELS:
            for seed in seeds:
                host = hosts.Host(model, block)
                install(host)
                host.guest.boot()
                for boot in range(2):
                    hosts.work(host, seed + boot, steps, names)
                    host.guest.boot()
                self.assertEqual(host.acknowledged, host.guest.variables())
                self.assertEqual(host.acknowledged,
                                 hosts.variables(host.committed[-1]))
                self.assertEqual((0, 'whole'),
                                 (host.accepted, host.flash.state))
                rewrites += host.guest.rewrites
        return rewrites

    def every(self, number, trouble):
        """Return what lets a trouble come about with every n-th write."""
        def install(host):
            host.trouble = lambda: (host.writes % number == 0 and
                                    trouble(host))
        return install

    def test_nothing_is_lost_when_the_host_fails(self):
        self.assertGreater(self.work(lambda host: None, seeds=range(2),
                                     steps=40), 1)

    def test_nothing_is_lost_with_blocks_as_they_are(self):
        self.work(lambda host: None, ftw.BLOCK_SIZE)

    def test_nothing_is_lost_when_the_service_starts_again(self):
        self.work(self.every(3, hosts.Host.restart))

    def test_nothing_is_lost_when_the_service_dies_before_it_judges(self):
        def install(host):
            def written(offset, content):
                take = (host.die_before_committing if host.writes % 3 == 0
                        else host.written)
                take(offset, content)
            host.guest.nor.written = written
        self.work(install)

    def test_nothing_is_lost_in_live_migrations(self):
        self.work(self.every(13, hosts.Host.migrate))

    def test_nothing_is_lost_when_the_other_host_saw_the_log_before(self):
        self.work(self.every(11, lambda host: host.migrate(stale=True)))

    def test_nothing_is_lost_when_a_flash_comes_back_in_a_resume(self):
        self.work(self.every(17, lambda host: host.migrate(arriving=False)))

    def test_nothing_is_lost_when_the_working_area_is_made_anew(self):
        host = hosts.Host(edk2.EDK2_2025_02, 4096)
        host.trouble = lambda: host.writes % 31 == 0 and host.restart()
        host.guest.boot()
        hosts.work(host, 1, 1100, 4, (100, 400))
        # Fifty rewrites fill it.
        self.assertGreater(host.guest.rewrites, 50)
        self.assertEqual(0, host.accepted)

    def test_nothing_is_lost_when_a_full_store_is_rewritten(self):
        for model in MODELS[0], MODELS[2]:
            host = hosts.Host(model)
            host.guest.boot()
            hosts.work(host, 2, 12, 6, (40000, 50000))
            self.assertGreater(host.guest.rewrites, 0)

    @hypothesis.settings(max_examples=25, deadline=None)
    @hypothesis.given(
        strategies.lists(strategies.tuples(
            strategies.sampled_from('ABCDE'),
            strategies.none() | strategies.integers(1, 900)), max_size=12),
        strategies.sampled_from(MODELS), strategies.integers(1, 40),
        strategies.sampled_from((hosts.Host.restart, hosts.Host.migrate)))
    def test_nothing_is_lost_whatever_is_set(self, steps, model, number,
                                             trouble):
        host = hosts.Host(model, SMALL)
        self.every(number, trouble)(host)
        host.guest.boot()
        for place, (name, size) in enumerate(steps):
            host.set(name, None if size is None else
                     random.Random(place).randbytes(size))
        host.guest.boot()
        self.assertEqual(0, host.accepted)

    def test_rewrite_after_a_rewrite_that_could_not_be_committed(self):
        host = hosts.Host(edk2.EDK2_2022_11, SMALL)
        host.guest.boot()
        hosts.work(host, 1, 25, 3, (300, 700))
        host.checking = False
        host.commits = lambda: False
        # The block is shorter now than it was when it was committed.
        host.guest._reclaim()
        host.set('New', b'n' * 400)
        host.commits = lambda: True
        host.set('Other', b'o' * 400)
        host.checking = True
        host.check()
        self.assertEqual(0, host.accepted)

    def test_commits_that_fail_are_made_up_for(self):
        for model in MODELS:
            chance = random.Random(3)
            host = hosts.Host(model, SMALL)
            host.checking = False
            host.commits = lambda: chance.random() < 0.1
            host.guest.boot()
            for boot in range(3):
                hosts.work(host, boot, 30, 14)
                host.guest.boot()
            host.commits = lambda: True
            # As QEMU sends it again, which changes nothing.
            host.written(0, bytes(host.region[:4096]))
            host.checking = True
            host.check()
            self.assertEqual(0, host.accepted)


class GuestResetTest(unittest.TestCase):
    """The guest is reset while its firmware writes; the host goes on."""

    def reset_at(self, model, number):
        """Return a host whose guest was reset in a write, None behind it."""
        host = hosts.Host(model, SMALL)
        host.guest.boot()
        hosts.work(host, 4, 12, 30, (60, 300, 800))
        start = host.writes

        def written(offset, content):
            host.written(offset, content)
            if host.writes == start + number:
                raise edk2.PowerCut
        host.guest.nor.written = written
        try:
            hosts.work(host, 5, 12, 30, (60, 300, 800))
        except edk2.PowerCut:
            host.guest.nor.written = host.written
            return host
        return None

    def test_what_the_firmware_has_lost_is_kept_until_it_is_given_up(self):
        lost = 0
        for model in MODELS:
            for number in range(1, 2000, 67):
                host = self.reset_at(model, number)
                if host is None:
                    break
                lost += self.go_on(host)
        self.assertGreater(lost, 3)

    def test_loss_is_not_committed_by_a_rewrite_of_what_is_left(self):
        host = hosts.Host(block=SMALL)
        host.guest.boot()
        for number in range(6):
            host.set(f'V{number}', b'x' * 300)
        before = host.committed[-1]
        # A pass that was cut short behind the second variable.
        start = host.guest.nor.block
        region = bytearray(host.guest.nor.content[:start])
        volume = varstore.volume_of(bytes(host.region))
        end = [entry.end for entry in varstore.entries(
            bytes(host.region), volume)][1] + volume.store_start
        region[end:] = b'\xff' * (start - end)
        host.checking = False
        host.guest.nor.erase(0)
        host.guest.nor._program(0, region)
        host.guest._reclaim()
        self.assertTrue(before == host.committed[-1])
        self.assertEqual('open', host.flash.state)

    def go_on(self, host):
        """Start the guest anew; return whether it has lost something."""
        under_way = {host.under_way[0]} if host.under_way else set()
        before = host.acknowledged.keys() - under_way
        host.checking = False
        try:
            host.guest.boot()
            lost = before - host.guest.variables().keys()
        except exception.VariableStoreInvalid:
            # A name was torn, which no firmware gets rid of: never accepted.
            self.assertEqual('open', host.flash.state)
            return True
        host.set('New', b'new')
        if not host.accepted:
            self.assertLessEqual(
                before, hosts.variables(host.committed[-1]).keys())
        self.assertFalse(host.accepted and not lost)
        hosts.work(host, 7, 12)
        # A rewrite has to come to its end first.
        host.now += 60.0
        hosts.work(host, 8, 12)
        self.assertTrue(host.guest.variables() ==
                        hosts.variables(host.committed[-1]))
        return bool(lost)


class FormattedTest(unittest.TestCase):
    """The firmware formats a store that held something."""

    def setUp(self):
        self.committed = store(Old=b'old', Other=b'other' * 100)

    def host(self, model, committed=None, trouble=None):
        committed = committed or self.committed
        host = hosts.Host(model)
        host.take_over(committed)
        host.checking = False
        host.trouble = trouble or (lambda: None)
        host.guest._format()
        return host

    def test_is_accepted_after_time_and_writes(self):
        for model in MODELS:
            host = self.host(model)
            host.guest.boot()
            host.set('New', b'new')
            self.assertTrue([self.committed] == host.committed)
            self.assertEqual('open', host.flash.state)
            hosts.work(host, 1, 12)
            self.assertEqual((1, 'whole'), (host.accepted, host.flash.state))
            self.assertEqual(host.guest.variables(),
                             hosts.variables(host.committed[-1]))
            host.checking = True
            host.acknowledged = host.guest.variables()
            hosts.work(host, 2, 12)

    def test_is_not_accepted_after_writes_alone(self):
        for model in MODELS:
            host = self.host(model)
            # As if the last twenty writes had come at once.
            host.trouble = lambda: setattr(host, 'now', 0.0)
            host.restart()
            host.guest.boot()
            hosts.work(host, 1, 20)
            self.assertTrue([self.committed] == host.committed)

    def test_is_not_accepted_after_time_alone(self):
        for model in MODELS:
            host = self.host(model)
            host.guest.boot()
            host.now += DAY
            host.guest._clear(host.guest.nor.block + 4096, 0)
            host.flash.judge(host.now)
            self.assertTrue([self.committed] == host.committed)

    def test_rewrite_is_never_taken_for_it_however_long_it_takes(self):
        for model in MODELS:
            host = hosts.Host(model, SMALL)
            host.guest.boot()
            host.trouble = lambda: setattr(host, 'now', host.now + DAY)
            hosts.work(host, 1, 80, 14, (300, 700))
            self.assertGreater(host.guest.rewrites, 0)
            self.assertEqual(0, host.accepted)

    def test_store_that_nobody_understands_is_followed_by_what_is_formatted(
            self):
        host = self.host(MODELS[0], b'junk' * 65536)
        host.guest.boot()
        host.set('New', b'new')
        self.assertEqual({'New': b'new'},
                         hosts.variables(host.committed[-1]))
        self.assertEqual(0, host.accepted)


class FlashTest(unittest.TestCase):
    def test_first_format_of_a_flash_commits_with_the_first_variable(self):
        host = hosts.Host()
        self.assertEqual('unformatted', host.flash.state)
        host.guest.boot()
        self.assertEqual('whole', host.flash.state)
        self.assertEqual([b''], host.committed)
        host.set('One', b'1')
        self.assertEqual({'One': b'1'}, hosts.variables(host.committed[-1]))

    def test_rewrite_that_only_moves_variables_is_committed(self):
        host = hosts.Host(block=SMALL)
        host.guest.boot()
        hosts.work(host, 1, 20)
        count = len(host.committed)
        host.guest._reclaim()
        self.assertEqual(count + 1, len(host.committed))

    def test_arriving_flash_is_judged_with_its_last_byte(self):
        old, new = store(One=b'1'), store(One=b'1', Two=b'2')
        flash = whole.Flash(bytearray(whole.region_of(old)), old,
                            arriving=True)
        content = whole.region_of(new)
        for start in range(0, len(content), 65536):
            self.assertTrue(flash.arriving)
            news = flash.write(start, content[start:start + 65536], 1.0)
        self.assertTrue(news)
        self.assertFalse(flash.arriving)
        self.assertEqual('whole', flash.state)

    def test_small_write_says_that_a_flash_has_arrived(self):
        committed = store(One=b'1')
        region = whole.region_of(committed)
        flash = whole.Flash(bytearray(region), committed, arriving=True)
        self.assertFalse(flash.write(4096, region[4096:8192], 1.0))
        self.assertFalse(flash.arriving)

    def test_write_that_changes_nothing_repeats_what_is_due(self):
        committed = store(One=b'1')
        changed = bytearray(whole.region_of(store(One=b'1', Two=b'2')))
        flash = whole.Flash(bytearray(whole.region_of(committed)), committed)
        self.assertTrue(flash.write(0, bytes(changed), 1.0))
        self.assertTrue(flash.write(0, bytes(changed[:4096]), 1.0))
        flash.mark_committed()
        self.assertFalse(flash.write(0, bytes(changed[:4096]), 1.0))

    def test_released_region_can_be_resized(self):
        region = bytearray(whole.region_of(b''))
        flash = whole.Flash(region, b'')
        flash.release()
        region.clear()

    def test_canonical_store_makes_the_same_flash(self):
        for canonical in b'', store(), store(One=b'1'):
            region = whole.region_of(canonical)
            self.assertEqual(canonical, whole.canonical_of(region))
            self.assertEqual(len(region), whole.region_size(canonical))

    def test_volume_larger_than_what_is_served_is_refused(self):
        head = bytearray(store()[:4096])
        head[32:40] = (whole.REGION_MAX + 1).to_bytes(8, 'little')
        self.assertRaises(exception.VariableStoreInvalid, whole.region_of,
                          bytes(head))
