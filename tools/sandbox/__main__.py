# SPDX-License-Identifier: Apache-2.0
"""``python3 -m tools.sandbox COMMAND``, from the top of the checkout."""
import argparse
from concurrent import futures
import os
import pathlib
import shutil
import sys

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import hosts
from tools.sandbox import infrastructure
from tools.sandbox import loops
from tools.sandbox import network
from tools.sandbox import packages
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import services
from tools.sandbox import shell as shells

#: What --purge keeps: it takes long to make and holds no state.
_KEPT = (config.VENV, config.LOGS, config.STATE / 'guest')


def install(_arguments: argparse.Namespace) -> None:
    """Install what the sandbox needs."""
    process.wait_for_other_runs()
    packages.install()


def up(arguments: argparse.Namespace) -> None:
    """Install and start everything."""
    install(arguments)
    network.start()
    with futures.ThreadPoolExecutor() as pool:
        beside = [pool.submit(work) for work in (_start_ceph, _build_guests)]
        with progress.step('MariaDB, RabbitMQ, memcached'):
            infrastructure.start()
        with progress.step('OpenStack'):
            services.start_apis()
        with progress.step('users, quotas, types'):
            _in_venv('tools.sandbox.resources')
        for work in beside:
            work.result()
    loops.drop_stale(config.LOOPS)
    services.start_workers()
    with progress.step('compute hosts'):
        for host in config.HOSTS:
            hosts.ComputeHost(host).start()
        _in_venv('tools.sandbox.ready')


def _start_ceph() -> None:
    with progress.step('Ceph'):
        ceph.start()


def _build_guests() -> None:
    with progress.step('guest disks'):
        for disk in (*image.ALL, *image.FOR_SECURE_BOOT):
            image.build(disk)


def _in_venv(module: str, *arguments: str) -> None:
    process.run(config.BIN / 'python', '-m', module, *arguments,
                environment=infrastructure.path_environment(),
                cwd=config.CHECKOUT)


def demo(arguments: argparse.Namespace) -> None:
    """Start everything and show what it is for."""
    first = not config.VENV.exists()
    up(arguments)
    _become('tools.sandbox.demo', '--since', str(progress.elapsed()),
            '--ops', arguments.ops, *(['--first'] if first else []))


def durability(arguments: argparse.Namespace) -> None:
    """Kill QEMU often, right after a guest has written a variable."""
    up(arguments)
    _become('tools.sandbox.durability', '--times', str(arguments.times))


def costs(arguments: argparse.Namespace) -> None:
    """Compare every operation with and without persistent variables."""
    up(arguments)
    _become('tools.sandbox.costs', '--times', str(arguments.times))


def tempest(arguments: argparse.Namespace) -> None:
    """Run the plugin for Tempest and Tempest's smoke tests of Nova."""
    up(arguments)
    with progress.step('guest disks for Tempest'):
        for disk in image.ALL_UNATTENDED:
            image.build(disk)
    _become('tools.sandbox.tempest', '--tests', arguments.tests)


def history(arguments: argparse.Namespace) -> None:
    """Let guests write while everything happens to them; nothing is lost."""
    up(arguments)
    _become('tools.sandbox.history', '--seed', str(arguments.seed),
            '--steps', str(arguments.steps), '--guests',
            str(arguments.guests), '--volume-type', arguments.volume_type,
            *(['--go-on'] if arguments.go_on else []))


def faults(arguments: argparse.Namespace) -> None:
    """Break something at every step of every operation."""
    # Before the hosts are described: it is another nova-compute.
    os.environ[config.STEPS_VARIABLE] = 'yes'
    up(arguments)
    _become('tools.sandbox.faults', '--ops', arguments.ops, '--faults',
            arguments.faults, '--steps', str(arguments.steps), '--at',
            arguments.at,
            '--volume-type', arguments.volume_type)


def _become(module: str, *arguments: str) -> None:
    """Go on as a module that needs what is in the virtual environment."""
    os.chdir(config.CHECKOUT)
    os.execve(config.BIN / 'python',
              [str(config.BIN / 'python'), '-m', module, *arguments],
              {**os.environ, **infrastructure.path_environment()})


def down(arguments: argparse.Namespace) -> None:
    """End every process of the sandbox; its data stays for the next time."""
    with futures.ThreadPoolExecutor() as pool:
        with progress.step('end the compute hosts'):
            list(pool.map(lambda host: hosts.ComputeHost(host).stop(),
                          config.HOSTS))
        with progress.step('end OpenStack'):
            list(pool.map(process.stop_named, services.names()))
    with progress.step('end the rest'):
        for name in (*ceph.names(), *infrastructure.names()):
            process.stop_named(name)
    # Of tools.sandbox.loop_driver; nobody has them open any more.
    loops.detach_all(config.LOOPS)
    network.stop()
    left = sorted(path.stem for path in config.RUN.glob('*.json'))
    if left:
        raise process.SandboxError(f'still recorded as running: {left}')
    progress.say('everything has ended')
    if arguments.purge:
        with progress.step('delete the data'):
            for path in config.STATE.iterdir():
                if path not in _KEPT:
                    _delete(path)


def _delete(path: pathlib.Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def status(_arguments: argparse.Namespace) -> None:
    """Show which processes of the sandbox run."""
    for path in sorted(config.RUN.glob('*.json')):
        print(f'{path.stem:28} {process.recorded_pid(path) or "ended"}')


def shell(arguments: argparse.Namespace) -> None:
    """Open a shell with the credentials of the administrator."""
    shells.run(config.TENANT if arguments.tenant else 'admin')


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='tools.sandbox', description=__doc__)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for work in (install, up, demo, costs, durability, faults, history,
                 tempest, down, status, shell):
        command = commands.add_parser(work.__name__, help=work.__doc__)
        command.set_defaults(work=work)
        if work is demo:
            command.add_argument(
                '--ops', default='', metavar='OPERATION,...',
                help='show these operations and nothing else')
        if work is tempest:
            command.add_argument(
                '--tests', default='', metavar='REGEX',
                help='only the tests whose name matches')
        if work is durability:
            command.add_argument('--times', type=int, default=100,
                                 help='how often in each case')
        if work is costs:
            command.add_argument('--times', type=int, default=3,
                                 help='how often each')
        if work is faults:
            command.add_argument(
                '--ops', default='', metavar='OPERATION,...',
                help='only these operations')
            command.add_argument(
                '--faults', default='', metavar='FAULT,...',
                help='only these faults')
            command.add_argument(
                '--steps', type=int, default=0, metavar='N',
                help='only N steps of each operation, spread evenly')
            command.add_argument(
                '--at', default='', metavar='STEP',
                help='only this step, by the name that the suite prints')
        if work is history:
            command.add_argument('--seed', type=int, default=1, help='the '
                                 'same seed has the same things happen')
            command.add_argument('--steps', type=int, default=36,
                                 help='how many times something happens')
            command.add_argument('--guests', type=int, default=2,
                                 help='how many guests side by side')
            command.add_argument('--go-on', action='store_true',
                                 help='do not end at the first violation')
        if work in (faults, history):
            command.add_argument(
                '--volume-type', default=config.VOLUME_TYPE,
                help='of the stores: ' + ' or '.join(
                    (config.VOLUME_TYPE, config.BLOCK_VOLUME_TYPE)))
        if work is shell:
            command.add_argument(
                '--tenant', action='store_true',
                help='with those of the ordinary user of the demo')
        if work is down:
            command.add_argument(
                '--purge', action='store_true',
                help='delete its data, too; what is installed stays')
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
