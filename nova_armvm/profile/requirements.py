# SPDX-License-Identifier: Apache-2.0
"""How each requirement of the ARM VM specification is met.

The specification is the *VM System Specification for ARM Processors*, v1.0
(2014) and v2.0 (2016), by ARM and Linaro; the ids are this project's.
"""
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import enum

from nova_armvm.profile import machine

Offers = Mapping[str, machine.Offer]


class Outcome(enum.Enum):
    """What can be said of a requirement on one host."""

    MET = 'met'
    NOT_MET = 'not met'
    NOT_BY_FIRMWARE = 'not by this firmware'
    IMAGE = 'up to the image'


@dataclasses.dataclass(frozen=True)
class Answer:
    """An outcome, and by what or why."""

    outcome: Outcome
    by: str


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A requirement.

    :ivar id: of this project.
    :ivar level: the specification's word.
    :ivar text: what is required, in short.
    :ivar versions: of the specification that have it.
    :ivar answer: says whether a host meets it in a version.
    """

    id: str
    level: str
    text: str
    versions: tuple[str, ...]
    answer: Callable[[Offers, str], Answer]


_BOTH = ('1.0', '2.0')
_ACPI = 'hw_armvm_hw_description=acpi'
_FDT = 'hw_armvm_hw_description=fdt'
_NO_FIRMWARE = ('no UEFI firmware for ARM is known to libvirt; install it '
                '(qemu-efi-aarch64, edk2-aarch64)')


def _image(by: str) -> Callable[[Offers, str], Answer]:
    return lambda offers, version: Answer(Outcome.IMAGE, by)


def _firmware(by: str) -> Callable[[Offers, str], Answer]:
    """Answer for what every machine with UEFI firmware has."""
    def answer(offers: Offers, version: str) -> Answer:
        if any(offer.uefi for offer in offers.values()):
            return Answer(Outcome.MET, by)
        return Answer(Outcome.NOT_MET, _NO_FIRMWARE)
    return answer


def _device_tree(offers: Offers, version: str) -> Answer:
    if version == '2.0':
        return Answer(
            Outcome.NOT_BY_FIRMWARE,
            f'edk2 publishes one of both: ACPI, or a device tree with {_FDT}')
    return _firmware(f'edk2 with {_FDT}, the default of 1.0')(offers, version)


def _controllers(offers: Offers, version: str) -> Answer:
    offered = sorted({each for offer in offers.values() if offer.uefi
                      for each in offer.gic_versions})
    if not offered:
        return Answer(Outcome.NOT_MET, 'libvirt names no interrupt controller')
    return Answer(Outcome.MET, ', '.join(f'GICv{each}' for each in offered) +
                  ' (hw_armvm_gic_version)')


def _aarch32(offers: Offers, version: str) -> Answer:
    offer = offers.get(machine.ARMV7)
    if offer is None:
        return Answer(Outcome.NOT_MET, 'libvirt runs no armv7l machines here')
    if not offer.uefi:
        return Answer(Outcome.NOT_MET, 'no UEFI firmware for armv7l is known '
                      'to libvirt; install it (qemu-efi-arm)')
    return Answer(Outcome.MET, 'hw_armvm_execution_state=aarch32')


_NOT_FROM_OUTSIDE = 'cannot be judged from outside'
_CHECKED = 'armvm-image check'

REQUIREMENTS = (
    Requirement('IMG-1', 'must', 'GUID Partition Table', _BOTH,
                _image(_CHECKED)),
    Requirement('IMG-2', 'must', 'EFI System Partition', _BOTH,
                _image(_CHECKED)),
    Requirement('IMG-3', 'must', 'FAT on the EFI System Partition', _BOTH,
                _image(_CHECKED)),
    Requirement('IMG-4', 'must', 'boot program on the removable-media path',
                _BOTH, _image(_CHECKED)),
    Requirement('IMG-5', 'must', 'that program is an EFI application', _BOTH,
                _image(_CHECKED)),
    Requirement('IMG-6', 'must not', 'rely on a pre-set UEFI environment',
                _BOTH, _image('a first boot finds an empty store')),
    Requirement('IMG-7', 'should not', 'ship the firmware in the image',
                _BOTH, _image(_NOT_FROM_OUTSIDE)),
    Requirement('IMG-8', 'must', 'drivers for UART, GIC and UEFI RTC', _BOTH,
                _image(_NOT_FROM_OUTSIDE)),
    Requirement('IMG-9', 'should', 'drivers for virtio and Xen', _BOTH,
                _image(_NOT_FROM_OUTSIDE)),
    Requirement('FW-1', 'must', 'UEFI firmware that starts the image', _BOTH,
                _firmware('the host\'s edk2, chosen by libvirt')),
    Requirement('FW-2', 'always', 'persistent variables, never in the image',
                _BOTH, _firmware('a Cinder volume for each server '
                                 '(hw_armvm_nvram=persistent)')),
    Requirement('FW-3', 'should', 'the firmware belongs to the host', _BOTH,
                _firmware('the host\'s firmware descriptors')),
    Requirement('FW-4', 'must', 'UEFI runtime service for the clock',
                ('2.0',), _firmware('edk2 on the pl031 of the machine')),
    Requirement('FW-5', 'must', 'starts in EL1; PSCI 0.2 or later', ('2.0',),
                _firmware('QEMU\'s machine "virt"')),
    Requirement('HW-1', 'must', 'complete device tree', _BOTH, _device_tree),
    Requirement('HW-2', 'must', 'complete ACPI tables', ('2.0',),
                _firmware(f'edk2 with {_ACPI}, the default of 2.0')),
    Requirement('PL-1', 'must', 'serial console that is a pl011', _BOTH,
                _firmware('pl011, virtio beside it (hw_armvm_console)')),
    Requirement('PL-2', 'must', 'ARM GIC', _BOTH, _controllers),
    Requirement('PL-3', 'must', 'ARM generic virtual timer', _BOTH,
                _firmware('QEMU\'s machine "virt"')),
    Requirement('PL-4', 'strongly recommended', 'hot-pluggable bus', _BOTH,
                _firmware('PCIe root ports (hw_armvm_hotplug_ports)')),
    Requirement('PL-5', 'recommended', 'AArch32 at EL1', _BOTH, _aarch32),
    Requirement('PL-6', 'must', 'everything can be enumerated', _BOTH,
                _firmware('ACPI or device tree, PCIe')),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A requirement, and what a host says to it."""

    requirement: Requirement
    answer: Answer

    @property
    def violated(self) -> bool:
        """The host breaks what the specification demands."""
        return (self.requirement.level in ('must', 'always') and
                self.answer.outcome is Outcome.NOT_MET)


def rows(offers: Offers, version: str) -> tuple[Row, ...]:
    """Return how a host meets a version of the specification.

    :param offers: by architecture, see offers.py.
    :param version: ``1.0`` or ``2.0``.
    """
    return tuple(Row(each, each.answer(offers, version))
                 for each in REQUIREMENTS if version in each.versions)
