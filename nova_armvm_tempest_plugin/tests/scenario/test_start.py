# SPDX-License-Identifier: Apache-2.0
"""A server is started, and started again, on the host that it is on."""
from tempest.lib import decorators

from nova_armvm_tempest_plugin.tests.scenario import base


class TestStart(base.Scenario):
    """First boot, and every way to start a server again in place."""

    @decorators.idempotent_id('039ae930-d796-47aa-95f5-bb37ce39213b')
    @decorators.attr(type='smoke')
    def test_first_boot_finds_an_empty_store_and_keeps_what_is_written(self):
        guest = self.boot()
        self.servers_client.reboot_server(guest.id, type='HARD')
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()

    @decorators.idempotent_id('87237c50-efde-49a8-b640-99be8c960d94')
    def test_soft_reboot_keeps_the_variables(self):
        guest = self.boot()
        self.servers_client.reboot_server(guest.id, type='SOFT')
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()

    @decorators.idempotent_id('ce032fcd-b3f3-408f-8e2e-423ebb988e92')
    def test_stop_and_start_keep_the_variables(self):
        guest = self.boot()
        self.servers_client.stop_server(guest.id)
        guest.wait_for('SHUTOFF')
        self.servers_client.start_server(guest.id)
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()
