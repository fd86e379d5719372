# SPDX-License-Identifier: Apache-2.0
"""Kills QEMU right after a guest has written a variable. Runs in the venv.

What the guest was told is written has to be on the volume, read there past
everything that has died: fresh, after a pause (which lets QEMU flush, and
librbd begin to hold writes back), and after a live migration.
"""
import argparse
from collections.abc import Callable
import os
import secrets
import signal
import sys

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import progress
from tools.sandbox import readings
from tools.sandbox import stories
from tools.sandbox import table as tables

_HOSTS = (config.ARMVM, config.ARMVM_2)


class Victim:
    """A server whose QEMU is killed again and again."""

    def __init__(self, table: tables.Table, tenant: cloud.Tenant,
                 operator: admin.Operator, volume_type: str) -> None:
        self.operator = operator
        self.story = stories.Story(
            f'What a guest wrote when its QEMU is killed ({volume_type})',
            table, tenant)
        operator.use_only(config.ARMVM)
        self.story.first_boot(
            'disk A, an empty store',
            tenant.image(image.DISK_A, cloud.PERSISTENT), config.ARMVM)
        operator.use_only(*_HOSTS)
        self.volume_id = operator.store_volumes(self.story.server.id)[0].id

    def kill_often(self, times: int, step: str,
                   before: Callable[[], None]) -> None:
        """Kill it some times after having done something to it.

        :param before: done to the running guest each time.
        """
        def kill() -> tuple[str, bool]:
            lost = sum(not self._survives(before) for _time in range(times))
            return f'{lost} of {times} lost', not lost
        self.story.check(f'{step}, {times} times', 'none lost', kill)

    def _survives(self, before: Callable[[], None]) -> bool:
        server = self.story.server
        before()
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
        self.operator.live_migrate(server, to)
        server.is_at(to)

    def delete(self) -> None:
        """End it for good."""
        self.story.server.delete()
        self.operator.use_only(config.ARMVM)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--times', type=int, default=100)
    arguments = parser.parse_args()
    progress.begin(0)
    table = tables.Table()
    tenant, operator = cloud.Tenant(), admin.Operator()
    tenant.clean_up()
    victim = Victim(table, tenant, operator, config.VOLUME_TYPE)
    try:
        victim.kill_often(arguments.times, 'fresh', lambda: None)
        victim.kill_often(arguments.times, 'after a pause', victim.pause)
        victim.kill_often(arguments.times, 'after a live migration',
                          victim.migrate)
    finally:
        victim.delete()
        table.print()
    return 1 if table.count(tables.Mark.FAILED) else 0


if __name__ == '__main__':
    sys.exit(main())
