# SPDX-License-Identifier: Apache-2.0
"""What libvirt on this host has for ARM machines."""
import typing as ty

from nova_armvm.profile import machine
from nova_armvm.profile import offers

#: The board of every ARM machine that OpenStack runs.
_BOARD = 'virt'


def ask(connection: ty.Any, virt_type: str) -> dict[str, machine.Offer]:
    """Ask libvirt, as of now, what it has for each architecture of ARM.

    :param connection: a libvirt.virConnect, not a read-only one (libvirt 11.3
        tells those nothing of domains).
    :param virt_type: [libvirt] virt_type.
    :returns: by architecture; those that this host does not run are left
        out.
    :raises libvirt.libvirtError: libvirt does not answer.
    """
    kinds = offers.virt_types(connection.getCapabilities())
    return {
        architecture: offers.offer(connection.getDomainCapabilities(
            None, architecture, _BOARD,
            kind if virt_type == 'kvm' else virt_type, 0))
        for architecture, kind in kinds.items()}
