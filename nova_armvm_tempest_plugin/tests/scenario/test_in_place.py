# SPDX-License-Identifier: Apache-2.0
"""A server boots something else: for a while, or from now on."""
import testtools

from tempest import config
from tempest.lib import decorators

from nova_armvm_tempest_plugin.tests.scenario import base

CONF = config.CONF


class TestInPlace(base.Scenario):
    """Rescue and rebuild."""

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if not CONF.armvm.image_alt_ref:
            raise cls.skipException('[armvm] image_alt_ref is empty')

    @decorators.idempotent_id('d60d93f2-4a2a-4226-bbfc-3832347668c1')
    @testtools.skipUnless(CONF.compute_feature_enabled.rescue,
                          'Rescue is not available.')
    def test_rescue_has_a_store_of_its_own_and_unrescue_the_servers(self):
        guest = self.boot()
        before = guest.left
        self.servers_client.rescue_server(
            guest.id, rescue_image_ref=CONF.armvm.image_alt_ref)
        guest.wait_for('RESCUE')
        guest.boots_with_an_empty_store()
        self.assertNotEqual(before.disk, guest.left.disk)

        guest.left = before
        self.servers_client.unrescue_server(guest.id)
        guest.wait_for('ACTIVE')
        guest.boots_with_everything()
        self.assertEqual(before.disk, guest.left.disk)

    @decorators.idempotent_id('3932fad8-ade7-427b-a1c3-76130d107aca')
    @testtools.skipUnless(CONF.armvm.rebuild, 'Rebuild is not available.')
    def test_rebuild_begins_with_an_empty_store(self):
        guest = self.boot()
        before = guest.left
        self.rebuild_server(guest.id, image=CONF.armvm.image_alt_ref)
        guest.boots_with_an_empty_store()
        self.assertNotEqual(before.disk, guest.left.disk)
        self.assertNotEqual(before.probe, guest.left.probe)
