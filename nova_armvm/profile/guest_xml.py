# SPDX-License-Identifier: Apache-2.0
"""The parts of a libvirt domain's XML that belong to the variable store.

Written for libvirt 9.2 and later (``format`` of ``<nvram>``) and checked with
11.3. All functions take and return the XML as text.
"""
import dataclasses

from lxml import etree

from nova_armvm.profile import machine

#: A class of boot devices that no ARM machine has. Naming it in ``<os>``
#: keeps libvirt from adding ``<boot dev='hd'/>`` by itself, from which it
#: would derive a bootindex (libvirt 11.3; see boot_order_is_the_guests).
NO_BOOT_DEVICE = 'fd'

PciPath = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class NvramSource:
    """Where QEMU finds the flash with the variables: the flash service.

    The same on every host, so nothing of it changes when a guest moves.

    :ivar instance: uuid, the name of the export.
    :ivar socket: path of the service's socket.
    :ivar reconnect_seconds: how long QEMU waits for the service to come back
        before a write of the guest fails.
    """

    instance: str
    socket: str
    reconnect_seconds: int


@dataclasses.dataclass(frozen=True)
class FlashFile:
    """A plain file with the variables, as Nova's own driver has it.

    :ivar format: ``raw`` or ``qcow2``, as libvirt says; never guessed from
        the content, which is the guest's.
    """

    path: str
    format: str


@dataclasses.dataclass(frozen=True)
class SelectedFirmware:
    """What libvirt chose for a domain.

    :ivar loader: path of the firmware's code.
    :ivar template: path of its variable template, None when libvirt names
        none (it never does for a store that is not a plain file).
    :ivar template_format: ``raw`` or ``qcow2``; None as above.
    :ivar secure_boot: whether the guest asked for Secure Boot.
    """

    loader: str
    template: str | None
    template_format: str | None
    secure_boot: bool


def _parse(xml: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True,
                             remove_blank_text=True)
    return etree.fromstring(xml, parser)


def _text(domain: etree._Element) -> str:
    return etree.tostring(domain, encoding='unicode', pretty_print=True)


def is_arm(xml: str) -> bool:
    """Tell whether the domain is an ARM machine."""
    return _parse(xml).find('os/type').get('arch') in machine.ARCHITECTURES


def has_variable_flash(xml: str) -> bool:
    """Tell whether the domain has UEFI firmware with a store of its own.

    False for BIOS or direct kernel boot without firmware, and for stateless
    firmware.
    """
    os = _parse(xml).find('os')
    loader = os.find('loader')
    if loader is not None and loader.get('stateless') == 'yes':
        return False
    return os.get('firmware') == 'efi' or (
        loader is not None and loader.get('type') == 'pflash')


def has_store_of_ours(xml: str) -> bool:
    """Return whether the domain's variables lie on a volume.

    In either form. Plain files, as libvirt makes them for the stock driver
    and for rescue, have no ``<source>`` of their own.
    """
    return _parse(xml).find('os/nvram/source') is not None


def is_of_old_form(xml: str) -> bool:
    """Return whether QEMU itself has the volume open as flash.

    As releases before the flash service had it. libvirt unlinks the device
    node of such a flash when it is told to delete it.
    """
    source = _parse(xml).find('os/nvram/source')
    return source is not None and source.get('protocol') != 'nbd'


def flash_file(xml: str) -> FlashFile | None:
    """Return the plain file that the domain's variables lie in, if any."""
    nvram = _parse(xml).find('os/nvram')
    if nvram is None or nvram.find('source') is not None:
        return None
    path = (nvram.text or '').strip()
    return FlashFile(path, nvram.get('format', 'raw')) if path else None


def without_nvram(xml: str) -> str:
    """Drop ``<nvram>``, so that libvirt selects a template."""
    domain = _parse(xml)
    for nvram in domain.findall('os/nvram'):
        nvram.getparent().remove(nvram)
    return _text(domain)


def with_nvram(xml: str, source: NvramSource) -> str:
    """Let the domain have its flash from the flash service, nowhere else."""
    domain = _parse(xml)
    os = domain.find('os')
    for old in os.findall('nvram'):
        os.remove(old)
    nvram = etree.Element('nvram', type='network', format='raw')
    where = etree.SubElement(nvram, 'source', protocol='nbd',
                             name=source.instance)
    etree.SubElement(where, 'host', transport='unix', socket=source.socket)
    etree.SubElement(where, 'reconnect', delay=str(source.reconnect_seconds))
    before = os.find('loader')
    if before is None:
        before = os.find('type')
    before.addnext(nvram)
    return _text(domain)


def with_firmware_of(xml: str, selected_xml: str) -> str:
    """Pin the loader that libvirt selected for another form of the domain.

    libvirt's choice depends on the ``<nvram>`` element; what is booted must
    be what the template was taken for. Features are named together with the
    attribute that lets libvirt choose: libvirt 11.3 says both of a loader that
    was given, too, and takes one without the other for a mistake.

    :param xml: the domain.
    :param selected_xml: the same domain as libvirt read it.
    """
    domain, selected = _parse(xml), _parse(selected_xml)
    os, chosen = domain.find('os'), selected.find('os')
    for tag in ('firmware', 'loader'):
        for old in os.findall(tag):
            os.remove(old)
    os.attrib.pop('firmware', None)
    if 'firmware' in chosen.attrib:
        os.set('firmware', chosen.get('firmware'))
    anchor = os.find('type')
    for tag in ('loader', 'firmware'):
        element = chosen.find(tag)
        if element is not None:
            anchor.addnext(element)
    return _text(domain)


def selected_firmware(xml: str) -> SelectedFirmware | None:
    """Read libvirt's choice from a domain's XML, None if there is none."""
    os = _parse(xml).find('os')
    loader, nvram = os.find('loader'), os.find('nvram')
    if loader is None or not (loader.text or '').strip():
        return None
    template = nvram.get('template') if nvram is not None else None
    return SelectedFirmware(
        loader=loader.text.strip(),
        template=template,
        # libvirt 9.2 to 10.9 have no templateFormat: the store then has the
        # template's format.
        template_format=template and nvram.get(
            'templateFormat', nvram.get('format', 'raw')),
        secure_boot=loader.get('secure') == 'yes')


def with_guest_boot_order(xml: str) -> str:
    """Take every boot order from the machine.

    QEMU then gives the firmware no list of its own, and edk2 leaves BootOrder
    and Boot#### as the guest wrote them.
    """
    domain = _parse(xml)
    os = domain.find('os')
    for boot in [*os.findall('boot'), *domain.findall('devices/*/boot')]:
        boot.getparent().remove(boot)
    os.append(etree.Element('boot', dev=NO_BOOT_DEVICE))
    return _text(domain)


def boot_device_aliases(xml: str) -> tuple[str, ...]:
    """Return the aliases of the devices that can have a bootindex.

    :param xml: of a running domain; others have no aliases.
    """
    domain = _parse(xml)
    return tuple(
        alias.get('name')
        for tag in ('disk', 'interface', 'hostdev', 'redirdev')
        for alias in domain.findall(f'devices/{tag}/alias'))


def offered_boot_paths(xml: str) -> tuple[PciPath, ...]:
    """Return the PCI paths of the devices that the platform offers to boot.

    Follows libvirt: devices with an order of their own in that order, else
    the first device of each class that ``<os>`` names.

    :param xml: as libvirt wrote it, with PCI addresses, disks sorted.
    :returns: for each device the (device, function) pairs from the root
        bridge downwards; devices that are not on PCI are left out.
    """
    domain = _parse(xml)
    buses = _bridges(domain)
    paths = (_pci_path(device, domain, buses)
             for device in _boot_devices(domain))
    return tuple(path for path in paths if path)


def _boot_devices(domain: etree._Element) -> list[etree._Element]:
    ordered = [device for device in domain.findall('devices/*')
               if device.find('boot') is not None]
    if ordered:
        return sorted(ordered,
                      key=lambda device: int(device.find('boot').get('order')))
    found = []
    for boot in domain.findall('os/boot'):
        first = next(iter(_devices_of_class(domain, boot.get('dev'))), None)
        if first is not None:
            found.append(first)
    return found


def _devices_of_class(domain: etree._Element,
                      boot_class: str) -> list[etree._Element]:
    if boot_class == 'network':
        return domain.findall('devices/interface')
    kinds = {'hd': ('disk', 'lun', None), 'cdrom': ('cdrom',)}
    wanted = kinds.get(boot_class, ())
    return [disk for disk in domain.findall('devices/disk')
            if disk.get('device') in wanted]


def _bridges(domain: etree._Element) -> dict[int, tuple[int, int, int]]:
    """Map a bus number to (bus, slot, function) of the bridge above it."""
    bridges = {}
    for controller in domain.findall("devices/controller[@type='pci']"):
        where = _address(controller)
        if where is not None:
            bridges[int(controller.get('index'))] = where
    return bridges


def _address(device: etree._Element) -> tuple[int, int, int] | None:
    address = device.find("address[@type='pci']")
    if address is None:
        return None
    return (int(address.get('bus'), 16), int(address.get('slot'), 16),
            int(address.get('function'), 16))


def _pci_path(device: etree._Element, domain: etree._Element,
              bridges: dict[int, tuple[int, int, int]]) -> PciPath:
    where = _address(device) or _controller_address(device, domain)
    path: PciPath = ()
    while where is not None and len(path) <= len(bridges):
        bus, slot, function = where
        path = ((slot, function), *path)
        where = bridges.get(bus) if bus else None
    return path


def _controller_address(
        device: etree._Element,
        domain: etree._Element) -> tuple[int, int, int] | None:
    """Return the PCI address of the controller that a drive hangs from."""
    drive = device.find("address[@type='drive']")
    target = device.find('target')
    if drive is None or target is None:
        return None
    controller = domain.find(
        f"devices/controller[@type='{target.get('bus')}']"
        f"[@index='{int(drive.get('controller'))}']")
    return _address(controller) if controller is not None else None
