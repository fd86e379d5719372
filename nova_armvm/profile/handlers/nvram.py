# SPDX-License-Identifier: Apache-2.0
"""Where the UEFI variables live (FW-2)."""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import properties

PERSISTENT, VOLATILE = 'persistent', 'volatile'

PROPERTY = properties.Property(
    'nvram', (PERSISTENT, VOLATILE), 'UEFI variables',
    'Where the UEFI variables of the server live: "persistent" on a volume '
    'that follows it everywhere, "volatile" on its compute host, lost when '
    'it moves. The cloud has a default.')


def _keeps_variables(setting: machine.Setting) -> bool:
    return setting.uefi and not setting.stateless


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    if not _keeps_variables(setting):
        return VOLATILE
    # What an image brings along is to stay.
    return (setting.nvram_default if hardware.nvram_template is None
            else PERSISTENT)


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Ask for firmware that keeps variables.

    :raises PropertyUnmet: it keeps none.
    """
    if hardware.nvram == PERSISTENT and not _keeps_variables(setting):
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=hardware.nvram,
            reason='the image asks for firmware without variables '
                   '(hw_firmware_stateless)' if setting.stateless else
                   'the image has no UEFI firmware with variables')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    """Do nothing: the volume is known only when the guest starts."""


def _traits(value: str) -> tuple[str, ...]:
    return ('CUSTOM_ARMVM',) if value == PERSISTENT else ()


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
