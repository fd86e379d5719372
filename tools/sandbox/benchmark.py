# SPDX-License-Identifier: Apache-2.0
"""What the persistence costs: first boots of both drivers, alternating."""
import statistics

from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import progress
from tools.sandbox import table as tables

ROUNDS = 5
#: Where five rounds miss the mark this many decide, all of them together:
#: a neighbour on the same machine moves the median of five by half a second.
MOST_ROUNDS = 15
ALLOWED_SECONDS = 0.5


def run(table: tables.Table, tenant: cloud.Tenant) -> None:
    """Boot the same image under both drivers; compare the medians.

    Measured from the API call to ACTIVE, one after the other, on a machine
    that does nothing else.
    """
    pictures = {
        config.STOCK: tenant.image(image.DISK_A, {}),
        config.ARMVM: tenant.image(image.DISK_A, cloud.PERSISTENT)}
    seconds: dict[config.Host, list[float]] = {
        host: [] for host in pictures}

    def alternate() -> tuple[str, bool]:
        rounds = 0
        while rounds < ROUNDS or (rounds < MOST_ROUNDS and
                                  _difference(seconds) > ALLOWED_SECONDS):
            for host, picture in pictures.items():
                server, taken = tenant.timed_boot(f'benchmark-{rounds}',
                                                  picture, host)
                seconds[host].append(taken)
                server.delete()
            rounds += 1
            progress.say(f'round {rounds}: ' + ', '.join(
                f'{host.driver} {taken[-1]:.2f}s'
                for host, taken in seconds.items()))
        return (_in_words(seconds), _difference(seconds) <= ALLOWED_SECONDS)

    table.check('From API call to ACTIVE',
                f'median of {ROUNDS} boots each, alternating',
                f'at most {ALLOWED_SECONDS}s more', alternate,
                tables.Mark.OVER)


def _difference(seconds: dict[config.Host, list[float]]) -> float:
    return (statistics.median(seconds[config.ARMVM]) -
            statistics.median(seconds[config.STOCK]))


def _in_words(seconds: dict[config.Host, list[float]]) -> str:
    medians = [(host.driver, statistics.median(taken))
               for host, taken in seconds.items()]
    (_, stock), (_, ours) = medians
    return (', '.join(f'{driver} {median:.2f}s'
                      for driver, median in medians) +
            f', difference {ours - stock:+.2f}s (ratio {ours / stock:.2f}, '
            f'{len(seconds[config.STOCK])} boots each)')
