# SPDX-License-Identifier: Apache-2.0
"""Images that ask for what there is not are refused in words."""
from tempest.common import waiters
from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from nova_armvm_tempest_plugin.tests.scenario import base

CONF = config.CONF
_MIB = 1024 * 1024


class TestImageTags(base.TaggingScenario):
    """Properties hw_armvm_* and required traits of images that are refused.

    The images hold nothing: their servers must fail before any is booted.
    """

    def _fault(self, properties: dict[str, str], flavor: str = '') -> str:
        """Ask for a server of such an image; return why there is none."""
        server = self.create_server(
            image_id=self.tagged_image(properties, bytes(_MIB)),
            wait_until=None, flavor=flavor or None)
        failed = waiters.wait_for_server_status(
            self.servers_client, server['id'], 'ERROR', raise_on_error=False)
        return failed['fault']['message']

    @decorators.idempotent_id('d5476dae-0087-4726-a4ba-d09761002c0d')
    def test_an_unknown_value_is_refused_and_the_values_allowed_are_named(
            self):
        told = self._fault({'hw_armvm_gic_version': '7'})
        self.assertIn('hw_armvm_gic_version', told)
        self.assertIn('7', told)
        self.assertRegex(told, r'2.*3')

    @decorators.idempotent_id('c5ab8806-00a8-4818-bdbb-8986be6aad19')
    def test_an_unknown_property_is_refused_by_its_name(self):
        told = self._fault({'hw_armvm_colour': 'red'})
        self.assertIn('hw_armvm_colour', told)

    @decorators.idempotent_id('880ec81d-09bd-4c39-b0e1-5cd18d6b2b9e')
    def test_an_image_and_a_flavor_that_disagree_are_refused(self):
        flavors = self.os_admin.flavors_client
        model = flavors.show_flavor(CONF.compute.flavor_ref)['flavor']
        flavor = flavors.create_flavor(
            name=data_utils.rand_name(prefix=CONF.resource_name_prefix,
                                      name='armvm-tags'),
            ram=model['ram'], vcpus=model['vcpus'],
            disk=model['disk'])['flavor']['id']
        self.addCleanup(flavors.delete_flavor, flavor)
        flavors.set_flavor_extra_spec(flavor, **{'armvm:hotplug_ports': '5'})
        told = self._fault({'hw_armvm_hotplug_ports': '6'}, flavor)
        self.assertIn('hw_armvm_hotplug_ports', told)
        self.assertIn('armvm:hotplug_ports', told)

    @decorators.idempotent_id('48d844a5-2c2f-492a-a656-e0067b8b44fa')
    def test_a_required_trait_that_no_host_has_finds_no_host(self):
        told = self._fault({'trait:CUSTOM_ARMVM_TEMPEST_NOWHERE': 'required'})
        self.assertIn('No valid host', told)
