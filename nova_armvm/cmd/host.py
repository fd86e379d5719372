# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage host``: what this host offers, and what it lacks."""
from collections.abc import Iterable, Mapping
import dataclasses
import json
import typing as ty

from oslo_config import cfg

from nova_armvm.cmd import hypervisor
from nova_armvm.cmd import nvram_show
from nova_armvm.cmd import volume_type
from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.host import flash_service
from nova_armvm.host import volumes
from nova_armvm.profile.handlers import execution_state
from nova_armvm.profile import machine
from nova_armvm.profile import offers
from nova_armvm.store import origin
from nova_armvm.uefi import text
from nova_armvm.virt import host_offers
from nova_armvm.virt import preflight

#: What an image says in ``hw_armvm_execution_state``, by architecture.
_STATES = {machine.AARCH64: execution_state.AARCH64,
           machine.ARMV7: execution_state.AARCH32}
_PROBLEM_MAX = 2000
#: QEMU's names in firmware descriptors.
_FIRMWARE_ARCHITECTURES = frozenset({'aarch64', 'arm'})


@dataclasses.dataclass(frozen=True)
class Firmware:
    """A firmware for ARM with a variable template.

    :ivar flash_size: in bytes, as a guest sees it; None where a file of it
        is missing or broken.
    """

    descriptor: firmware.Descriptor
    flash_size: int | None

    @property
    def secure_boot(self) -> str:
        """Tell in a word what it is made for."""
        features = self.descriptor.features
        if 'secure-boot' not in features:
            return 'no'
        return 'enrolled keys' if 'enrolled-keys' in features else 'yes'


@dataclasses.dataclass(frozen=True)
class Report:
    """What a host has for ARM servers.

    :ivar machines: what libvirt offers, by architecture.
    :ivar traits: of the host, each with whether it has it.
    :ivar storage: None where Cinder did not say.
    :ivar problems: what the driver needs and does not find, with remedies.
    :ivar service: the flash service of the host; None if it is of no use.
    """

    host: str
    libvirt: str
    qemu: str
    machines: Mapping[str, machine.Offer]
    firmware: tuple[Firmware, ...]
    traits: Mapping[str, bool]
    storage: volume_type.Storage | None
    problems: tuple[str, ...]
    service: flash_service.Greeting | None = None


def look(conf: cfg.ConfigOpts) -> Report:
    """Ask this host's libvirt, its files, and Cinder.

    :param conf: nova.conf, of a compute host.
    :raises HypervisorUnreachable: if there is no libvirt here.
    """
    with hypervisor.connected(conf) as connection:
        versions = hypervisor.Versions(connection)
        machines = host_offers.ask(connection, conf.libvirt.virt_type)
    traits = offers.traits(machines)
    problems = [*_driver_problems(conf),
                *preflight.configuration_problems(conf),
                *preflight.software_problems(versions),
                *preflight.machine_problems(traits),
                *preflight.firmware_problems(conf)]
    service, more = _service(conf.armvm.nvramd_directory)
    problems += more
    storage = None
    if conf.cinder.auth_type:
        storage, more = _storage(conf, service)
        problems += more
    return Report(conf.host, hypervisor.words(versions.libvirt),
                  hypervisor.words(versions.qemu), machines,
                  tuple(_firmware(conf.armvm.firmware_descriptor_dirs)),
                  traits, storage, tuple(problems), service)


def _driver_problems(conf: cfg.ConfigOpts) -> Iterable[str]:
    if not (conf.compute_driver or '').endswith(preflight.DRIVER):
        yield (f'compute_driver is {conf.compute_driver}: set it to '
               f'{preflight.DRIVER}.')


def _service(directory: str
             ) -> tuple[flash_service.Greeting | None, list[str]]:
    problems = list(preflight.service_problems(directory))
    if problems:
        return None, problems
    try:
        with volumes.translated('that is to be used'):
            return flash_service.FlashService(directory).hello(), []
    except exception.StoreError as error:
        return None, [str(error)]


def _storage(conf: cfg.ConfigOpts, service: flash_service.Greeting | None
             ) -> tuple[volume_type.Storage | None, list[str]]:
    try:
        storage = volume_type.look(conf)
        problems = [*storage.type_problems, *storage.quota_problems]
        # What it can open is not known where it does not answer.
        if not storage.type_problems and service is not None:
            problems += volume_type.missing_bindings(conf)
    except exception.StoreError as error:
        return None, [f'The volume type cannot be looked at: {error}']
    return storage, problems


def _firmware(directories: Iterable[str]) -> Iterable[Firmware]:
    for descriptor in firmware.load_descriptors(directories):
        if descriptor.architectures & _FIRMWARE_ARCHITECTURES:
            yield Firmware(descriptor, _flash_size(descriptor))


def _flash_size(descriptor: firmware.Descriptor) -> int | None:
    if not firmware.is_installed(descriptor):
        return None
    return origin.readable_size(descriptor.template,
                                descriptor.template_format)


def as_table(report: Report) -> str:
    """Show a report to a person: subject by subject, then what is missing."""
    parts = [
        f'Host {report.host}, libvirt {report.libvirt}, QEMU {report.qemu}, '
        + _service_words(report.service),
        nvram_show.table(
            ('Execution state', 'Architecture', 'Run with', 'GIC', 'UEFI'),
            [(_STATES[name], name, offer.virt_type,
              ', '.join(offer.gic_versions) or '-', _yes(offer.uefi))
             for name, offer in report.machines.items()]),
        nvram_show.table(
            ('Firmware', 'Architectures', 'Flash', 'Secure Boot', 'Template'),
            [(each.descriptor.name,
              ', '.join(sorted(each.descriptor.architectures)),
              each.flash_size or 'not installed', each.secure_boot,
              each.descriptor.template) for each in report.firmware]),
        nvram_show.table(('Trait', 'Reported'), [
            (name, _yes(has)) for name, has in report.traits.items()])]
    if report.storage is not None:
        parts.append(nvram_show.table(
            ('Volume type', 'Limit', 'Value', 'In use', 'Stores left'),
            [(report.storage.name, limit.name,
              _or(limit.limit, 'none'), limit.used,
              _or(limit.stores, 'any number'))
             for limit in report.storage.limits]))
    parts += [text.printable(f'({number}) {problem}', _PROBLEM_MAX)
              for number, problem in enumerate(report.problems, 1)]
    return '\n'.join(parts if report.problems else
                     [*parts, 'Nothing is missing.'])


def _service_words(service: flash_service.Greeting | None) -> str:
    if service is None:
        return 'no flash service'
    return (f'flash service {service.version} '
            f'({"with" if service.rbd else "without"} RBD)')


def _yes(fact: bool) -> str:
    return 'yes' if fact else 'no'


def _or(number: int | None, word: str) -> ty.Any:
    return word if number is None else number


def as_json(report: Report) -> str:
    """Show the same to a program."""
    storage = report.storage
    return json.dumps({
        'host': report.host, 'libvirt': report.libvirt, 'qemu': report.qemu,
        'flash_service': report.service and {
            'version': report.service.version, 'rbd': report.service.rbd,
            'exports': report.service.exports},
        'machines': [
            {'execution_state': _STATES[name], 'architecture': name,
             'virt_type': offer.virt_type, 'uefi': offer.uefi,
             'gic_versions': list(offer.gic_versions)}
            for name, offer in report.machines.items()],
        'firmware': [
            {'name': each.descriptor.name,
             'architectures': sorted(each.descriptor.architectures),
             'loader': each.descriptor.loader,
             'template': each.descriptor.template,
             'flash_size': each.flash_size,
             'features': list(each.descriptor.features)}
            for each in report.firmware],
        'traits': dict(report.traits),
        'volume_type': storage and storage.name,
        'stores_left': storage and storage.stores_left,
        'problems': list(report.problems)}, indent=4)
