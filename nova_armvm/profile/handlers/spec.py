# SPDX-License-Identifier: Apache-2.0
"""The version of the specification that an image was built for."""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import properties

PROPERTY = properties.Property(
    'spec', ('1.0', '2.0'), 'VM specification',
    'Version of the VM System Specification for ARM Processors that the '
    'image was built for. The server gets a complete machine of that '
    'version; each other property overrides one thing.')


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    return None


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Ask for what every version of the specification needs.

    :raises PropertyUnmet: no UEFI (FW-1), or a board that is not for
        virtual machines (PL-6).
    """
    if not setting.uefi:
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=hardware.spec,
            reason='the image does not ask for UEFI firmware '
                   '(hw_firmware_type=uefi)')
    kind = setting.machine_type
    if kind is not None and kind.split('-')[0] != 'virt':
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=hardware.spec,
            reason=f'the image asks for the machine type "{kind}", which is '
                   'not "virt"')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    """Do nothing: the version is in what the other properties become."""


def _traits(value: str) -> tuple[str, ...]:
    return ('CUSTOM_ARMVM',)


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
