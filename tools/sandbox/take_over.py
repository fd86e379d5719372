# SPDX-License-Identifier: Apache-2.0
"""The demo's story of a host that changes to this driver, and back."""
from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import commands
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image
from tools.sandbox import stories
from tools.sandbox import table as tables

_NVRAM = '/var/lib/libvirt/qemu/nvram'
NAME = 'A server of libvirt.LibvirtDriver comes to this driver'


def run(table: tables.Table, tenant: cloud.Tenant,
        operator: admin.Operator) -> None:
    """Boot under Nova's own driver, change that, start again; go back."""
    story = stories.Story(NAME, table, tenant)
    server = story.first_boot(
        'disk A, an empty store', tenant.image(image.DISK_A, {}),
        config.STOCK)
    story.check('the guest writes', 'everything there', lambda: story.write(
        {'Boot0060': stories.option_for(image.DISK_A, 'the guest\'s own')}))
    try:
        story.again('change of driver, the guest goes on',
                    lambda: operator.change_driver(server,
                                                   config.ARMVM.driver),
                    image.DISK_A, boots=False)
        story.again('hard reboot', lambda: server.reboot('HARD'),
                    image.DISK_A)
        story.check('its volume', f'attached to {config.STOCK.name}',
                    lambda: _attached(server, operator))
        volume_id = operator.store_volumes(server.id)[0].id
        story.check('on the volume', 'all as written, both agree',
                    lambda: stories.both_readings(story, volume_id))
        story.again('reboot from inside', story.reboot_from_inside,
                    image.DISK_A)
        story.check('the guest writes under this driver', 'everything there',
                    lambda: story.write({'Boot0061': stories.option_for(
                        image.DISK_A, 'the guest\'s second')}))
        server.stop()
        story.check('its variables go to libvirt\'s file', 'done',
                    lambda: _handed_back(server))
    finally:
        operator.change_driver(server, config.STOCK.driver)
        operator.drop_traits(config.STOCK)
    story.check('start under Nova\'s driver', 'the guest\'s own variable',
                lambda: _started(story))
    server.delete()
    _delete_store(operator, server)


def _handed_back(server: cloud.Server) -> tuple[str, bool]:
    """Do what upgrade.rst tells of the way back."""
    name = server.host.virsh('domname', server.id).strip()
    file = f'{_NVRAM}/{name}_VARS.fd'
    # The one of before the take-over; the command makes new files only.
    server.host.run('/bin/rm', '-f', file)
    done = commands.manage(server.host, 'nvram', 'export', server.id,
                           '--format', 'raw', '--output', file)
    server.host.virsh('undefine', '--keep-nvram', name)
    return done.complaint or 'done', done.status == 0


def _started(story: stories.Story) -> tuple[str, bool]:
    """Start it; it loses its boot entries there, as control() shows."""
    story.server.console.skip()
    story.server.start()
    lost = story.written.lost(story.booted())
    return (f'lost: {", ".join(lost) or "nothing"}',
            console.PROBE not in lost)


def _delete_store(operator: admin.Operator, server: cloud.Server) -> None:
    """Delete the volume that Nova's driver does not know."""
    for volume in operator.store_volumes(server.id):
        for each in operator.attachments(volume.id):
            operator.cloud.block_storage.delete_attachment(each)
        operator.cloud.block_storage.delete_volume(volume)
    operator.wait_gone(server.id)


def _attached(server: cloud.Server,
              operator: admin.Operator) -> tuple[str, bool]:
    hosts = operator.attached_hosts(server.id)
    return f'attached to {", ".join(hosts)}', hosts == [config.STOCK.name]
