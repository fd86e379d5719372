# SPDX-License-Identifier: Apache-2.0
"""A guest of Nova's own driver comes to this one with its variables."""
from nova.tests.functional.api import client

from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.fixtures import firmware
from tests.fixtures import libvirt
from tests.functional import base


class TakeOverTest(base.ArmServersTestCase):
    """A server whose guest has left the letter S in a file."""

    def _setup_compute_service(self):
        self.flags(compute_driver='libvirt.LibvirtDriver')

    def setUp(self):
        if base.NOVA_32:
            self.skipTest('Nova 32 tells no driver of the old guest')
        super().setUp()
        self.start_compute()
        self.server = self.boot(self.image)
        self.assertEqual([], self.cinder.volumes_left())
        self.file = libvirt.store_path(self.domain(self.server).config)
        with open(self.file, 'r+b') as flash:
            written = edit.edited(flash.read(varstore.READ_SIZE), {
                base.NOTE: varstore.Variable(base.NOTE, 7, b'S')})
            flash.seek(0)
            flash.write(written)

    def change_driver(self):
        self.flags(compute_driver='armvm.ArmVMLibvirtDriver')
        self.restart_compute_service('compute1')

    def assert_taken_over(self):
        self.assert_store_in_use(self.server)
        self.assertEqual('S', self.guest_reads(self.server))

    def ask(self, action):
        """Ask for what may fail; casts are calls in this process."""
        try:
            self.api.post_server_action(self.server['id'], action)
        except client.OpenStackApiException:
            pass

    def test_change_of_driver_alone_does_nothing(self):
        self.change_driver()
        self.assertEqual([], self.cinder.volumes_left())
        self.assertTrue(self.domain(self.server).isActive())

    def test_variables_are_on_a_volume_after_a_hard_reboot(self):
        self.change_driver()
        self._reboot_server(self.server, hard=True)
        self.assert_taken_over()

    def test_variables_are_on_a_volume_after_stop_and_start(self):
        self._stop_server(self.server)
        self.change_driver()
        self._start_server(self.server)
        self.assert_taken_over()

    def test_it_is_decided_once(self):
        self.change_driver()
        self._reboot_server(self.server, hard=True)
        self.guest_writes(self.server, 'T')
        with self.no_new_volume():
            self._reboot_server(self.server, hard=True)
        self.assertEqual('T', self.guest_reads(self.server))

    def test_old_file_is_left_for_the_way_back(self):
        self.change_driver()
        self._reboot_server(self.server, hard=True)
        with open(self.file, 'rb') as flash:
            self.assertEqual(b'S', varstore.parse(
                flash.read()).variables[base.NOTE].content)

    def test_first_operation_is_a_rescue(self):
        self.change_driver()
        self.ask({'rescue': {'rescue_image_ref': self.image}})
        self._wait_for_state_change(self.server, 'RESCUE')
        self.assertEqual('S', self.guest_reads(self.server))
        self.ask({'unrescue': None})
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assert_taken_over()

    def test_volatile_by_default_goes_on_with_its_file(self):
        self.flags(nvram_default='volatile', group='armvm')
        self.change_driver()
        self._reboot_server(self.server, hard=True)
        self.assertEqual([], self.cinder.volumes_left())
        self.assertEqual(self.file, libvirt.store_path(
            self.domain(self.server).live))
        self.assertEqual([], self.own_files())

    def test_cinder_away_changes_nothing_and_the_next_start_does_it(self):
        self._stop_server(self.server)
        self.change_driver()
        self.cinder.unreachable = True
        self.ask({'os-start': None})
        self.cinder.unreachable = False
        self.assertEqual([], self.cinder.volumes_left())
        self._start_server(self.server)
        self.assert_taken_over()

    def test_death_before_the_seed_is_complete(self):
        self._stop_server(self.server)
        self.change_driver()
        with self.broken_seed():
            self.ask({'os-start': None})
        self._start_server(self.server)
        self.assert_taken_over()

    def test_rebuild_takes_nothing_over(self):
        self._stop_server(self.server)
        self.change_driver()
        with self.broken_seed():
            self.ask({'os-start': None})
        # Nova's answer shows the end of it, which its own schema refuses.
        self.ask({'rebuild': {'imageRef': self.image}})
        self._wait_for_state_change(self.server, 'SHUTOFF')
        self._start_server(self.server)
        self.assert_store_in_use(self.server)
        self.assertEqual('', self.guest_reads(self.server))

    def broken_seed(self):
        def broken(*_args, **_kwargs):
            raise OSError('the process dies here')

        return base.fixtures.MonkeyPatch(
            'nova_armvm.host.flash_service.FlashService.format', broken)

    def test_flash_of_another_size_is_refused(self):
        self._stop_server(self.server)
        with open(self.file, 'r+b') as flash:
            flash.truncate(firmware.FLASH_SIZE // 2)
        self.change_driver()
        self.ask({'os-start': None})
        self.assertIn('made for a firmware',
                      self.reason(self.server, 'start'))


class TaggedTest(TakeOverTest):
    """The same with an image that asked for it under that driver already."""

    def make_image(self, **properties):
        return super().make_image(hw_armvm_nvram='persistent', **properties)

    def test_volatile_by_default_goes_on_with_its_file(self):
        self.flags(nvram_default='volatile', group='armvm')
        self.change_driver()
        self._reboot_server(self.server, hard=True)
        self.assert_taken_over()
