# SPDX-License-Identifier: Apache-2.0
"""The demo's story of an operator who looks after a server's variables."""
from collections.abc import Callable
import json
import pathlib
import tempfile

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import commands
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image
from tools.sandbox import stories
from tools.sandbox import table as tables

NAME = 'An operator looks after a server\'s variables'
_OWN = 'Boot0070'


class _Story(stories.Story):
    """Runs ``armvm-manage nvram`` on the host where the server is."""

    def nvram(self, action: str, *words: str) -> commands.Done:
        return commands.manage(self.server.host, 'nvram', action,
                               self.server.id, *words)

    def changed(self, action: str, *words: str) -> str:
        """Run a command that must succeed; return what it says."""
        done = self.nvram(action, *words, '--yes')
        return 'done' if done.status == 0 else done.complaint

    def does(self, step: str, action: str, *words: str) -> None:
        def do() -> tuple[str, bool]:
            said = self.changed(action, *words)
            return said, said == 'done'
        self.check(step, 'done', do)

    def status(self, step: str, expected: int, action: str,
               *words: str) -> None:
        def do() -> tuple[str, bool]:
            done = self.nvram(action, *words)
            said = done.complaint.splitlines()
            return (f'exit status {done.status}'
                    + (f': {said[-1]}' if said else ''),
                    done.status == expected)
        self.check(step, f'exit status {expected}', do)

    def starts(self, step: str, expected: str,
               judge: Callable[[console.Event], tuple[str, bool]]) -> None:
        """Start the server and judge what its guest reports."""
        def do() -> tuple[str, bool]:
            self.server.console.skip()
            self.server.start()
            return judge(self.booted())
        self.check(step, expected, do)


def run(table: tables.Table, tenant: cloud.Tenant,
        operator: admin.Operator) -> None:
    """Look, change, take back, move to another type; the guest sees it."""
    story = _Story(NAME, table, tenant)
    server = story.first_boot(
        'disk A, an empty store',
        tenant.image(image.DISK_A, cloud.PERSISTENT), config.ARMVM)
    story.check('the guest writes', 'everything there', lambda: story.write(
        {_OWN: stories.option_for(image.DISK_A, 'the guest\'s own')}))
    with tempfile.TemporaryDirectory() as scratch:
        _variables(story, pathlib.Path(scratch))
        _whole(story, pathlib.Path(scratch))
    _types(story, operator)
    server.delete()
    operator.wait_gone(server.id)


def _variables(story: _Story, scratch: pathlib.Path) -> None:
    """Single variables: seen while it runs, changed while it is off."""
    story.check('nvram show, while it runs', 'what the guest wrote',
                lambda: _shown(story))
    story.status('nvram unset, while it runs', 1, 'unset', console.PROBE,
                 '--guid', console.OURS, '--yes')
    story.server.stop()
    for kind in ('json', 'raw', 'aws'):
        story.status(f'nvram export, {kind}', 0, 'export', '--format', kind,
                     '--output', str(scratch / kind))
    story.status('nvram diff', 0, 'diff', str(scratch / 'raw'))
    story.does('nvram unset', 'unset', console.PROBE, '--guid', console.OURS)
    story.status('nvram diff after it', 3, 'diff', str(scratch / 'json'))
    story.does('nvram set-boot-next', 'set-boot-next', _OWN)
    story.starts('start', f'without {console.PROBE}, by {_OWN}',
                 lambda seen: _without_probe(seen))
    story.server.stop()


def _shown(story: _Story) -> tuple[str, bool]:
    done = story.nvram('show', '--format', 'json')
    found = {each['name']: each['content']
             for each in json.loads(done.stdout)['variables']}
    wanted = {**story.written.variables, console.PROBE: story.written.probe}
    missing = [name for name, content in wanted.items()
               if found.get(name) != content.hex()]
    return (f'{len(found)} variables, '
            + (f'without {", ".join(missing)}' if missing
               else 'what the guest wrote')), not missing


def _without_probe(seen: console.Event) -> tuple[str, bool]:
    current = console.numbers(seen['current'])
    return (f'probe "{seen["probe"]}", by Boot{current[0]:04X}',
            not seen['probe'] and f'Boot{current[0]:04X}' == _OWN)


def _whole(story: _Story, scratch: pathlib.Path) -> None:
    """All variables: from a file, taken back, from the template."""
    for kind in ('raw', 'aws', 'json'):
        story.does(f'nvram import, {kind}', 'import', str(scratch / kind))
        story.again('start', story.server.start, image.DISK_A)
        story.server.stop()
        if kind == 'raw':
            story.does('nvram unset', 'unset', 'BootOrder')
            story.does('nvram undo', 'undo')
    story.does('nvram reset', 'reset')
    story.starts('start', 'an empty store', lambda seen: (
        f'disk {seen["disk"]}, probe "{seen["probe"]}"', not seen['probe']))
    story.server.stop()
    story.does('nvram import, json', 'import', str(scratch / 'json'))
    story.again('start', story.server.start, image.DISK_A)


def _types(story: _Story, operator: admin.Operator) -> None:
    """To another back end and back."""
    for volume_type, source in ((config.BLOCK_VOLUME_TYPE, 'block'),
                                (config.VOLUME_TYPE, 'network')):
        story.server.stop()
        story.does(f'nvram migrate-type {volume_type}', 'migrate-type',
                   volume_type)
        story.again('start', story.server.start, image.DISK_A)
        story.check('its volume', f'{volume_type}, flash is {source}',
                    lambda: _of_type(story, operator, volume_type, source))


def _of_type(story: _Story, operator: admin.Operator, volume_type: str,
             source: str) -> tuple[str, bool]:
    volumes = operator.store_volumes(story.server.id)
    kind, _path = story.server.host.nvram_of(story.server.id)
    return (f'{", ".join(volume.volume_type for volume in volumes)}, flash '
            f'is {kind}',
            [volume.volume_type for volume in volumes] == [volume_type] and
            kind == source)
