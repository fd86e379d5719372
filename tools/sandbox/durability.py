# SPDX-License-Identifier: Apache-2.0
"""Kills QEMU right after a guest has written a variable. Runs in the venv.

What the guest was told is written has to be on the volume, read there past
everything that has died: fresh, after a pause (which lets QEMU flush, and
librbd begin to hold writes back), and after a live migration.
"""
import argparse
from collections.abc import Callable
from concurrent import futures
import os
import secrets
import signal
import sys
import threading

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import progress
from tools.sandbox import readings
from tools.sandbox import stories
from tools.sandbox import table as tables

_HOSTS = (config.ARMVM, config.ARMVM_2)
_MIGRATING = threading.Lock()


class Victim:
    """A server whose QEMU is killed again and again."""

    def __init__(self, number: int, table: tables.Table,
                 tenant: cloud.Tenant, operator: admin.Operator) -> None:
        self.operator = operator
        self.story = stories.Story(f'Guest {number}', table, tenant)
        self.story.first_boot(
            'disk A, an empty store',
            tenant.image(image.DISK_A, cloud.PERSISTENT), config.ARMVM)
        self.volume_id = operator.store_volumes(self.story.server.id)[0].id

    def losses(self, times: int, before: Callable[['Victim'], None]) -> int:
        """Kill it some times; return how often what it wrote was lost.

        :param before: done to the running guest each time.
        """
        return sum(not self._survives(before) for _time in range(times))

    def _survives(self, before: Callable[['Victim'], None]) -> bool:
        server = self.story.server
        before(self)
        content = secrets.token_bytes(16)
        wanted = stories.option_for(image.DISK_A, content.hex())
        server.console.write('Boot0070', wanted)
        os.kill(server.host.qemu_pid(server.id), signal.SIGKILL)
        found = readings.by_our_parser(self.volume_id).get('Boot0070')
        server.console.skip()
        server.wait('SHUTOFF')
        server.start()
        self.story.booted()
        return found == wanted.hex()

    def pause(self) -> None:
        """Pause it and let it go on."""
        self.story.server.pause()

    def migrate(self) -> None:
        """Migrate it to the other host while it runs."""
        server = self.story.server
        here = server.host.host
        to = _HOSTS[1 - _HOSTS.index(here)]
        # A host sends one guest at a time, so those behind it would wait.
        with _MIGRATING:
            self.operator.live_migrate(server, to)
        server.is_at(to)

    def delete(self) -> None:
        """End it for good."""
        self.story.server.delete()


_CASES: dict[str, Callable[[Victim], None]] = {
    'fresh': lambda victim: None,
    'after a pause': Victim.pause,
    'after a live migration': Victim.migrate,
}


def _kill(table: tables.Table, victims: list[Victim], times: int) -> None:
    """Do every case with all guests side by side."""
    each = -(-times // len(victims))
    with futures.ThreadPoolExecutor(len(victims)) as pool:
        for case, before in _CASES.items():
            def kill() -> tuple[str, bool]:
                lost = sum(pool.map(
                    lambda victim: victim.losses(each, before), victims))
                return f'{lost} of {each * len(victims)} lost', not lost
            table.check('QEMU is killed right after a guest has written',
                        f'{case}, {each * len(victims)} times', 'none lost',
                        kill)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--times', type=int, default=100,
                        help='how often in each case')
    parser.add_argument('--guests', type=int, default=10,
                        help='how many guests side by side')
    arguments = parser.parse_args()
    progress.begin(0)
    table = tables.Table()
    tenant, operator = cloud.Tenant(), admin.Operator()
    tenant.clean_up()
    operator.use_only(config.ARMVM)
    tenant.image(image.DISK_A, cloud.PERSISTENT)
    victims: list[Victim] = []
    try:
        for number in range(arguments.guests):
            victims.append(Victim(number, table, cloud.Tenant(), operator))
        operator.use_only(*_HOSTS)
        _kill(table, victims, arguments.times)
    finally:
        for victim in victims:
            victim.delete()
        table.print()
    return 1 if table.count(tables.Mark.FAILED) else 0


if __name__ == '__main__':
    sys.exit(main())
