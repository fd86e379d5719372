# SPDX-License-Identifier: Apache-2.0
"""Free PCIe root ports, for devices that come while the guest runs (PL-4)."""
from lxml import etree

from nova_armvm.profile import machine
from nova_armvm.profile import properties

PROPERTY = properties.Property(
    'hotplug_ports', tuple(str(number) for number in range(29)),
    'Free hot-plug ports',
    'PCIe root ports beyond those that the server starts with, each for one '
    'volume or network port that is attached while it runs. The default is '
    '4 with a specification version.', counts=True)

_DEFAULT = '4'


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    return None if hardware.spec is None else _DEFAULT


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Nothing speaks against it."""


def _ports(domain: etree._Element) -> list[etree._Element]:
    return domain.findall(
        "devices/controller[@type='pci'][@model='pcie-root-port']")


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    """Take out the ports that Nova adds by [libvirt] num_pcie_ports.

    libvirt adds one for each device then, and with_free_ports() the others.
    """
    for port in _ports(domain):
        if port.find('address') is None:
            port.getparent().remove(port)


def ports_in_use(domain: etree._Element) -> int:
    """Count the root ports that have a device.

    :param domain: as libvirt completed it, with addresses.
    """
    buses = {int(address.get('bus'), 16)
             for address in domain.findall("devices/*/address[@type='pci']")}
    return sum(int(port.get('index')) in buses for port in _ports(domain))


def add_free_ports(domain: etree._Element, in_use: int, free: int) -> None:
    """Describe the ports that are in use and those that stay free.

    :param domain: without root ports of its own, see HANDLER.apply.
    :param in_use: from ports_in_use(); libvirt fills these first.
    :param free: to be left over.
    """
    devices = domain.find('devices')
    if devices.find("controller[@model='pcie-root']") is None:
        # Or libvirt 11.3 takes the first port for it.
        etree.SubElement(devices, 'controller', type='pci', index='0',
                         model='pcie-root')
    for _port in range(in_use + free):
        etree.SubElement(devices, 'controller', type='pci',
                         model='pcie-root-port')


def _traits(value: str) -> tuple[str, ...]:
    return ()


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
