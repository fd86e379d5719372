# SPDX-License-Identifier: Apache-2.0
"""What the persistence costs: first boots of both drivers, alternating."""
import statistics

from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import progress
from tools.sandbox import table as tables

ROUNDS = 5
ALLOWED_SECONDS = 0.5


def run(table: tables.Table, tenant: cloud.Tenant) -> None:
    """Boot the same image under both drivers; compare the medians.

    Measured from the API call to ACTIVE, five times each, one after the
    other, on a machine that does nothing else.
    """
    pictures = {
        config.STOCK: tenant.image(image.Disk('A'), {}),
        config.ARMVM: tenant.image(image.Disk('A'), cloud.PERSISTENT)}
    seconds: dict[config.Host, list[float]] = {
        host: [] for host in pictures}

    def alternate() -> tuple[str, bool]:
        for number in range(ROUNDS):
            for host, picture in pictures.items():
                server, taken = tenant.timed_boot(f'benchmark-{number}',
                                                  picture, host)
                seconds[host].append(taken)
                server.delete()
        median = {host: statistics.median(taken)
                  for host, taken in seconds.items()}
        more = median[config.ARMVM] - median[config.STOCK]
        for host, taken in seconds.items():
            progress.say(f'{host.driver}: ' + ' '.join(
                f'{each:.2f}' for each in taken))
        return (f'{config.STOCK.driver} {median[config.STOCK]:.2f}s, '
                f'{config.ARMVM.driver} {median[config.ARMVM]:.2f}s, '
                f'difference {more:+.2f}s (ratio '
                f'{median[config.ARMVM] / median[config.STOCK]:.2f})',
                more <= ALLOWED_SECONDS)

    table.check('From API call to ACTIVE',
                f'median of {ROUNDS} boots each, alternating',
                f'at most {ALLOWED_SECONDS}s more', alternate)
