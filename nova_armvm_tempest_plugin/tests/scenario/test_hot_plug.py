# SPDX-License-Identifier: Apache-2.0
"""Devices come and go while the guest watches."""
from collections.abc import Callable

import testtools

from tempest.common import waiters
from tempest import config
from tempest.lib import decorators

from nova_armvm_tempest_plugin import conformance
from nova_armvm_tempest_plugin import guest as guests
from nova_armvm_tempest_plugin.tests.scenario import base

CONF = config.CONF


class TestHotPlug(base.Scenario):
    """Hot-plug by PCIe, requirement PL-4."""

    def _sees(self, guest: base.Guest, what: str,
              count: Callable[[guests.Event], list[str]], devices: int,
              free_ports: int) -> None:
        """Wait until the guest sees as many devices and free ports."""
        guest.console.sees(
            lambda seen: (len(count(seen)), seen['free_ports']) ==
            (devices, free_ports), CONF.armvm.device_timeout, what)

    def _machine_of(self, guest: base.Guest) -> guests.Event:
        machine = guest.console.sees(
            lambda seen: True, CONF.armvm.device_timeout, 'any machine')
        self.assertGreater(machine['free_ports'], 0)
        return machine

    @decorators.idempotent_id('8d2be05b-b433-4826-8f4f-703f70556fdc')
    @testtools.skipUnless(CONF.service_available.cinder,
                          'There are no volumes.')
    def test_the_guest_sees_a_volume_come_and_go(self):
        volume = self.create_volume()
        guest = self.boot()
        before = self._machine_of(guest)
        disks, free = len(conformance.disks(before)), before['free_ports']

        self.nova_volume_attach({'id': guest.id}, volume)
        self._sees(guest, 'a disk more', conformance.disks, disks + 1,
                   free - 1)
        self.nova_volume_detach({'id': guest.id}, volume)
        self._sees(guest, 'a disk less', conformance.disks, disks, free)

    @decorators.idempotent_id('d5e59c4b-5653-4621-9cbe-2b0c15d76cc1')
    @testtools.skipUnless(CONF.compute_feature_enabled.interface_attach,
                          'Ports cannot be attached.')
    def test_the_guest_sees_a_port_come_and_go(self):
        network = self.get_tenant_network()
        if not network:
            raise self.skipException('There is no network for a port.')
        guest = self.boot()
        before = self._machine_of(guest)
        ports, free = len(conformance.interfaces(before)), before['free_ports']

        made = self.interface_client.create_interface(
            guest.id, net_id=network['id'])['interfaceAttachment']['port_id']
        waiters.wait_for_interface_status(self.interface_client, guest.id,
                                          made, 'ACTIVE')
        self._sees(guest, 'an interface more', conformance.interfaces,
                   ports + 1, free - 1)
        self.interface_client.delete_interface(guest.id, made)
        self._sees(guest, 'an interface less', conformance.interfaces, ports,
                   free)
