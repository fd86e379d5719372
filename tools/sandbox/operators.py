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
from tools.sandbox import hosts
from tools.sandbox import stories
from tools.sandbox import table as tables

NAME = 'An operator looks after a server\'s variables'
_OWN = 'Boot0070'
#: Content of the variable that the operator sets, hexadecimal.
_SET = 'c0ffee'


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
    _host(story)
    story.check('the guest writes', 'everything there', lambda: story.write(
        {_OWN: stories.option_for(image.DISK_A, 'the guest\'s own')}))
    with tempfile.TemporaryDirectory() as scratch:
        _variables(story, pathlib.Path(scratch))
        _whole(story, pathlib.Path(scratch))
    _types(story, operator)
    server.delete()
    operator.wait_gone(server.id)


def _host(story: _Story) -> None:
    """What the host has, and whether all is well around the driver."""
    host = story.server.host
    story.check('armvm-manage host', 'nothing is missing',
                lambda: _offers(commands.manage(host, 'host', '-f', 'json')))
    for where, name in ((host, 'the host'), (None, 'the controller')):
        story.check(f'armvm-status upgrade check, on {name}',
                    'exit status 0', lambda: _ready(where))
    story.check('nvram list', 'its store, in-use', lambda: _listed(story))


def _offers(done: commands.Done) -> tuple[str, bool]:
    found = json.loads(done.stdout)
    firmware = [each for each in found['firmware']
                if 'aarch64' in each['architectures'] and each['flash_size']]
    versions = {version for each in found['machines']
                for version in each['gic_versions']}
    words = (f'{len(firmware)} firmware for aarch64, GIC '
             f'{", ".join(sorted(versions))}, type {found["volume_type"]}, '
             + ('; '.join(found['problems']) or 'nothing is missing'))
    return words, done.status == 0 and bool(firmware)


def _ready(where: hosts.ComputeHost | None) -> tuple[str, bool]:
    done = commands.check_upgrade(where)
    if done.status not in (0, 1, 2):
        return f'exit status {done.status}: {done.stdout[-200:]}', False
    checks = json.loads(done.stdout)['checks']
    wrong = [f'{each["check"]}: {each["details"]}' for each in checks
             if each['result']]
    return (f'exit status {done.status}, {len(checks)} checks'
            + ''.join(f'; {each}' for each in wrong), done.status == 0)


def _listed(story: _Story) -> tuple[str, bool]:
    done = commands.manage(story.server.host, 'nvram', 'list', '-f', 'json')
    found, = (each for each in json.loads(done.stdout)
              if each['server'] == story.server.id)
    return (f'{found["status"]} on {", ".join(found["hosts"])}, '
            f'{found["firmware"]}', found['status'] == 'in-use')


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
    story.does('nvram set', 'set', console.PROBE, '--guid', console.OURS,
               '--hex', _SET)
    story.check('nvram get', _SET, lambda: _got(story))
    order = _rotated(story)
    story.does('nvram set-boot-order', 'set-boot-order', order)
    story.does('nvram set-boot-next', 'set-boot-next', _OWN)
    story.starts('start', f'probe {_SET}, order {order}, by {_OWN}',
                 lambda seen: _as_set(seen, order))
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


def _got(story: _Story) -> tuple[str, bool]:
    said = story.nvram('get', console.PROBE, '--guid', console.OURS).stdout
    return said.strip(), said.strip() == _SET


def _rotated(story: _Story) -> str:
    """Return the boot order with its first option at the end."""
    first, *rest = json.loads(story.nvram(
        'show', '--format', 'json').stdout)['boot_order']
    return ','.join(f'{number:04X}' for number in (*rest, first))


def _as_set(seen: console.Event, order: str) -> tuple[str, bool]:
    current = console.numbers(seen['current'])
    found = ','.join(f'{number:04X}'
                     for number in console.numbers(seen['order']))
    return (f'probe {seen["probe"]}, order {found}, by Boot{current[0]:04X}',
            seen['probe'] == _SET and found.startswith(order) and
            f'Boot{current[0]:04X}' == _OWN)


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
    for volume_type in (config.BLOCK_VOLUME_TYPE, config.VOLUME_TYPE):
        story.server.stop()
        story.does(f'nvram migrate-type {volume_type}', 'migrate-type',
                   volume_type)
        story.again('start', story.server.start, image.DISK_A)
        story.check('its volume', f'{volume_type}, flash is network',
                    lambda: _of_type(story, operator, volume_type))


def _of_type(story: _Story, operator: admin.Operator,
             volume_type: str) -> tuple[str, bool]:
    volumes = operator.store_volumes(story.server.id)
    kind, _path = story.server.host.nvram_of(story.server.id)
    return (f'{", ".join(volume.volume_type for volume in volumes)}, flash '
            f'is {kind}',
            [volume.volume_type for volume in volumes] == [volume_type] and
            kind == 'network')
