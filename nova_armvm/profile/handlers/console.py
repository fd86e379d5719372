# SPDX-License-Identifier: Apache-2.0
"""The consoles that an operating system can talk to (PL-1)."""
from lxml import etree

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import properties

PL011, VIRTIO, BOTH = 'pl011', 'virtio', 'pl011+virtio'

PROPERTY = properties.Property(
    'console', (PL011, VIRTIO, BOTH), 'Consoles',
    'Serial console of the server. The console log of the server is what '
    'the pl011 prints; only with "virtio" it is the virtio console. '
    'Specification 2.0 demands a pl011.')


def _default(hardware: machine.Hardware,
             setting: machine.Setting) -> str | None:
    return None if hardware.spec is None else PL011


def _check(hardware: machine.Hardware, setting: machine.Setting) -> None:
    """Hold the specification against it.

    :raises PropertyUnmet: version 2.0 without a pl011.
    """
    if hardware.console == VIRTIO and hardware.spec == '2.0':
        raise exception.PropertyUnmet(
            name=PROPERTY.image_name, value=VIRTIO,
            reason='specification 2.0 demands a pl011; the value '
                   '"pl011+virtio" has both')


def _apply(domain: etree._Element, hardware: machine.Hardware,
           offer: machine.Offer) -> None:
    devices = domain.find('devices')
    if hardware.console == VIRTIO:
        _to_virtio(devices)
        return
    serials = devices.findall('serial')
    for serial in serials or [etree.SubElement(devices, 'serial',
                                               type='pty')]:
        _make_pl011(serial)
    if hardware.console == BOTH and not _virtio_consoles(devices):
        console = etree.SubElement(devices, 'console', type='pty')
        etree.SubElement(console, 'target', type='virtio')


def _make_pl011(serial: etree._Element) -> None:
    target = machine.child(serial, 'target')
    target.set('type', 'system-serial')
    for model in target.findall('model'):
        target.remove(model)
    etree.SubElement(target, 'model', name='pl011')


def _to_virtio(devices: etree._Element) -> None:
    """Make of the serial ports that Nova describes virtio consoles.

    Where they lead to and where they are logged stays as Nova has it.
    """
    serials = devices.findall('serial')
    for console in devices.findall('console'):
        # libvirt's second name of the first serial port.
        target = console.find('target')
        if serials and (target is None or target.get('type') == 'serial'):
            devices.remove(console)
    for serial in serials:
        serial.tag = 'console'
        target = serial.find('target')
        port = target.get('port') if target is not None else None
        for old in serial.findall('target'):
            serial.remove(old)
        target = etree.SubElement(serial, 'target', type='virtio')
        if port is not None:
            target.set('port', port)
    if not _virtio_consoles(devices):
        console = etree.SubElement(devices, 'console', type='pty')
        etree.SubElement(console, 'target', type='virtio')


def _virtio_consoles(devices: etree._Element) -> list[etree._Element]:
    return devices.findall("console/target[@type='virtio']")


def _traits(value: str) -> tuple[str, ...]:
    return ()


HANDLER = machine.Handler(PROPERTY, _default, _check, _apply, _traits)
