# SPDX-License-Identifier: Apache-2.0
"""The execution state in which the processors start (PL-5)."""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import properties

AARCH64, AARCH32 = 'aarch64', 'aarch32'

PROPERTY = properties.Property(
    'execution_state', (AARCH64, AARCH32), 'Execution state',
    'State in which the processors of the server start. "aarch32" goes with '
    'hw_architecture=armv7l and 32-bit firmware.')

_ARCHITECTURE = {AARCH64: machine.AARCH64, AARCH32: machine.ARMV7}


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    if hardware.spec is None:
        return None
    return AARCH32 if setting.architecture == machine.ARMV7 else AARCH64


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Compare with the architecture and the host.

    :raises PropertyUnmet: Nova's own property says something else.
    :raises HardwareNotOffered: this host runs no such machines.
    """
    wanted = _ARCHITECTURE[hardware.execution_state]
    if setting.architecture != wanted:
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=hardware.execution_state,
            reason=f'the image is for {setting.architecture} (set '
                   f'hw_architecture={wanted}, or where ARM is emulated '
                   f'hw_emulation_architecture={wanted})')
    if setting.offer is None or not setting.offer.uefi:
        raise exception.HardwareNotOffered(
            name=PROPERTY.image_name, value=hardware.execution_state,
            offered='no such machines with UEFI firmware')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    """Let a 64-bit processor start in 32-bit state where it can.

    Nova takes every architecture but the host's own for emulated. libvirt
    turns a processor that is passed through to an armv7l machine into one
    with ``aarch64=off``.
    """
    if hardware.execution_state != AARCH32 or offer.virt_type != 'kvm':
        return
    domain.set('type', 'kvm')
    cpu = machine.child(domain, 'cpu')
    for model in cpu.findall('model'):
        cpu.remove(model)
    cpu.attrib.pop('match', None)
    cpu.set('mode', 'host-passthrough')


def _traits(value: str) -> tuple[str, ...]:
    return ('CUSTOM_ARMVM_AARCH32',) if value == AARCH32 else ()


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
