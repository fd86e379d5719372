# SPDX-License-Identifier: Apache-2.0
"""The demo: runs the stories in a sandbox that is up. Runs in the venv."""
import argparse
from concurrent import futures
import json
import os
import sys
import traceback

from tools.sandbox import admin
from tools.sandbox import benchmark
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox import conformance
from tools.sandbox import documented
from tools.sandbox.guest import image
from tools.sandbox import moves
from tools.sandbox import operators
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import secure_boot
from tools.sandbox import stories
from tools.sandbox import table as tables
from tools.sandbox import take_over

#: The matrix of machines, beside what moves.py has.
_HARDWARE = 'hardware'
#: What an operator does with armvm-manage.
_COMMANDS = 'commands'
#: Keys that come with an image.
_SECURE_BOOT = 'secure-boot'
#: What a reader types who follows the documentation.
_DOCUMENTATION = 'documentation'
#: From Nova's driver to this one and back.
_TAKE_OVER = 'take-over'
_OPERATIONS = (_HARDWARE, _COMMANDS, _SECURE_BOOT, _DOCUMENTATION,
               _TAKE_OVER, *moves.OPERATIONS)

AIM_SECONDS = 900


def _run_stories(table: tables.Table, only: tuple[str, ...]) -> None:
    tenant, operator = cloud.Tenant(), admin.Operator()
    # Where a server goes is known until it is to move.
    operator.use_only(config.ARMVM)
    with progress.step('guest images'):
        tenant.clean_up()
        for disk in image.ALL:
            tenant.image(disk, cloud.PERSISTENT)
        for disk in (stories.DISK_A, stories.DISK_B):
            tenant.image(disk, {})
    if only:
        _some(table, operator, only)
    elif _together(table,
                   (stories.boot_order, table, cloud.Tenant()),
                   (stories.main_job, table, tenant, operator),
                   (_on_stock_host, table, cloud.Tenant(), operator)):
        # Not beside the others: they restart nova-compute, which takes a
        # build that comes in meanwhile for one that is stuck.
        _together(table, (conformance.run, table, cloud.Tenant()),
                  (operators.run, table, cloud.Tenant(), operator),
                  (secure_boot.run, table, cloud.Tenant(), operator),
                  (documented.run, table))
        _together(table, (benchmark.run, table, tenant))
        _together(table, (moves.run, table, operator, moves.OPERATIONS))


def _some(table: tables.Table, operator: admin.Operator,
          names: tuple[str, ...]) -> None:
    """Run what was named on the command line."""
    others = tuple(name for name in names if name in moves.OPERATIONS)
    if _HARDWARE in names:
        _together(table, (conformance.run, table, cloud.Tenant()))
    if _COMMANDS in names:
        _together(table, (operators.run, table, cloud.Tenant(), operator))
    if _SECURE_BOOT in names:
        _together(table, (secure_boot.run, table, cloud.Tenant(), operator))
    if _DOCUMENTATION in names:
        _together(table, (documented.run, table))
    if _TAKE_OVER in names:
        _together(table, (take_over.run, table, cloud.Tenant(), operator))
    if others:
        _together(table, (moves.run, table, operator, others))


def _on_stock_host(table: tables.Table, tenant: cloud.Tenant,
                   operator: admin.Operator) -> None:
    stories.control(table, tenant)
    take_over.run(table, tenant, operator)


def _together(table: tables.Table, *works: tuple) -> bool:
    """Run functions side by side; note what ended early, tell if none did."""
    with futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(*work) for work in works]
    failed = [work.exception() for work in running if work.exception()]
    for error in failed:
        if not isinstance(error, process.SandboxError):
            traceback.print_exception(error)
        table.fail('ended early', str(error))
    return not failed


def _summarise(table: tables.Table) -> None:
    """Tell a program, too, if it asked for it."""
    path = os.environ.get('ARMVM_DEMO_SUMMARY')
    if path:
        with open(path, 'w', encoding='utf-8') as stream:
            json.dump({'passed': table.count(tables.Mark.OK),
                       'failed': table.count(tables.Mark.FAILED),
                       'skipped': table.count(tables.Mark.OVER)}, stream)


def _operations(text: str) -> tuple[str, ...]:
    """Read the names of operations from the command line."""
    names = tuple(text.split(',')) if text else ()
    unknown = [name for name in names if name not in _OPERATIONS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f'no such operation: {", ".join(unknown)}; there are: '
            f'{", ".join(_OPERATIONS)}')
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--since', type=float, default=0.0,
                        help='seconds already spent on bringing it up')
    parser.add_argument('--first', action='store_true',
                        help='everything was installed in this run')
    parser.add_argument('--ops', type=_operations, default=(),
                        help='only these operations, with commas: '
                        + ', '.join(_OPERATIONS))
    arguments = parser.parse_args()
    progress.begin(arguments.since)
    table = tables.Table()
    _together(table, (_run_stories, table, arguments.ops))
    table.print()
    print(f'\n{table.count(tables.Mark.OK)} of {len(table.rows)} steps as '
          'expected')
    if table.count(tables.Mark.OVER):
        print('OVER: longer than it should take. Repeat it on a machine that '
              'does nothing else before you believe it.')
    which = 'first' if arguments.first else 'repeated'
    print(f'This was a {which} run: {progress.elapsed():.0f}s (bringing up '
          f'{arguments.since:.0f}s); the aim is {AIM_SECONDS}s.')
    print(f'Logs: {config.LOGS}')
    _summarise(table)
    return 1 if table.count(tables.Mark.FAILED) else 0


if __name__ == '__main__':
    sys.exit(main())
