# SPDX-License-Identifier: Apache-2.0
"""What a host offers, read from what libvirt says of it.

The formats are libvirt's ``capabilities`` and ``domainCapabilities``,
checked with 11.3.
"""
from collections.abc import Mapping

from lxml import etree

from nova_armvm.profile import machine


#: libvirt 11.3 names all versions of the interrupt controller for this
#: program, and refuses to start it with another than the oldest.
_WITHOUT_CHOICE, _OLDEST = 'qemu-system-arm', '2'


def virt_types(capabilities: str) -> dict[str, str]:
    """Return what machines of ARM's architectures would be run with.

    :param capabilities: XML of the connection.
    :returns: ``kvm`` or ``qemu`` for each architecture that there is.
    """
    found = {}
    for arch in etree.fromstring(capabilities).findall('guest/arch'):
        name = arch.get('name')
        if name in machine.ARCHITECTURES:
            kinds = {domain.get('type') for domain in arch.findall('domain')}
            found[name] = 'kvm' if 'kvm' in kinds else 'qemu'
    return found


def offer(domain_capabilities: str) -> machine.Offer:
    """Return what a host has for machines of one architecture.

    :param domain_capabilities: XML for that architecture and the machine
        type "virt".
    """
    tree = etree.fromstring(domain_capabilities)
    versions = tree.findall(
        "features/gic[@supported='yes']/enum[@name='version']/value")
    firmware = tree.findall(
        "os[@supported='yes']/enum[@name='firmware']/value")
    names = sorted(version.text for version in versions)
    if (tree.findtext('path') or '').endswith(_WITHOUT_CHOICE):
        names = [name for name in names if name == _OLDEST]
    return machine.Offer(
        gic_versions=tuple(names),
        uefi='efi' in {value.text for value in firmware},
        virt_type=tree.findtext('domain'))


def traits(offered: Mapping[str, machine.Offer]) -> dict[str, bool]:
    """Return the traits of a host, each with whether it has it.

    :param offered: by architecture.
    """
    usable = [each for each in offered.values() if each.uefi]
    versions = {version for each in usable for version in each.gic_versions}
    arm32 = offered.get(machine.ARMV7)
    return {
        'CUSTOM_ARMVM': bool(usable),
        'CUSTOM_ARMVM_GIC_V2': '2' in versions,
        'CUSTOM_ARMVM_GIC_V3': '3' in versions,
        'CUSTOM_ARMVM_AARCH32': arm32 is not None and arm32.uefi,
    }
