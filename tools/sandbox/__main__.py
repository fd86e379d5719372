# SPDX-License-Identifier: Apache-2.0
"""``python3 -m tools.sandbox COMMAND``, from the top of the checkout."""
import argparse
import os
import sys

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox import hosts
from tools.sandbox import infrastructure
from tools.sandbox import packages
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import services


def install(_arguments: argparse.Namespace) -> None:
    """Install what the sandbox needs."""
    packages.install()


def up(arguments: argparse.Namespace) -> None:
    """Install and start everything."""
    install(arguments)
    with progress.step('MariaDB, RabbitMQ, memcached'):
        infrastructure.start()
    with progress.step('Ceph'):
        ceph.start()
    with progress.step('OpenStack'):
        services.start_apis()
    with progress.step('users, quotas, types'):
        _in_venv('tools.sandbox.resources')
    services.start_workers()
    with progress.step('compute hosts'):
        for host in config.HOSTS:
            hosts.ComputeHost(host).start()
        _in_venv('tools.sandbox.ready')


def _in_venv(module: str, *arguments: str) -> None:
    process.run(config.BIN / 'python', '-m', module, *arguments,
                environment=infrastructure.path_environment(),
                cwd=config.CHECKOUT)


def demo(arguments: argparse.Namespace) -> None:
    """Start everything and show what it is for."""
    first = not config.VENV.exists()
    up(arguments)
    os.chdir(config.CHECKOUT)
    os.execve(config.BIN / 'python', [
        str(config.BIN / 'python'), '-m', 'tools.sandbox.demo',
        '--since', str(progress.elapsed()), *(['--first'] if first else [])],
        {**os.environ, **infrastructure.path_environment()})


def down(_arguments: argparse.Namespace) -> None:
    """End every process of the sandbox; its data stays for the next time."""
    for host in config.HOSTS:
        with progress.step(f'end {host.name}'):
            hosts.ComputeHost(host).stop()
    for name in (*services.names(), *ceph.names(), *infrastructure.names()):
        process.stop_recorded(config.RUN / f'{name}.json')
    left = sorted(path.stem for path in config.RUN.glob('*.json'))
    if left:
        raise process.SandboxError(f'still recorded as running: {left}')
    progress.say('everything has ended')


def status(_arguments: argparse.Namespace) -> None:
    """Show which processes of the sandbox run."""
    for path in sorted(config.RUN.glob('*.json')):
        print(f'{path.stem:28} {process.recorded_pid(path) or "ended"}')


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='tools.sandbox', description=__doc__)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for work in (install, up, demo, down, status):
        commands.add_parser(work.__name__, help=work.__doc__).set_defaults(
            work=work)
    arguments = parser.parse_args()
    if os.geteuid():
        print('The sandbox has to be run by root.', file=sys.stderr)
        return 2
    try:
        arguments.work(arguments)
    except process.SandboxError as error:
        print(f'\nThe sandbox failed: {error}\n\nLogs: {config.LOGS}',
              file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
