# SPDX-License-Identifier: Apache-2.0
"""The platform's boot order counts until the guest has one of its own."""
import json

from tests.fixtures import libvirt
from tests.functional import base
from tests.unit.uefi import flash_images


class Monitor(libvirt.LibvirtQemu):
    """QEMU that refuses to change a boot order."""

    @staticmethod
    def qemuMonitorCommand(domain, command, flags):
        return json.dumps({'error': {'class': 'GenericError',
                                     'desc': 'Property is read-only'}})


class BootOrderTest(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()

    def guest_chooses(self, *records):
        """Let the firmware and the guest write variables."""
        self._stop_server(self.server)
        self.write_flash(self.server, flash_images.flash(*records))
        self._start_server(self.server)

    @property
    def boots(self):
        return self.domain(self.server).boots

    def test_first_boot_follows_the_platform(self):
        self.assertEqual([{'virtio-disk0': 1}], self.boots)

    def test_reset_inside_the_guest_follows_the_guest(self):
        self.domain(self.server).reset_inside()
        self.assertEqual({}, self.boots[-1])

    def test_soft_reboot_follows_the_guest(self):
        self._reboot_server(self.server)
        self.assertEqual({}, self.boots[-1])

    def test_order_of_the_guest_is_left_alone(self):
        self.guest_chooses(*flash_images.boot_records(
            [0], Boot0000=flash_images.load_option(
                'mine', flash_images.pci((3, 0)), attributes=1)))
        for start in (self._hard_reboot, self._stop_and_start):
            start()
            self.assertEqual({}, self.boots[-1])
            self.assert_store_in_use(self.server)

    def test_order_that_the_firmware_made_is_the_platforms(self):
        self.guest_chooses(*flash_images.boot_records(
            [0], Boot0000=flash_images.load_option(
                'UEFI Misc Device', flash_images.pci((1, 0)),
                flash_images.AUTO_CREATED.bytes_le)))
        self.assertEqual({'virtio-disk0': 1}, self.boots[-1])

    def test_store_that_cannot_be_understood_is_left_to_the_guest(self):
        self._stop_server(self.server)
        self.write_flash(self.server, bytes(range(256)) * 16)
        self._start_server(self.server)
        self.assertEqual({}, self.boots[-1])
        self.assert_store_in_use(self.server)

    def test_paused_instant_before_the_boot_is_over(self):
        self.assertEqual(base.fakelibvirt.VIR_DOMAIN_RUNNING,
                         self.domain(self.server)._state)

    def _hard_reboot(self):
        self._reboot_server(self.server, hard=True)

    def _stop_and_start(self):
        self._stop_server(self.server)
        self._start_server(self.server)


class StuckBootOrderTest(base.ArmServersTestCase):

    def test_guest_does_not_run_with_an_order_that_would_stay(self):
        self.start_compute()
        self.flags(max_attempts=1, group='scheduler')
        self.useFixture(base.fixtures.MonkeyPatch(
            'nova_armvm.virt.boot_order.libvirt_qemu', Monitor))
        server = self.boot(expected_state='ERROR')
        text = server['fault']['message']
        self.assertIn('boot order', text)
        self.assert_fit_for_a_tenant(text)
        self.assert_nothing_left()
