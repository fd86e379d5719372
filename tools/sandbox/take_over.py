# SPDX-License-Identifier: Apache-2.0
"""The demo's story of a host that changes from Nova's driver to this one."""
from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import stories
from tools.sandbox import table as tables

NAME = 'A server of libvirt.LibvirtDriver comes to this driver'


def run(table: tables.Table, tenant: cloud.Tenant,
        operator: admin.Operator) -> None:
    """Boot under Nova's own driver, change that, and start again."""
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
        server.delete()
        operator.wait_gone(server.id)
    finally:
        operator.change_driver(server, config.STOCK.driver)
        operator.drop_traits(config.STOCK)


def _attached(server: cloud.Server,
              operator: admin.Operator) -> tuple[str, bool]:
    hosts = operator.attached_hosts(server.id)
    return f'attached to {", ".join(hosts)}', hosts == [config.STOCK.name]
