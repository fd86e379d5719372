# SPDX-License-Identifier: Apache-2.0
"""A server goes to another host; its variables go with it."""
import testtools

from tempest.common import compute
from tempest import config
from tempest.lib import decorators

from nova_armvm_tempest_plugin.tests.scenario import base

CONF = config.CONF


class Moving(base.MovingScenario):
    """What ends a move that waits to be confirmed or reverted."""

    def _returns(self, guest: base.Guest, home: str) -> None:
        """Revert a move; what the guest wrote elsewhere comes back too."""
        self.servers_client.revert_resize_server(guest.id)
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()
        self.assertEqual(home, guest.host())

    def _stays(self, guest: base.Guest) -> None:
        """Confirm a move; the variables outlive what is left behind."""
        self.servers_client.confirm_resize_server(guest.id)
        guest.wait_for('ACTIVE')
        guest.goes_on()
        self.servers_client.reboot_server(guest.id, type='HARD')
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()


class TestColdMigration(Moving):
    """Cold migration, to stay and back again."""

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if not CONF.compute_feature_enabled.cold_migration:
            raise cls.skipException('Cold migration is not available.')

    def _migrate(self, guest: base.Guest) -> str:
        """Go to another host, where everything is; return the one left."""
        home = guest.host()
        self.admin_servers.migrate_server(guest.id)
        guest.wait_for('VERIFY_RESIZE')
        guest.boots_with_everything()
        self.assertNotEqual(home, guest.host())
        return home

    @decorators.idempotent_id('de8f758c-6d56-49b9-9bd7-91de27c84497')
    def test_cold_migration_keeps_the_variables(self):
        guest = self.boot()
        self._migrate(guest)
        self._stays(guest)

    @decorators.idempotent_id('e86cfc9b-25a5-408b-a89d-a0d484c1d397')
    def test_revert_of_a_cold_migration_brings_back_what_was_written(self):
        guest = self.boot()
        home = self._migrate(guest)
        self._returns(guest, home)


class TestResize(Moving):
    """Resize, to stay and back again."""

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if not CONF.compute_feature_enabled.resize:
            raise cls.skipException('Resize is not available.')

    def _resize(self, guest: base.Guest) -> str:
        """Get another flavor, and find everything; return the host left."""
        home = guest.host()
        self.servers_client.resize_server(guest.id,
                                          CONF.compute.flavor_ref_alt)
        guest.wait_for('VERIFY_RESIZE')
        guest.boots_with_everything()
        return home

    @decorators.idempotent_id('7d816305-8ca7-45f3-b44f-9efd4092cb0d')
    def test_resize_keeps_the_variables(self):
        guest = self.boot()
        self._resize(guest)
        self._stays(guest)

    @decorators.idempotent_id('55441d4c-56e6-4a61-92f2-2cdf539ee962')
    def test_revert_of_a_resize_brings_back_what_was_written(self):
        guest = self.boot()
        home = self._resize(guest)
        self._returns(guest, home)


class TestOtherMoves(base.MovingScenario):
    """Moves that need no confirmation."""

    @decorators.idempotent_id('f9b3b338-4907-4128-bbfb-d2e1edaf6dda')
    @testtools.skipUnless(CONF.compute_feature_enabled.live_migration,
                          'Live migration is not available.')
    def test_a_guest_writes_on_after_a_live_migration(self):
        guest = self.boot()
        home = guest.host()
        self.admin_servers.live_migrate_server(
            guest.id, host=None, block_migration='auto')
        guest.wait_for('ACTIVE')
        self.assertNotEqual(home, guest.host())
        guest.goes_on()
        self.servers_client.reboot_server(guest.id, type='HARD')
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()

    @decorators.idempotent_id('c21aa03c-bcb2-4bf6-80c4-6fef91bafa8a')
    @testtools.skipUnless(CONF.compute_feature_enabled.shelve,
                          'Shelve is not available.')
    def test_shelve_and_unshelve_keep_the_variables(self):
        guest = self.boot()
        compute.shelve_server(self.servers_client, guest.id,
                              force_shelve_offload=True)
        self.servers_client.unshelve_server(guest.id)
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()
