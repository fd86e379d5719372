# SPDX-License-Identifier: Apache-2.0
"""Flavor extra specs as Nova's API checks them.

Loaded by nova-api through the entry point ``nova.api.extra_spec_validators``
(Nova: when a flavor's extra specs are set, compute API 2.86 and later).
"""
from nova.api.validation.extra_specs import base

from nova_armvm.profile import registry


def register() -> list[base.ExtraSpecValidator]:
    """Return a validator for each property that a flavor can ask for."""
    return [
        base.ExtraSpecValidator(
            name=wanted.flavor_name,
            description=wanted.description,
            value={'type': str, 'description': wanted.title,
                   'enum': list(wanted.allowed)})
        for wanted in registry.PROPERTIES if not wanted.of_images_only]
