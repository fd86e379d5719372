# SPDX-License-Identifier: Apache-2.0
"""What each operation costs more than without persistence. Runs in the venv.

The same operations on the same hosts, alternating: once for a server whose
variables are volatile, for which Nova's own code does everything, and once
for one whose variables are persistent.
"""
import argparse
from collections.abc import Callable
import dataclasses
import re
import statistics
import sys
import time

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.faults import breaking
from tools.sandbox.faults import operations
from tools.sandbox.faults import subject as subjects
from tools.sandbox import process
from tools.sandbox import progress

VOLATILE = {'hw_armvm_nvram': 'volatile'}
_ANSWERED = re.compile(rb' returned with HTTP ')
#: Work that goes on after an operation has asked Cinder nothing for so long.
_QUIET_SECONDS = 3
_LIMIT = 60


@dataclasses.dataclass
class Cost:
    """What some operations of one kind took."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    requests: list[int] = dataclasses.field(default_factory=list)

    def add(self, work: Callable[[], None]) -> None:
        """Do it and keep what it took."""
        before, begun = _requests(), time.monotonic()
        work()
        self.seconds.append(time.monotonic() - begun)
        self.requests.append(_requests_when_quiet() - before)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def _requests() -> int:
    """Return how many requests Cinder's API has answered."""
    return len(_ANSWERED.findall(
        (config.LOGS / 'cinder-api.log').read_bytes()))


def _requests_when_quiet() -> int:
    seen = [(_requests(), time.monotonic())]

    def quiet() -> bool:
        now = _requests()
        if now != seen[-1][0]:
            seen.append((now, time.monotonic()))
        return time.monotonic() - seen[-1][1] > _QUIET_SECONDS
    process.wait_for(quiet, _LIMIT, 'an end of requests to Cinder')
    return seen[-1][0]


def _life(subject: subjects.Subject, costs: dict[str, Cost]) -> None:
    """Do every operation once with a server that is made and deleted."""
    def first_boot() -> None:
        subject.ask_for_server()
        subject.until('ACTIVE')
    costs.setdefault('first-boot', Cost()).add(first_boot)
    for name, work in operations.OPERATIONS.items():
        if name in operations.FIRST | operations.LAST | operations.ALONE:
            continue
        costs.setdefault(name, Cost()).add(lambda: work(subject))
        progress.say(f'{subject.name}: {name} {costs[name].seconds[-1]:.1f}s,'
                     f' {costs[name].requests[-1]} requests')
    costs.setdefault('delete', Cost()).add(
        lambda: operations.OPERATIONS['delete'](subject))


def _print(without: dict[str, Cost], having: dict[str, Cost]) -> None:
    print(f'{"":20} {"volatile":>10} {"persistent":>11} {"added":>8} '
          f'{"ratio":>6} {"Cinder":>8}')
    for name, ours in having.items():
        stock = without[name]
        print(f'{name:20} {stock.median:9.2f}s {ours.median:10.2f}s '
              f'{ours.median - stock.median:+7.2f}s '
              f'{ours.median / stock.median:6.2f} '
              f'{statistics.median(ours.requests):+8.0f}')
    if any(sum(cost.requests) for cost in without.values()):
        print('Note: Cinder was asked without persistence, too; somebody '
              'else uses it.')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--times', type=int, default=3)
    arguments = parser.parse_args()
    progress.begin(0)
    cloud.Tenant().clean_up()
    admin.Operator().use_only(*breaking.OURS)
    without: dict[str, Cost] = {}
    having: dict[str, Cost] = {}
    for _time in range(arguments.times):
        for name, properties, costs in (
                ('volatile', VOLATILE, without),
                ('persistent', cloud.PERSISTENT, having)):
            subject = subjects.Subject(name, properties)
            subject.healed.set()
            subject.pause = 0.1
            _life(subject, costs)
    _print(without, having)
    return 0


if __name__ == '__main__':
    sys.exit(main())
