# SPDX-License-Identifier: Apache-2.0
"""The image with the UEFI variables that a server begins with.

A flavor cannot name one: it is the tenant's own, read with the tenant's own
rights, and its keys belong to what the image boots.
"""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile.handlers import nvram
from nova_armvm.profile import machine
from nova_armvm.profile import properties

_HEX = '[0-9a-f]'

PROPERTY = properties.Property(
    'nvram_template', title='UEFI variables to begin with',
    description='Id of an image with UEFI variables, such as your own keys '
    'for Secure Boot, that first boot begins with in place of the '
    'firmware\'s: raw, at most 64 MiB, visible to you. Made by "openstack '
    'armvm nvram template create".',
    pattern=f'{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}',
    words='the id of an image (a uuid in lower case)', of_images_only=True)


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    return None


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Ask for a store that it can be put into.

    :raises PropertyUnmet: the variables are volatile.
    """
    if hardware.nvram != nvram.PERSISTENT:
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=hardware.nvram_template,
            reason='the UEFI variables of this server are volatile '
                   f'({nvram.PROPERTY.image_name})')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    """Do nothing: it goes to the volume."""


def _traits(value: str) -> tuple[str, ...]:
    return ('CUSTOM_ARMVM',)


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
