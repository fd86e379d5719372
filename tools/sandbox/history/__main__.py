# SPDX-License-Identifier: Apache-2.0
"""Guests that write all the time while everything happens to them.

Runs in the venv. The same seed has the same things happen. Ends at the first
violation, unless told to go on.
"""
import argparse
import sys

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.faults import breaking
from tools.sandbox.faults import operations
from tools.sandbox.history import following
from tools.sandbox.history import kills
from tools.sandbox.history import rounds
from tools.sandbox.history import walk
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import ready

#: Operations after which another store, or none, is what everybody expects.
_NOT_HERE = operations.FIRST | operations.LAST | operations.RESETS
OPERATIONS = tuple(name for name in operations.OPERATIONS
                   if name not in _NOT_HERE)


def _print(done: rounds.Rounds, of: int) -> None:
    for title, counted in (('operation', done.operations),
                           ('killed', done.killed)):
        print(f'\n{title:26} times\n{"-" * 32}')
        for name, count in sorted(counted.items()):
            print(f'{name:26} {count:5}')
    counts = done.counts()
    print(f'\n{done.steps} of {of} steps, {sum(done.operations.values())} '
          f'operations, {sum(done.killed.values())} kills, '
          f'{counts.boots} boots')
    print(f'{counts.acknowledged} writes acknowledged, '
          f'{counts.refused} refused, {done.beyond_help} servers beyond '
          f'help, {len(done.violations)} violations')


def _walk(done: rounds.Rounds, steps: list[walk.Step], go_on: bool) -> None:
    """Do steps until something is lost."""
    done.begin()
    for step in steps:
        try:
            done.run(step)
        except rounds.Violated as error:
            print(f'\n{error}\n', flush=True)
            if not go_on:
                return
            done.begin_anew()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--steps', type=int, default=36)
    parser.add_argument('--guests', type=int, default=2)
    parser.add_argument('--volume-type', default=config.VOLUME_TYPE,
                        choices=(config.VOLUME_TYPE,
                                 config.BLOCK_VOLUME_TYPE))
    parser.add_argument('--go-on', action='store_true',
                        help='do not end at the first violation')
    return parser


def _tidy(operator: admin.Operator) -> None:
    for host in breaking.OURS:
        if not hosts.ComputeHost(host).is_up():
            operator.bring_back(host)
    operator.use_volume_type(config.VOLUME_TYPE)
    ready.wait_for(operator.cloud, {host.name for host in config.HOSTS})


def main() -> int:
    arguments = _parser().parse_args()
    progress.begin(0)
    operator = admin.Operator()
    cloud.Tenant().clean_up()
    operator.use_only(*breaking.OURS)
    operator.use_volume_type(arguments.volume_type)
    steps = walk.plan(arguments.seed, arguments.steps, arguments.guests,
                      OPERATIONS, sorted(operations.ALONE),
                      {name: kind.away for name, kind
                       in kills.KILLS.items()})
    print(f'seed {arguments.seed}, {arguments.steps} steps, '
          f'{arguments.guests} guests, {arguments.volume_type}')
    with following.Listener() as listener:
        done = rounds.Rounds(operator, listener, arguments.seed,
                             arguments.guests)
        try:
            _walk(done, steps, arguments.go_on)
        except (process.SandboxError, rounds.subjects.Unfinished) as error:
            print(f'ended early: {error}', file=sys.stderr)
            return 1
        finally:
            _print(done, len(steps))
            _tidy(operator)
        if arguments.go_on or not done.violations:
            # Else they stay, for who looks into it.
            done.end()
    return 1 if done.violations else 0


if __name__ == '__main__':
    sys.exit(main())
