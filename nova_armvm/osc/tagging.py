# SPDX-License-Identifier: Apache-2.0
"""The properties that an image gets, pure."""
from collections.abc import Mapping
import dataclasses

from nova_armvm import exception
from nova_armvm.image import efi_program
from nova_armvm.profile import machine
from nova_armvm.profile import properties
from nova_armvm.profile import registry

_REQUIRED = 'required'
_OUR_TRAITS = 'trait:CUSTOM_ARMVM'
_ARCHITECTURES = {efi_program.AARCH64: machine.AARCH64,
                  efi_program.AARCH32: machine.ARMV7}
#: Whether a host has something is for the scheduler to say.
_ANY_HOST = machine.Offer(('2', '3'), uefi=True, virt_type='qemu')


@dataclasses.dataclass(frozen=True)
class Change:
    """A property that is to be set, or to go.

    :ivar before: its value, None if it is not there.
    :ivar after: None for one that goes.
    """

    name: str
    before: str | None
    after: str | None


def architecture_of(present: Mapping[str, str],
                    states: tuple[str, ...], wanted: str | None) -> str:
    """Return the architecture of an image's machines.

    :param present: properties of the image.
    :param states: execution states that the image was found to start in,
        empty if nobody has looked.
    :param wanted: hw_armvm_execution_state as asked for.
    :raises ImageUndecided: it starts in both and nobody says which.
    """
    if wanted in _ARCHITECTURES:
        return _ARCHITECTURES[wanted]
    if len(states) > 1:
        raise exception.ImageUndecided(states=' and '.join(states))
    if states:
        return _ARCHITECTURES[states[0]]
    return (present.get('hw_emulation_architecture') or
            present.get('hw_architecture') or machine.AARCH64)


def wanted(present: Mapping[str, str], architecture: str,
           asked: Mapping[str, str]) -> dict[str, str]:
    """Return every property that an image has to have.

    :param present: properties of the image.
    :param asked: properties of ours, by their short names.
    :raises ArmVMError: they contradict each other or do not exist.
    """
    # What the image has already stays, and counts.
    ours = {name: value for name, value in present.items()
            if name.startswith(properties.IMAGE_PREFIX)}
    ours.update({properties.IMAGE_PREFIX + name: value
                 for name, value in asked.items()})
    if architecture == machine.ARMV7:
        ours.setdefault('hw_armvm_execution_state', efi_program.AARCH32)
    registry.resolve(ours, {}, machine.Setting(
        architecture, machine_type='virt', uefi=True, stateless=False,
        nvram_default='persistent', offer=_ANY_HOST))
    # Where ARM is emulated, hw_architecture is that of the hosts.
    key = ('hw_emulation_architecture'
           if 'hw_emulation_architecture' in present else 'hw_architecture')
    traits = {f'trait:{trait}': _REQUIRED
              for trait in registry.traits(registry.recorded(ours))}
    return {key: architecture, 'hw_machine_type': 'virt',
            'hw_firmware_type': 'uefi', **ours, **traits}


def changes(present: Mapping[str, str], target: Mapping[str, str],
            force: bool) -> tuple[Change, ...]:
    """Return what has to be set.

    :param force: other values may be replaced.
    :raises TagConflict: there is another value.
    """
    found = tuple(Change(name, present.get(name), value)
                  for name, value in target.items()
                  if present.get(name) != value)
    # Required for a value that is replaced; no host may have both.
    found += tuple(Change(name, value, None)
                   for name, value in sorted(present.items())
                   if name.startswith(_OUR_TRAITS) and name not in target)
    for change in found:
        if change.before is not None and not force:
            raise exception.TagConflict(
                name=change.name, present=change.before,
                wanted=change.after or 'what follows from the properties')
    return found
