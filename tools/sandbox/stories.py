# SPDX-License-Identifier: Apache-2.0
"""The demo's stories: what a guest writes, and what it finds again."""
from collections.abc import Callable
import dataclasses
import secrets

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image
from tools.sandbox.guest import load_option
from tools.sandbox import readings
from tools.sandbox import table as tables

BOOT_SECONDS = 120
_LOADER = r'\EFI\BOOT\BOOTAA64.EFI'
_MAC = bytes.fromhex('525400aabbcc')

DISK_A, DISK_B, RESCUE = image.DISK_A, image.DISK_B, image.RESCUE


def option_for(disk: image.Disk, description: str,
               file: str = _LOADER) -> bytes:
    return load_option.for_file(description, disk.partition,
                                disk.start_sector, disk.sectors, file)


@dataclasses.dataclass(frozen=True)
class Written:
    """What the guest wrote: variables by name and its boot order."""

    variables: dict[str, bytes]
    order: tuple[int, ...]
    probe: bytes

    def lost(self, seen: console.Event) -> list[str]:
        """Name what the guest does not find as it wrote it."""
        lost = [name for name, content in self.variables.items()
                if seen['options'].get(name) != content.hex()]
        if seen['probe'] != self.probe.hex():
            lost.append(console.PROBE)
        order = console.numbers(seen['order'])
        # Firmware may add devices behind what the guest has put in order.
        if order[:len(self.order)] != self.order:
            lost.append('BootOrder')
        return lost


class Story:
    """A server and what happens to it."""

    def __init__(self, name: str, table: tables.Table,
                 tenant: cloud.Tenant) -> None:
        self.name = name
        self.table = table
        self.tenant = tenant
        self.server: cloud.Server | None = None
        self.written: Written | None = None

    def check(self, step: str, expected: str,
              work: Callable[[], tuple[str, bool]]) -> None:
        self.table.check(self.name, step, expected, work)

    def first_boot(self, expected: str, picture: str, host: config.Host,
                   volumes: tuple[str, ...] = ()) -> cloud.Server:
        """Boot the server; its first disk has to come up."""
        def boot() -> tuple[str, bool]:
            self.server = self.tenant.boot(self.name, picture, host, volumes)
            return self.fresh(DISK_A)
        self.check('first boot', expected, boot)
        return self.server

    def fresh(self, disk: image.Disk) -> tuple[str, bool]:
        """Wait for a guest that finds an empty store."""
        seen = self.booted()
        return f'disk {seen["disk"]}, probe "{seen["probe"]}"', (
            seen['disk'] == disk.identity and not seen['probe'])

    def booted(self) -> console.Event:
        """Wait until the guest's system is up."""
        return self.server.console.wait('boot', BOOT_SECONDS)

    def write(self, options: dict[str, bytes]) -> tuple[str, bool]:
        """Have the guest write its variables and put its options first.

        :param options: in addition to those that it has written before.
        """
        for name, content in options.items():
            self.server.console.write(name, content)
        if self.written is None:
            probe = secrets.token_bytes(16)
            self.server.console.write(console.PROBE, probe)
        else:
            probe = self.written.probe
        before = console.numbers(self.server.console.report()['order'])
        numbers = tuple(int(name[4:], 16) for name in options)
        order = numbers + tuple(number for number in before
                                if number not in numbers)
        self.server.console.write('BootOrder', load_option.order(*order))
        earlier = self.written.variables if self.written else {}
        self.written = Written({**earlier, **options}, order, probe)
        return self.found(self.server.console.report(), None)

    def found(self, seen: console.Event,
              disk: image.Disk | None) -> tuple[str, bool]:
        """Compare what the guest sees with what it wrote."""
        lost = self.written.lost(seen)
        order = ','.join(f'{number:04X}'
                         for number in console.numbers(seen['order']))
        words = f'disk {seen["disk"]}, order {order}, ' + (
            f'lost: {", ".join(lost)}' if lost else 'everything there')
        return words, not lost and (disk is None or
                                    disk.identity == seen['disk'])

    def again(self, step: str, work: Callable[[], None],
              disk: image.Disk, boots: bool = True) -> None:
        """Do something to the server; the guest has to find everything."""
        def do() -> tuple[str, bool]:
            self.server.console.skip()
            work()
            seen = (self.booted() if boots
                    else self.server.console.report())
            return self.found(seen, disk)
        self.check(step, f'disk {disk.identity}, everything there', do)

    def reboot_from_inside(self) -> None:
        """Have the guest reset itself."""
        self.server.console.reboot()


def _volume_is_ready(server: cloud.Server, operator: admin.Operator,
                     tenant: cloud.Tenant) -> tuple[str, bool]:
    volumes = operator.store_volumes(server.id)
    attachments = [each for volume in volumes
                   for each in operator.attachments(volume.id)]
    words = (f'{len(volumes)} volume, '
             f'{", ".join(volume.status for volume in volumes)}; '
             f'{len(attachments)} attachment, '
             f'{", ".join(each.status for each in attachments)}; '
             f'tenant sees {tenant.volumes_named(server.id)}')
    return words, ([volume.status for volume in volumes] == ['in-use'] and
                   [each.status for each in attachments] == ['attached'] and
                   tenant.volumes_named(server.id) == 0)


def both_readings(story: Story, volume_id: str) -> tuple[str, bool]:
    """Read the volume twice and compare both with what was written."""
    ours = readings.by_our_parser(volume_id)
    theirs = readings.by_virt_firmware(volume_id)
    wanted = {**story.written.variables, console.PROBE: story.written.probe}
    missing = [name for name, content in wanted.items()
               if ours.get(name) != content.hex()]
    words = (f'{len(ours)} variables, '
             + (f'missing: {missing}' if missing else 'all as written')
             + ('; virt-firmware agrees' if ours == theirs else
                '; virt-firmware DISAGREES'))
    return words, not missing and ours == theirs


def main_job(table: tables.Table, tenant: cloud.Tenant,
             operator: admin.Operator) -> None:
    """One server's life on one host, from first boot to deletion."""
    picture = tenant.image(DISK_A, cloud.PERSISTENT)
    story = Story('A server keeps what its guest wrote', table, tenant)
    server = story.first_boot('disk A, an empty store', picture,
                              config.ARMVM)
    story.check('its volume', '1 volume in-use, 1 attachment attached, '
                'tenant sees 0',
                lambda: _volume_is_ready(server, operator, tenant))
    volume_id = operator.store_volumes(server.id)[0].id
    story.check('the guest writes', 'everything there', lambda: story.write(
        {'Boot0040': option_for(DISK_A, 'the guest\'s own')}))

    def step(name: str, work: Callable[[], None], boots: bool = True) -> None:
        story.again(name, work, DISK_A, boots)
        story.check(f'{name}: on the volume', 'all as written, both agree',
                    lambda: both_readings(story, volume_id))

    step('reboot from inside', story.reboot_from_inside)
    step('soft reboot', lambda: server.reboot('SOFT'))
    step('hard reboot', lambda: server.reboot('HARD'))
    step('stop and start', lambda: (server.stop(), server.start()))
    step('pause', server.pause, boots=False)
    step('suspend and resume', lambda: (server.suspend(), server.resume()),
         boots=False)
    step('restart of nova-compute', server.restart_compute, boots=False)
    step('restart of the host', server.lose_power)

    def delete() -> tuple[str, bool]:
        server.delete()
        volumes = operator.wait_gone(server.id)
        attachments = operator.attachments(volume_id)
        return (f'{len(volumes)} volumes, {len(attachments)} attachments',
                not volumes and not attachments)

    story.check('delete', '0 volumes, 0 attachments', delete)


def _two_disks(name: str, table: tables.Table, tenant: cloud.Tenant,
               host: config.Host, properties: dict[str, str]) -> Story:
    picture = tenant.image(DISK_A, properties)
    second = tenant.volume_from(tenant.image(DISK_B, properties),
                                f'{name}: disk B')
    story = Story(name, table, tenant)
    story.first_boot('disk A, as Nova\'s boot_index says', picture, host,
                     (second,))
    story.check('the guest puts disk B first', 'everything there',
                lambda: story.write({
                    'Boot0050': option_for(DISK_B, 'disk B'),
                    'Boot0051': option_for(DISK_B, 'no such file',
                                           r'\EFI\GONE\GONE.EFI'),
                    'Boot0052': load_option.for_network('network', _MAC),
                }))
    return story


def boot_order(table: tables.Table, tenant: cloud.Tenant) -> None:
    """The boot order is the guest's, whatever starts it again."""
    story = _two_disks('The boot order is the guest\'s', table, tenant,
                       config.ARMVM, cloud.PERSISTENT)
    server = story.server
    story.again('reboot from inside', story.reboot_from_inside, DISK_B)
    story.again('hard reboot', lambda: server.reboot('HARD'), DISK_B)
    story.again('stop and start', lambda: (server.stop(), server.start()),
                DISK_B)
    story.again('soft reboot', lambda: server.reboot('SOFT'), DISK_B)

    def rescue() -> tuple[str, bool]:
        server.console.skip()
        server.rescue(tenant.image(RESCUE, cloud.PERSISTENT))
        return story.fresh(RESCUE)

    story.check('rescue', 'disk R, a store of its own', rescue)
    story.again('unrescue', server.unrescue, DISK_B)
    server.delete()


def control(table: tables.Table, tenant: cloud.Tenant) -> None:
    """The same guest under Nova's own driver: what is lost without ours."""
    story = _two_disks('Control: the same guest under libvirt.LibvirtDriver',
                       table, tenant, config.STOCK, {})
    server = story.server

    def loses(work: Callable[[], None]) -> Callable[[], tuple[str, bool]]:
        def do() -> tuple[str, bool]:
            server.console.skip()
            work()
            words, kept = story.found(story.booted(), DISK_B)
            return words, not kept
        return do

    story.check('reboot from inside', 'the guest\'s order is lost',
                loses(story.reboot_from_inside))
    story.check('hard reboot', 'the guest\'s order is lost',
                loses(lambda: server.reboot('HARD')))
    server.delete()
