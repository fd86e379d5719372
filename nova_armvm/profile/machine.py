# SPDX-License-Identifier: Apache-2.0
"""What a machine of an instance is made of, and what decides about it."""
from collections.abc import Callable
import dataclasses

from lxml import etree

from nova_armvm.profile import properties

#: libvirt's and Nova's names of ARM's two architectures.
AARCH64, ARMV7 = 'aarch64', 'armv7l'
ARCHITECTURES = (AARCH64, ARMV7)


def child(parent: etree._Element, tag: str) -> etree._Element:
    """Return the first element of a tag, made if there is none."""
    found = parent.find(tag)
    return etree.SubElement(parent, tag) if found is None else found


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The hardware of one machine; one field for each property.

    None for what was neither asked for nor follows from something that was:
    there the machine is as Nova and libvirt make it.
    """

    spec: str | None = None
    execution_state: str | None = None
    gic_version: str | None = None
    hw_description: str | None = None
    console: str | None = None
    hotplug_ports: str | None = None
    nvram: str | None = None
    nvram_template: str | None = None

    def decided(self) -> dict[str, str]:
        """Return the properties that have a value, by their short names."""
        return {name: value for name, value
                in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a host has for machines of one architecture.

    :ivar gic_versions: interrupt controllers, the oldest first.
    :ivar uefi: there is UEFI firmware.
    :ivar virt_type: ``kvm`` or ``qemu``, what such a machine is run with.
    """

    gic_versions: tuple[str, ...]
    uefi: bool
    virt_type: str


@dataclasses.dataclass(frozen=True)
class Setting:
    """What else decides about a machine: Nova's properties, host, options.

    :ivar architecture: of the machine, emulated or not; one of
        ARCHITECTURES.
    :ivar machine_type: hw_machine_type, None for Nova's default.
    :ivar uefi: the machine starts with UEFI firmware.
    :ivar stateless: hw_firmware_stateless, firmware without variables.
    :ivar nvram_default: [armvm] nvram_default.
    :ivar offer: of the host; None where it has nothing for such machines.
    """

    architecture: str
    machine_type: str | None
    uefi: bool
    stateless: bool
    nvram_default: str
    offer: Offer | None


@dataclasses.dataclass(frozen=True)
class Handler:
    """All that is known of one property. Every function in it is pure.

    :ivar property: name, values and description.
    :ivar default: returns the value where nobody asks for one, None to
        leave the machine alone; the properties of earlier handlers have
        their values by then.
    :ivar check: raises PropertyUnmet for what contradicts something else,
        HardwareNotOffered for what this host does not have; called for a
        property that has a value, when all have theirs.
    :ivar apply: changes a domain's XML, again and again the same.
    :ivar traits: returns the traits that a host must have for a value.
    """

    property: properties.Property
    default: Callable[[Hardware, Setting], str | None]
    check: Callable[[Hardware, Setting], None]
    apply: Callable[[etree._Element, Hardware, Offer], None]
    traits: Callable[[str], tuple[str, ...]]
