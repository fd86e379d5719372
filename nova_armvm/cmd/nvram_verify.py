# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage nvram verify``: QEMU's flash and that of the flash service.

They differ where QEMU has waited for the service for too long and told its
guest that a write had succeeded.
"""
import dataclasses

from oslo_config import cfg

from nova_armvm.cmd import hypervisor
from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.store import change


@dataclasses.dataclass(frozen=True)
class Verified:
    """What was found about the flash of a server."""

    server: change.Server
    found: flash_service.Verification

    @property
    def settled(self) -> bool:
        """Return whether nothing is left to look after."""
        return self.found.equal or self.found.adopted

    def __str__(self) -> str:
        if self.found.equal:
            words = 'QEMU and the flash service hold the same'
        else:
            words = 'what QEMU holds is not what the flash service holds, ' + (
                'and variables differ' if self.found.variables_differ
                else 'but no variable differs')
        if self.found.adopted:
            words += '; that of QEMU was adopted'
        return f'Server {self.server.uuid}: {words}.'


def verify(conf: cfg.ConfigOpts, servers: change.Servers,
           access: change.Access, wanted: str, adopt: bool) -> Verified:
    """Compare the flash of a server that runs on this host.

    :param wanted: uuid or name of the server.
    :param adopt: take QEMU's over where they differ.
    :raises ServerNotRunning: if it does not run.
    :raises ServerElsewhere: if it runs on another host.
    :raises HypervisorUnreachable: if libvirt does not give its flash.
    :raises ArmVMError: if it could not be done.
    """
    server = servers.find(wanted)
    if server.off:
        raise exception.ServerNotRunning(server=server.uuid)
    with access.opened(server, access.find(server)) as opened:
        with hypervisor.connected(conf) as connection:
            return Verified(server, opened.verify(
                connection.lookupByUUIDString(server.uuid), adopt))
