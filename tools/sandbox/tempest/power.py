# SPDX-License-Identifier: Apache-2.0
"""Take the power from a compute host, or give it back.

What tempest.conf names as host_down_command and host_up_command.
"""
import argparse
import sys

from tools.sandbox import config
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import ready
from tools.sandbox import resources


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('power', choices=('down', 'up'))
    parser.add_argument('host', choices=[host.name for host in config.HOSTS])
    arguments = parser.parse_args()
    host = hosts.ComputeHost(next(
        each for each in config.HOSTS if each.name == arguments.host))
    try:
        if arguments.power == 'down':
            host.kill()
        else:
            host.start()
            # Whoever has told Nova that it is dead takes that back later.
            ready.wait_for(resources.connect(), {arguments.host},
                           forced_down=True)
    except process.SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
