# SPDX-License-Identifier: Apache-2.0
"""How the firmware describes the hardware: ACPI or device tree (HW-1, HW-2).

edk2's ArmVirtQemu publishes ACPI where the machine has it, else the device
tree, and never both.
"""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import properties

ACPI, FDT = 'acpi', 'fdt'

PROPERTY = properties.Property(
    'hw_description', (ACPI, FDT), 'Hardware description',
    'What the firmware publishes for the operating system: ACPI tables or a '
    'device tree (FDT). The default is "acpi" with specification 2.0, "fdt" '
    'with 1.0 and in AArch32.')


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    if hardware.spec is None:
        return None
    if hardware.spec == '2.0' and setting.architecture == machine.AARCH64:
        return ACPI
    return FDT


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Refuse what no operating system could use.

    :raises PropertyUnmet: ACPI is not defined for AArch32.
    """
    if (hardware.hw_description == ACPI and
            setting.architecture == machine.ARMV7):
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=ACPI,
            reason='ACPI is not defined for AArch32; the value "fdt" is')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    features = machine.child(domain, 'features')
    for old in features.findall('acpi'):
        features.remove(old)
    if hardware.hw_description == ACPI:
        etree.SubElement(features, 'acpi')


def _traits(value: str) -> tuple[str, ...]:
    return ()


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
