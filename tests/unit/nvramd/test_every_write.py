# SPDX-License-Identifier: Apache-2.0
"""The host may fail after any write: nothing acknowledged may be lost.

Traces of what real firmware wrote to its flash (tools/flash_trace) are
replayed; see replay.py for what is looked at after every write.
"""
import testtools

from nova_armvm import exception
from nova_armvm.nvramd import whole
from nova_armvm.uefi import region
from tests.unit.nvramd import replay
from tests.unit.nvramd import trace_files

FIRMWARES = ('2022.11', '2025.02', '2026.08')
WORKLOADS = ('first-boot', 'full', 'random', 'reclaim', 'secure-boot')
_BLOCK = 256 * 1024
#: Errors of Linux that the guest was told.
_INVALID, _NO_SPACE = 22, 28


class Naive:
    """Commits what parses and is not what was committed."""

    def __init__(self, region: bytearray, committed: bytes) -> None:
        self._region = region
        self._committed = replay.variables_in(whole.region_of(committed))

    def _is_new(self, present: replay.Variables) -> bool:
        return present != self._committed

    def write(self, offset: int, content: bytes, _now: float) -> bool:
        self._region[offset:offset + len(content)] = content
        try:
            return self._is_new(replay.variables_in(self._region))
        except exception.VariableStoreInvalid:
            return False

    def canonical(self) -> bytes:
        return bytes(self._region[:_BLOCK])

    def mark_committed(self) -> None:
        self._committed = replay.variables_in(self._region)


class NoneMissing(Naive):
    """Commits what parses, unless a variable is missing."""

    def _is_new(self, present: replay.Variables) -> bool:
        return (super()._is_new(present) and
                self._committed.keys() <= present.keys())


class Late:
    """Commits what is right one write too late."""

    def __init__(self, region: bytearray, committed: bytes) -> None:
        self._flash = whole.Flash(region, committed)
        self._ready = self._next = b''

    def write(self, offset: int, content: bytes, now: float) -> bool:
        self._ready, self._next = self._next, b''
        if self._flash.write(offset, content, now):
            self._next = self._flash.canonical()
            self._flash.mark_committed()
        return bool(self._ready)

    def canonical(self) -> bytes:
        return self._ready

    def mark_committed(self) -> None:
        self._ready = b''


def replayed(firmware: str, workload: str,
             judge: replay.MakeJudge = whole.Flash,
             restart_every: int | None = None) -> replay.Replay:
    """Replay a trace; raises Lost when something is."""
    trace = trace_files.Trace(
        trace_files.DIRECTORY / f'{firmware}-{workload}.trace.xz')
    made = replay.Replay(trace, judge, restart_every)
    made.run()
    return made


class EveryWriteTest(testtools.TestCase):
    """Each trace is cut at every write."""

    def test_first_boot(self) -> None:
        commits = [replayed(firmware, 'first-boot').commits
                   for firmware in FIRMWARES]
        # Each is a write to the volume that the guest waits for.
        self.assertThat(max(commits), testtools.matchers.LessThan(31))

    def test_random_sizes_on_2022_11(self) -> None:
        replayed('2022.11', 'random')

    def test_random_sizes_on_2025_02(self) -> None:
        replayed('2025.02', 'random')

    def test_random_sizes_on_2026_08(self) -> None:
        replayed('2026.08', 'random')

    def test_reclaim_on_2022_11(self) -> None:
        replayed('2022.11', 'reclaim')

    def test_reclaim_on_2025_02(self) -> None:
        replayed('2025.02', 'reclaim')

    def test_reclaim_on_2026_08(self) -> None:
        replayed('2026.08', 'reclaim')

    def test_full_store_on_2022_11(self) -> None:
        replayed('2022.11', 'full')

    def test_full_store_on_2025_02(self) -> None:
        replayed('2025.02', 'full')

    def test_full_store_on_2026_08(self) -> None:
        replayed('2026.08', 'full')

    def test_keys_and_signed_variables(self) -> None:
        for firmware in FIRMWARES:
            made = replayed(firmware, 'secure-boot')
            # Of 70 operations and three boots: not one for each write.
            self.assertThat(made.commits, testtools.matchers.LessThan(120))


class RestartTest(testtools.TestCase):
    """The service ends at any write and starts again with the flash."""

    def test_at_every_write_of_a_first_boot(self) -> None:
        for firmware in FIRMWARES:
            replayed(firmware, 'first-boot', restart_every=1)

    def test_at_every_third_write_with_keys(self) -> None:
        replayed('2025.02', 'secure-boot', restart_every=3)

    def test_within_rewrites_of_random_sizes(self) -> None:
        replayed('2025.02', 'random', restart_every=61)

    def test_within_rewrites_of_a_full_store(self) -> None:
        replayed('2026.08', 'full', restart_every=211)


class OtherJudgesTest(testtools.TestCase):
    """What is wrong is found: the checks above can fail."""

    def test_what_parses_is_not_enough(self) -> None:
        for firmware in FIRMWARES:
            lost = self.assertRaises(replay.Lost, replayed, firmware,
                                     'secure-boot', Naive)
            self.assertIn('missing: Boot0000', str(lost))

    def test_nor_is_that_none_is_missing(self) -> None:
        for firmware in FIRMWARES:
            self.assertRaises(replay.Lost, replayed, firmware, 'secure-boot',
                              NoneMissing)

    def test_nor_is_a_commit_after_the_acknowledgement(self) -> None:
        for firmware in FIRMWARES:
            lost = self.assertRaises(replay.Lost, replayed, firmware,
                                     'secure-boot', Late)
            self.assertIn('not committed', str(lost))


class OldOnesTest(testtools.TestCase):
    """What was replaced does not come back when its successor is deleted."""

    def test_they_are_in_what_is_committed_and_not_in_what_is_served(
            self) -> None:
        for firmware in FIRMWARES:
            committed: set[bytes] = set()
            replay.Replay(
                trace_files.Trace(trace_files.DIRECTORY /
                                  f'{firmware}-first-boot.trace.xz'),
                whole.Flash, after_write=lambda running: committed.add(
                    running.canonical)).run()
            stale = [canonical for canonical in committed
                     if replay.stand_twice(
                         region.unchanged_region_of(canonical))]
            self.assertNotEqual([], stale)
            for canonical in stale:
                self.assertEqual(
                    set(), replay.stand_twice(whole.region_of(canonical)))
                self.assertEqual(
                    replay.variables_in(
                        region.unchanged_region_of(canonical)),
                    replay.variables_in(whole.region_of(canonical)))


class TracesTest(testtools.TestCase):
    """The traces hold what they are there for."""

    def _events(self, firmware: str,
                workload: str) -> list[trace_files.Event]:
        return list(trace_files.Trace(
            trace_files.DIRECTORY /
            f'{firmware}-{workload}.trace.xz').events())

    def _results(self, firmware: str, workload: str) -> list[int]:
        return [event.result for event in self._events(firmware, workload)
                if isinstance(event, trace_files.End)]

    def test_all_are_there_and_small(self) -> None:
        present = {path.name: path.stat().st_size
                   for path in trace_files.paths()}
        self.assertEqual({f'{firmware}-{workload}.trace.xz'
                          for firmware in FIRMWARES
                          for workload in WORKLOADS}, set(present))
        self.assertThat(sum(present.values()),
                        testtools.matchers.LessThan(2 << 20))

    def test_the_block_of_the_variables_is_erased(self) -> None:
        for firmware in FIRMWARES:
            for workload in 'random', 'secure-boot':
                erased = self._events(firmware, workload).count(
                    trace_files.Write(0, b'\xff' * _BLOCK))
                self.assertThat(erased, testtools.matchers.GreaterThan(20))

    def test_a_full_store_refuses_variables(self) -> None:
        for firmware in FIRMWARES:
            refused = self._results(firmware, 'full').count(_NO_SPACE)
            self.assertThat(refused, testtools.matchers.GreaterThan(3))

    def test_what_is_not_signed_is_refused(self) -> None:
        for firmware in FIRMWARES[1:]:
            self.assertIn(_INVALID, self._results(firmware, 'secure-boot'))

    def test_all_else_succeeds(self) -> None:
        for firmware in FIRMWARES:
            self.assertEqual({0}, set(self._results(firmware, 'random')))
