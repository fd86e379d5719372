# SPDX-License-Identifier: Apache-2.0
"""The firmware that a store is made for: QEMU's firmware descriptors.

The format is QEMU's docs/interop/firmware.json; libvirt reads the same files.
"""
from collections.abc import Iterable
import dataclasses
import json
import os

from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.profile import guest_xml

LOG = logging.getLogger(__name__)

#: A descriptor is a page of JSON; anything much larger is not one.
DESCRIPTOR_MAX_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """A firmware with a variable template.

    :ivar name: file name of the descriptor.
    :ivar architectures: QEMU's names of the architectures it is for.
    :ivar loader: path of the firmware's code.
    :ivar template: path of the variable template.
    :ivar template_format: ``raw`` or ``qcow2``.
    :ivar features: as the descriptor names them: ``secure-boot``, ...
    """

    name: str
    architectures: frozenset[str]
    loader: str
    template: str
    template_format: str
    features: tuple[str, ...] = ()


def load_descriptors(directories: Iterable[str]) -> tuple[Descriptor, ...]:
    """Read the descriptors of firmware on flash with a variable template.

    A file that is no valid descriptor is left out with a warning, as libvirt
    does.

    :param directories: the most important first; a file hides those of the
        same name in later directories, an empty one does nothing but that.
    :returns: in the order of their file names, as libvirt tries them.
    """
    chosen: dict[str, str] = {}
    for directory in directories:
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            continue
        for name in names:
            if name.endswith('.json'):
                chosen.setdefault(name, os.path.join(directory, name))
    found = (_load(name, chosen[name]) for name in sorted(chosen))
    return tuple(descriptor for descriptor in found if descriptor)


def _load(name: str, path: str) -> Descriptor | None:
    try:
        with open(path, encoding='utf-8') as stream:
            text = stream.read(DESCRIPTOR_MAX_BYTES)
        return _parse(name, json.loads(text)) if text.strip() else None
    except (OSError, ValueError, KeyError, TypeError,
            AttributeError) as error:
        LOG.warning('The firmware descriptor %(path)s cannot be used: '
                    '%(error)r', {'path': path, 'error': error})
        return None


def _parse(name: str, document: dict) -> Descriptor | None:
    mapping = document['mapping']
    template = mapping.get('nvram-template')
    if mapping['device'] != 'flash' or template is None:
        return None
    return Descriptor(
        name=name,
        architectures=frozenset(
            target['architecture'] for target in document['targets']),
        loader=mapping['executable']['filename'],
        template=template['filename'],
        template_format=template['format'],
        features=tuple(str(feature)
                       for feature in document.get('features') or ()))


def is_installed(descriptor: Descriptor) -> bool:
    """Tell whether the files that a descriptor names are there."""
    return (os.path.exists(descriptor.loader) and
            os.path.exists(descriptor.template))


def descriptor_of(
        selected: guest_xml.SelectedFirmware,
        descriptors: Iterable[Descriptor]) -> Descriptor:
    """Return the descriptor that libvirt's choice came from.

    Several descriptors may share a loader and differ in the template
    (enrolled keys, for example), so the template decides where libvirt named
    one.

    :raises FirmwareUnknown: no descriptor names this loader and template.
    """
    for descriptor in descriptors:
        if descriptor.loader == selected.loader and selected.template in (
                None, descriptor.template):
            return descriptor
    LOG.error('No firmware descriptor names the loader %(loader)s with the '
              'template %(template)s; see [armvm] firmware_descriptor_dirs.',
              {'loader': selected.loader, 'template': selected.template})
    raise exception.FirmwareUnknown()
