# SPDX-License-Identifier: Apache-2.0
"""The interrupt controller (PL-2)."""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import properties

PROPERTY = properties.Property(
    'gic_version', ('2', '3'), 'Interrupt controller (GIC)',
    'Version of the ARM Generic Interrupt Controller. With a specification '
    'version the default is the newest that the host has.')


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    if hardware.spec is None or setting.offer is None:
        return None
    usable = [version for version in PROPERTY.allowed
              if version in setting.offer.gic_versions]
    return usable[-1] if usable else None


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Compare with the host.

    :raises HardwareNotOffered: it has no such controller.
    """
    offered = setting.offer.gic_versions if setting.offer else ()
    if hardware.gic_version not in offered:
        raise exception.HardwareNotOffered(
            name=PROPERTY.image_name, value=hardware.gic_version,
            offered=', '.join(offered) or 'none')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    features = machine.child(domain, 'features')
    for old in features.findall('gic'):
        features.remove(old)
    etree.SubElement(features, 'gic', version=hardware.gic_version)


def _traits(value: str) -> tuple[str, ...]:
    return (f'CUSTOM_ARMVM_GIC_V{value}',)


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
