# SPDX-License-Identifier: Apache-2.0
"""A mechanism driver of Neutron for tests: ports that lead nowhere.

So that a network port can be attached to a server. nova-compute makes a tap
device for each; what the guest sends there goes nowhere. Neutron's own
drivers need an agent on each host, or OVN. Loaded by Neutron's API, which
finds it by the entry point that packages.py makes.
"""
from neutron_lib.api.definitions import portbindings
from neutron_lib import constants
from neutron_lib.plugins.ml2 import api


class TapDriver(api.MechanismDriver):
    """Binds every port as a tap device."""

    def initialize(self) -> None:
        """Nothing has to be prepared."""

    def bind_port(self, context: api.PortContext) -> None:
        segment = context.segments_to_bind[0]
        context.set_binding(
            segment[api.ID], portbindings.VIF_TYPE_TAP,
            {portbindings.CAP_PORT_FILTER: False},
            constants.PORT_STATUS_ACTIVE)
