# SPDX-License-Identifier: Apache-2.0
"""Write what is made from the properties and the requirements.

``python -m tools.generate`` after one of them has changed; a test fails when
it was forgotten.
"""
from collections.abc import Iterable
import json
import pathlib

from nova_armvm.profile import machine
from nova_armvm.profile import properties
from nova_armvm.profile import registry
from nova_armvm.profile import requirements

ROOT = pathlib.Path(__file__).parent.parent
_DIRECTORY = ROOT / 'etc/glance/metadefs'
METADEFS = _DIRECTORY / 'compute-armvm.json'
#: Glance has one list of resource types for all properties of a file.
IMAGE_METADEFS = _DIRECTORY / 'compute-armvm-image.json'
REFERENCE = ROOT / 'doc/source/properties.inc'
SPECIFICATION = ROOT / 'doc/source/requirements.inc'

#: A host that has everything; ``armvm-manage spec`` tells of a real one.
_OFFERS = {machine.AARCH64: machine.Offer(('2', '3'), uefi=True,
                                          virt_type='kvm'),
           machine.ARMV7: machine.Offer(('2',), uefi=True,
                                        virt_type='kvm')}

_OF_IMAGES = {'name': 'OS::Glance::Image', 'prefix': properties.IMAGE_PREFIX}
_OF_FLAVORS = {'name': 'OS::Nova::Flavor', 'prefix': properties.FLAVOR_PREFIX}


def _definition(wanted: properties.Property) -> dict[str, object]:
    """Return a property as Glance's metadata definitions have it.

    All are strings, which is what images and flavors keep.
    """
    values = ({'pattern': f'^{wanted.pattern}$'} if wanted.pattern
              else {'enum': list(wanted.allowed)})
    return {'title': wanted.title, 'description': wanted.description,
            'type': 'string', **values}


def metadefs() -> str:
    """Return the namespace of what images and flavors ask for."""
    return _namespace(
        'OS::Compute::ArmVM', 'ARM Virtual Machine',
        'Hardware of servers that follow the VM System Specification for ARM '
        'Processors, and where their UEFI variables live.',
        (_OF_IMAGES, _OF_FLAVORS),
        (each for each in registry.PROPERTIES if not each.of_images_only))


def image_metadefs() -> str:
    """Return the namespace of what only images ask for."""
    return _namespace(
        'OS::Compute::ArmVMImage', 'ARM Virtual Machine, Images',
        'What servers from an image begin with.', (_OF_IMAGES,),
        (each for each in registry.PROPERTIES if each.of_images_only))


def _namespace(name: str, title: str, description: str,
               resource_types: tuple[dict[str, str], ...],
               wanted: Iterable[properties.Property]) -> str:
    """Return a namespace for ``glance-manage db load_metadefs``.

    The prefixes make of one definition the name of the image property and
    that of the flavor's extra spec.
    """
    return json.dumps({
        'namespace': name,
        'display_name': title,
        'description': f'{description} Needs compute hosts with the driver '
                       'armvm.ArmVMLibvirtDriver.',
        'visibility': 'public',
        'protected': True,
        'resource_type_associations': list(resource_types),
        'properties': {each.name: _definition(each) for each in wanted},
    }, indent=4) + '\n'


def reference() -> str:
    """Return the table of properties for the documentation."""
    lines = ['.. Made by tools/generate.py from nova_armvm/profile/handlers.',
             '', '.. list-table::', '   :header-rows: 1', '   :widths: 20 15 '
             '15 50', '', '   * - Image property', '     - Flavor extra spec',
             '     - Values', '     - Meaning']
    for wanted in registry.PROPERTIES:
        flavor = ('none' if wanted.of_images_only
                  else f'``{wanted.flavor_name}``')
        lines += [f'   * - ``{wanted.image_name}``', f'     - {flavor}',
                  f'     - {_values(wanted)}',
                  f'     - {wanted.description}']
    return '\n'.join(lines) + '\n'


def _values(wanted: properties.Property) -> str:
    if wanted.counts or wanted.pattern:
        return wanted.allowed_words
    return ', '.join(f'``{value}``' for value in wanted.allowed)


def specification() -> str:
    """Return the table of the specification's requirements."""
    lines = ['.. Made by tools/generate.py from '
             'nova_armvm/profile/requirements.py.', '',
             '.. list-table::', '   :header-rows: 1',
             '   :widths: 8 12 10 30 40', '', '   * - Id', '     - Level',
             '     - Version', '     - Requirement', '     - Met by']
    for wanted in requirements.REQUIREMENTS:
        lines += [f'   * - {wanted.id}', f'     - {wanted.level}',
                  f'     - {", ".join(wanted.versions)}',
                  f'     - {wanted.text}', f'     - {_met_by(wanted)}']
    return '\n'.join(lines) + '\n'


def _met_by(wanted: requirements.Requirement) -> str:
    """Return by what, for each version that says something else."""
    said: dict[str, list[str]] = {}
    for version in wanted.versions:
        answer = wanted.answer(_OFFERS, version)
        words = (answer.by if answer.outcome is requirements.Outcome.MET else
                 f'*{answer.outcome.value}*: {answer.by}')
        said.setdefault(words, []).append(version)
    if len(said) == 1:
        return next(iter(said))
    return '; '.join(f'{", ".join(versions)}: {words}'
                     for words, versions in said.items())


#: Every file that is made, and what makes it.
MADE = {METADEFS: metadefs, IMAGE_METADEFS: image_metadefs,
        REFERENCE: reference, SPECIFICATION: specification}


def main() -> None:
    for path, made in MADE.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made())


if __name__ == '__main__':
    main()
