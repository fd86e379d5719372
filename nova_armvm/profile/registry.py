# SPDX-License-Identifier: Apache-2.0
"""Every property, and what is done with all of them.

The metadata definitions for Glance, the validators of flavor extra specs and
the documentation are made from this list, too.
"""
from collections.abc import Mapping
import dataclasses

from lxml import etree

from nova_armvm import exception
from nova_armvm.profile.handlers import console
from nova_armvm.profile.handlers import execution_state
from nova_armvm.profile.handlers import gic_version
from nova_armvm.profile.handlers import hotplug_ports
from nova_armvm.profile.handlers import hw_description
from nova_armvm.profile.handlers import nvram
from nova_armvm.profile.handlers import nvram_template
from nova_armvm.profile.handlers import spec
from nova_armvm.profile import machine
from nova_armvm.profile import properties

#: In the order in which defaults follow from each other.
HANDLERS = (spec.HANDLER, execution_state.HANDLER, gic_version.HANDLER,
            hw_description.HANDLER, console.HANDLER, hotplug_ports.HANDLER,
            nvram.HANDLER, nvram_template.HANDLER)
PROPERTIES = tuple(handler.property for handler in HANDLERS)

#: The namespace of the element that tells a domain's hardware.
NAMESPACE = 'urn:nova-armvm:hardware:1'


def resolve(image: Mapping[str, str], flavor: Mapping[str, str],
            setting: machine.Setting) -> machine.Hardware:
    """Decide what the machine of a new server is made of.

    :param image: properties of the image, by their full names.
    :param flavor: extra specs of the flavor, by their full names.
    :param setting: what else decides.
    :returns: complete and free of contradictions.
    :raises PropertyUnknown: a name in our name space that nobody knows.
    :raises PropertyInvalid: a value is not one of those allowed.
    :raises PropertyConflict: image and flavor disagree.
    :raises PropertyUnmet: a value contradicts another, or Nova's own.
    :raises HardwareNotOffered: this host has no such hardware.
    """
    properties.check_names(PROPERTIES, image, flavor)
    hardware = machine.Hardware(**{
        wanted.name: properties.asked(wanted, image, flavor)
        for wanted in PROPERTIES})
    for handler in HANDLERS:
        if _value(handler, hardware) is None:
            hardware = dataclasses.replace(hardware, **{
                handler.property.name: handler.default(hardware, setting)})
    _check(hardware, setting)
    return hardware


def _value(handler: machine.Handler,
           hardware: machine.Hardware) -> str | None:
    return getattr(hardware, handler.property.name)


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    for handler in HANDLERS:
        if _value(handler, hardware) is not None:
            handler.check(hardware, setting)


def refuse_all(image: Mapping[str, str], flavor: Mapping[str, str],
               architecture: str) -> None:
    """Refuse every property of ours for a machine that is none of ours.

    :param architecture: of the machine, to be told.
    :raises PropertyUnmet: for the first of them.
    """
    for prefix, given in ((properties.IMAGE_PREFIX, image),
                          (properties.FLAVOR_PREFIX, flavor)):
        for name in sorted(given):
            if name.startswith(prefix):
                raise exception.PropertyUnmet(
                    name=name, value=given[name],
                    reason=f'the image is for {architecture}, not for ARM')


def recorded(kept: Mapping[str, str]) -> machine.Hardware:
    """Read back what was decided for a server.

    :param kept: properties of the image as kept with the instance. Of one
        that another driver built they are what the tenant says.
    :raises PropertyInvalid: a value is not one of those allowed.
    """
    return machine.Hardware(**{
        wanted.name: properties.asked(wanted, kept, {})
        for wanted in PROPERTIES})


def check_flavor(hardware: machine.Hardware,
                 flavor: Mapping[str, str]) -> None:
    """Hold another flavor against the machine that a server has.

    :param flavor: extra specs, by their full names.
    :raises PropertyUnknown: a name in our name space that nobody knows.
    :raises PropertyInvalid: a value is not one of those allowed.
    :raises PropertyConflict: it would be another machine.
    """
    properties.check_names(PROPERTIES, {}, flavor)
    for wanted in PROPERTIES:
        value = getattr(hardware, wanted.name)
        properties.asked(
            wanted, {} if value is None else {wanted.image_name: value},
            flavor)


def check_offer(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Hold another host against the machine that a server has.

    :raises HardwareNotOffered: this host has no such hardware.
    :raises PropertyUnmet: a value contradicts another, or Nova's own.
    """
    _check(hardware, setting)


def apply(xml: str, hardware: machine.Hardware, offer: machine.Offer) -> str:
    """Give a domain its hardware, but for free hot-plug ports.

    :param xml: as Nova describes it, or as returned from here.
    """
    domain = _parse(xml)
    for handler in HANDLERS:
        if _value(handler, hardware) is not None:
            handler.apply(domain, hardware, offer)
    _note(domain, hardware)
    return etree.tostring(domain, encoding='unicode', pretty_print=True)


def with_free_ports(xml: str, completed: str,
                    hardware: machine.Hardware) -> str:
    """Give a domain its free hot-plug ports.

    :param xml: from apply().
    :param completed: the same as libvirt completed it.
    """
    domain = _parse(xml)
    hotplug_ports.add_free_ports(
        domain, hotplug_ports.ports_in_use(_parse(completed)),
        int(hardware.hotplug_ports))
    return etree.tostring(domain, encoding='unicode', pretty_print=True)


def _note(domain: etree._Element, hardware: machine.Hardware) -> None:
    """Tell who looks at the domain what it was made of."""
    metadata = machine.child(domain, 'metadata')
    tag = etree.QName(NAMESPACE, 'hardware')
    for old in metadata.findall(tag):
        metadata.remove(old)
    metadata.append(etree.Element(tag, hardware.decided(),
                                  nsmap={'armvm': NAMESPACE}))


def _parse(xml: str) -> etree._Element:
    return etree.fromstring(xml, etree.XMLParser(
        resolve_entities=False, no_network=True, remove_blank_text=True))


def traits(hardware: machine.Hardware) -> tuple[str, ...]:
    """Return the traits that a host must have for a machine, sorted."""
    return tuple(sorted({
        trait for handler in HANDLERS
        if _value(handler, hardware) is not None
        for trait in handler.traits(_value(handler, hardware))}))
