# SPDX-License-Identifier: Apache-2.0
"""Write what is made from the registry of properties.

``python -m tools.generate`` after a property has changed; a test fails when
it was forgotten.
"""
import json
import pathlib

from nova_armvm.profile import properties
from nova_armvm.profile import registry

ROOT = pathlib.Path(__file__).parent.parent
METADEFS = ROOT / 'etc/glance/metadefs/compute-armvm.json'
REFERENCE = ROOT / 'doc/source/properties.inc'


def _definition(wanted: properties.Property) -> dict[str, object]:
    """Return a property as Glance's metadata definitions have it.

    All are strings, which is what images and flavors keep.
    """
    return {'title': wanted.title, 'description': wanted.description,
            'type': 'string', 'enum': list(wanted.allowed)}


def metadefs() -> str:
    """Return the namespace for ``glance-manage db load_metadefs``.

    The prefixes make of one definition the name of the image property and
    that of the flavor's extra spec.
    """
    return json.dumps({
        'namespace': 'OS::Compute::ArmVM',
        'display_name': 'ARM Virtual Machine',
        'description':
            'Hardware of servers that follow the VM System Specification for '
            'ARM Processors, and where their UEFI variables live. Needs '
            'compute hosts with the driver armvm.ArmVMLibvirtDriver.',
        'visibility': 'public',
        'protected': True,
        'resource_type_associations': [
            {'name': 'OS::Glance::Image', 'prefix': properties.IMAGE_PREFIX},
            {'name': 'OS::Nova::Flavor', 'prefix': properties.FLAVOR_PREFIX},
        ],
        'properties': {wanted.name: _definition(wanted)
                       for wanted in registry.PROPERTIES},
    }, indent=4) + '\n'


def reference() -> str:
    """Return the table of properties for the documentation."""
    lines = ['.. Made by tools/generate.py from nova_armvm/profile/handlers.',
             '', '.. list-table::', '   :header-rows: 1', '   :widths: 20 15 '
             '15 50', '', '   * - Image property', '     - Flavor extra spec',
             '     - Values', '     - Meaning']
    for wanted in registry.PROPERTIES:
        values = (wanted.allowed_words if wanted.counts else ', '.join(
            f'``{value}``' for value in wanted.allowed))
        lines += [f'   * - ``{wanted.image_name}``',
                  f'     - ``{wanted.flavor_name}``', f'     - {values}',
                  f'     - {wanted.description}']
    return '\n'.join(lines) + '\n'


def main() -> None:
    METADEFS.parent.mkdir(parents=True, exist_ok=True)
    METADEFS.write_text(metadefs())
    REFERENCE.write_text(reference())


if __name__ == '__main__':
    main()
