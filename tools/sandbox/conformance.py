# SPDX-License-Identifier: Apache-2.0
"""The demo's matrix: the machine that was asked for, and what a guest sees."""
from collections.abc import Callable
import json

from nova_armvm_tempest_plugin import conformance as inside
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox import machines
from tools.sandbox import process
from tools.sandbox import stories
from tools.sandbox import table as tables

_STORY = 'The machine that was asked for'
_HOTPLUG_SECONDS = 60


def run(table: tables.Table, tenant: cloud.Tenant,
        every: tuple[machines.Machine, ...] = machines.MACHINES) -> None:
    """Boot one server of each machine and ask its guest."""
    story = stories.Story(_STORY, table, tenant)
    for machine in every:
        _boot(story, machine)
        if machine is machines.MACHINES[0]:
            _hot_plug(story, machine)
        story.server.delete()
    story.check('an image of zeros', 'refused, with the requirement',
                lambda: _refused(tenant))
    story.check('a host without the trait', 'No valid host was found',
                lambda: _no_host(tenant, machines.MACHINES[0]))


def _image(machine: machines.Machine) -> tuple[str, bool]:
    """Hold the image against the specification (IMG-1 to IMG-5)."""
    found = json.loads(process.run(
        config.BIN / 'armvm-image', 'check', '--format', 'json',
        machine.disk.path, log='images'))
    passed = [each['id'] for each in found['findings']
              if each['outcome'] == 'pass']
    return (f'{found["architectures"][0]}, {passed[0]} to {passed[-1]} pass',
            found['compliant'] and len(passed) == 5)


def _boot(story: stories.Story, machine: machines.Machine) -> None:
    reports: list[console.Event] = []

    def boot() -> tuple[str, bool]:
        picture = story.tenant.image(machine.disk, machine.properties)
        story.server = story.tenant.boot(machine.name, picture,
                                         config.ARMVM)
        seen = story.booted()
        reports.append(story.server.console.hardware())
        words = machines.seen(reports[0])
        # FW-2: the store of a new machine is empty.
        return words, words == machine.expected and not seen['probe']
    story.check(machine.name, machine.expected, boot)
    story.check('its image', 'IMG-1 to IMG-5 pass', lambda: _image(machine))
    story.check('its platform', 'UEFI 2.6 or later, clock, EL1, PSCI, timer',
                lambda: machines.platform(reports[0]))


def _refused(tenant: cloud.Tenant) -> tuple[str, bool]:
    """Boot what could not; the hosts have image_check = enforce."""
    picture = tenant.empty_image()
    server = tenant.ask_for('an image of zeros', picture, config.ARMVM)
    told = server.fault()
    server.delete()
    tenant.delete_image(picture)
    return told.partition(': ')[2], 'IMG-1' in told


def _no_host(tenant: cloud.Tenant,
             machine: machines.Machine) -> tuple[str, bool]:
    """Ask where Nova's own driver is; the scheduler has to say no."""
    server = tenant.ask_for(
        'no host', tenant.image(machine.disk, machine.properties),
        config.STOCK)
    told = server.fault()
    server.delete()
    return told.partition('. ')[0], 'No valid host' in told


def _hot_plug(story: stories.Story, machine: machines.Machine) -> None:
    """Let a disk and a network port come and go while the guest runs."""
    server = story.server
    volume = story.tenant.volume('hot-plugged')
    port = story.tenant.port()

    def sees(disks: int, ports: int) -> Callable[[], tuple[str, bool]]:
        free = machine.free_ports - (disks - 1) - ports

        def look() -> console.Event | None:
            report = server.console.hardware()
            return report if (
                len(inside.disks(report)) == disks and
                len(inside.interfaces(report)) == ports and
                report['free_ports'] == free) else None

        def wait() -> tuple[str, bool]:
            report = process.wait_for(look, _HOTPLUG_SECONDS,
                                      'the guest\'s sight of a device')
            return (f'disks {report["disks"]}, interfaces '
                    f'{report["interfaces"]}, {free} ports free', True)
        return wait

    for step, work, expected in (
            ('attach a volume', lambda: server.attach(volume), (2, 0)),
            ('attach a port', lambda: server.attach_port(port), (2, 1)),
            ('detach the volume', lambda: server.detach(volume), (1, 1)),
            ('detach the port', lambda: server.detach_port(port), (1, 0))):
        def change() -> tuple[str, bool]:
            work()
            return sees(*expected)()
        story.check(step, f'the guest has {expected[0]} disks and '
                    f'{expected[1]} interfaces', change)
