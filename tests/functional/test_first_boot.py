# SPDX-License-Identifier: Apache-2.0
"""From the request for a server to the guest with its own store."""
from tests.fixtures import firmware
from tests.functional import base


class FirstBootTest(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_guest_starts_with_a_store_of_its_own(self):
        server = self.boot()
        self.assert_store_in_use(server)
        volume = self.store_of(server)
        self.assertEqual('armvm-nvram-' + server['id'], volume.name)
        self.assertEqual(1, volume.size)
        self.assertEqual(server['id'], volume.metadata['armvm_instance'])
        self.assertEqual(server['tenant_id'],
                         volume.metadata['armvm_project'])

    def test_store_is_a_flash_of_the_size_of_the_template(self):
        server = self.boot()
        self.assertEqual(firmware.FLASH_SIZE, len(self.flash(server)))
