# SPDX-License-Identifier: Apache-2.0
"""The demo's story of a reader who types what the documentation shows.

What was printed is in the log ``documentation``, for pages to show.
"""
from collections.abc import Container
from collections.abc import Sequence
from concurrent import futures
import functools
import os
import pathlib
import re
import subprocess
import tempfile
import threading

from tools.documented import session
from tools.documented import shape
from tools.documented import stage
from tools.sandbox import config
from tools.sandbox import hosts
from tools.sandbox import infrastructure
from tools.sandbox import process
from tools.sandbox import scenery
from tools.sandbox import shell
from tools.sandbox import table as tables

NAME = 'What the documentation shows'
_HOST = config.ARMVM
_LIMIT = 300
_TRIES = 20
#: Most of the time goes to OpenStackClient, which takes a core.
_AT_ONCE = 3

#: What a cloud on ARM has and one that emulates it lacks, and a path.
_HERE = (
    ('openstack server create ',
     'openstack image set --property hw_emulation_architecture=aarch64 '
     'my-image && openstack server create --availability-zone '
     f'{_HOST.zone} '),
    # Nothing plugs ports here when a server begins.
    ('--network private ', '--nic none '),
    ('PATH/etc', f'{config.CHECKOUT}/etc'),
)
#: Nova only begins these; the next command on a page expects the end.
_BEGUN = re.compile(r'openstack server (stop|start) .*?(\S+)$')
_ENDS = {'stop': 'SHUTOFF', 'start': 'ACTIVE'}

_AS_TENANT = (f'OS_USERNAME={config.TENANT} '
              f'OS_PROJECT_NAME={config.TENANT}')

#: In front of what a command printed: its status.
_MARK = 'documented-status'


def run(table: tables.Table) -> None:
    """Type every block that says where, and compare."""
    scenery.clear()
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        scenery.programs(scratch / 'bin')
        scenery.make(scratch)
        try:
            _type(table, scratch, stage.first())
            with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                running = [pool.submit(_type, table, scratch, scenes)
                           for scenes in stage.independent()]
            for work in running:
                work.result()
        finally:
            scenery.clear()


def _type(table: tables.Table, scratch: pathlib.Path,
          scenes: Sequence[stage.Scene]) -> None:
    for scene in scenes:
        table.check(NAME, f'{scene.block.place}, {scene.place}',
                    'as the page shows',
                    functools.partial(_typed, scene, scratch))


def _typed(scene: stage.Scene, scratch: pathlib.Path) -> tuple[str, bool]:
    """Run a block in one shell; return what differs from the page."""
    steps = session.steps(scene.block.text)
    try:
        done = subprocess.run(
            _inside(scene.place), input=script(steps, scratch), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=_LIMIT, env=_environment(scene.place, scratch))
    except subprocess.TimeoutExpired as error:
        raise process.SandboxError(
            f'{scene.block.place}: not within {_LIMIT}s') from error
    with open(config.LOGS / 'documentation.log', 'a') as log:
        log.write(f'\n{scene.block.place}\n{scene.block.text}'
                  f'--\n{done.stdout}')
    return compare(steps, scene.statuses, done.stdout)


def compare(steps: Sequence[session.Step], statuses: Container[int],
            printed: str) -> tuple[str, bool]:
    """Compare what the script of a block printed with the page.

    :param statuses: that a command may end with.
    :returns: words about it, and whether it is as the page shows.
    """
    pieces = printed.split(f'{_MARK} ')
    if len(pieces) != len(steps) + 1:
        return f'ended early: {printed[-200:]}', False
    for step, piece in zip(steps, pieces[1:]):
        status, _line, answer = piece.partition('\n')
        if int(status) not in statuses:
            return (f'{_short(step.command)}: status {status}: '
                    f'{answer.strip()[-200:]}'), False
        lacking = shape.missing(step.output, answer)
        if lacking:
            return f'{_short(step.command)} lacks "{lacking[0]}"', False
    return f'{len(steps)} commands, as shown', True


def script(steps: Sequence[session.Step], scratch: pathlib.Path) -> str:
    """Return a script in which the status stands before what was printed.

    A command is not put into a subshell: ``export`` and ``$?`` are to work.
    """
    out = scratch / f'printed-{threading.get_ident()}'
    lines = [f'cd {scratch}']
    for step in steps:
        command = step.command
        for theirs, ours in _HERE:
            command = command.replace(theirs, ours)
        begun = _BEGUN.match(command)
        lines += [
            '(exit ${last:-0})',
            f'{{ {command}\n}} >{out} 2>&1 </dev/null; last=$?',
            f'echo {_MARK} $last; cat {out}']
        if begun:
            lines.append(
                f'for try in $(seq {_TRIES}); do [ "$({_AS_TENANT} openstack '
                f'server show -f value -c status {begun[2]})" = '
                f'{_ENDS[begun[1]]} ] && break; done')
    return '\n'.join(lines) + '\n'


def _inside(place: str) -> list[str]:
    command = ['/bin/bash', '--norc', '--noprofile']
    if place == stage.HOST:
        return list(hosts.ComputeHost(_HOST).inside(*command))
    return command


def _environment(place: str, scratch: pathlib.Path) -> dict[str, str]:
    user = config.TENANT if place == stage.TENANT else 'admin'
    found = shell.environment(os.environ, user,
                              config.credentials()['password'])
    return {**found, **infrastructure.path_environment(),
            'PATH': f'{scratch / "bin"}:{found["PATH"]}', 'COLUMNS': '400'}


def _short(command: str) -> str:
    return ' '.join(command.split())[:60]
