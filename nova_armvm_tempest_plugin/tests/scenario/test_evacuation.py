# SPDX-License-Identifier: Apache-2.0
"""A host dies; its servers and their variables go on elsewhere."""
from tempest import config
from tempest.lib import decorators

from nova_armvm_tempest_plugin import power
from nova_armvm_tempest_plugin.tests.scenario import base

CONF = config.CONF


# No other test has a server on the host that is killed.
@decorators.serial
class TestEvacuation(base.MovingScenario):
    """Evacuation off a host that is really dead."""

    #: A service is forced down by its id.
    compute_min_microversion = '2.53'
    #: From 2.95 on an evacuated server is left off.
    compute_max_microversion = '2.94'

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if not CONF.armvm.evacuation:
            raise cls.skipException('[armvm] evacuation is not allowed')
        if not (CONF.armvm.host_down_command and CONF.armvm.host_up_command):
            raise cls.skipException(
                '[armvm] host_down_command or host_up_command is empty')

    @decorators.idempotent_id('7297fe1b-d215-433a-b5a9-f579a75d6499')
    @decorators.attr(type='slow')
    def test_evacuation_keeps_the_variables(self):
        guest = self.boot()
        dead = guest.host()
        service = self._service_of(dead)
        # Last made, first undone: Nova may take it for up only then.
        self.addCleanup(self._force_down, service, False)
        self.addCleanup(power.run, CONF.armvm.host_up_command, dead)
        power.run(CONF.armvm.host_down_command, dead)
        self._force_down(service, True)

        self.admin_servers.evacuate_server(guest.id)
        guest.wait_for('ACTIVE')
        self.assertNotEqual(dead, guest.host())
        guest.boots_with_everything()

    def _service_of(self, host: str) -> str:
        found = self.os_admin.services_client.list_services(
            host=host, binary='nova-compute')['services']
        self.assertEqual(1, len(found), found)
        return found[0]['id']

    def _force_down(self, service: str, down: bool) -> None:
        self.os_admin.services_client.update_service(service,
                                                     forced_down=down)
