# SPDX-License-Identifier: Apache-2.0
"""An image held against the ARM VM specification (IMG-1 to IMG-9)."""
from collections.abc import Iterator
import dataclasses

from nova_armvm import exception
from nova_armvm.image import disk as image_disk
from nova_armvm.image import efi_program
from nova_armvm.image import fat
from nova_armvm.image import gpt
from nova_armvm.image import report

_PASS, _FAIL = report.Outcome.PASS, report.Outcome.FAIL
_WARNING = report.Outcome.WARNING

#: On the removable-media path (UEFI specification, section 3.5.1.1).
PROGRAMS = {efi_program.AARCH64: 'BOOTAA64.EFI',
            efi_program.AARCH32: 'BOOTARM.EFI'}

_LADDER = ('IMG-1', 'IMG-2', 'IMG-3', 'IMG-4', 'IMG-5')
_NOT_JUDGED = (
    ('IMG-6', 'whether it boots with an empty variable store is seen when it '
              'does'),
    ('IMG-7', 'firmware inside an image cannot be told from other files'),
    ('IMG-8', 'the drivers of its system are not looked at'),
    ('IMG-9', 'the drivers of its system are not looked at'))


@dataclasses.dataclass(frozen=True)
class _Look:
    """How far one partition came, requirement by requirement."""

    findings: tuple[report.Finding, ...]
    states: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """The more, the better."""
        good = sum(finding.outcome is not _FAIL for finding in self.findings)
        return len(self.states), good


def check(disk: image_disk.Disk, container: str = 'raw') -> report.Report:
    """Look into an image.

    :param container: format of the file that the disk comes from.
    :raises ImageTooCostly: more would have to be read than is allowed.
    """
    try:
        table = gpt.read(disk)
    except exception.ImageInvalid as error:
        return _report(container, _Look((_failed('IMG-1', error),)))
    first = report.Finding(
        'IMG-1', _WARNING if table.remarks else _PASS,
        f'GUID Partition Table, sectors of {table.sector} bytes' +
        ''.join(f'; {remark}' for remark in table.remarks))
    partitions = [each for each in table.partitions
                  if each.kind == gpt.EFI_SYSTEM]
    if not partitions:
        return _report(container, _Look((first, report.Finding(
            'IMG-2', _FAIL, f'none of its {len(table.partitions)} partitions '
            'is an EFI System Partition'))))
    best = max((_look(disk, each) for each in partitions),
               key=lambda look: look.rank)
    return _report(container, _Look((first, *best.findings), best.states))


def _report(container: str, look: _Look) -> report.Report:
    reached = {finding.id for finding in look.findings}
    rest = tuple(
        report.Finding(each, report.Outcome.NOT_REACHED,
                       'what it builds on is not there')
        for each in _LADDER if each not in reached)
    beyond = tuple(
        report.Finding(each, report.Outcome.NOT_JUDGED, reason)
        for each, reason in _NOT_JUDGED)
    return report.Report(container, look.findings + rest + beyond,
                         look.states)


def _failed(requirement: str, error: exception.ImageInvalid
            ) -> report.Finding:
    return report.Finding(requirement, _FAIL, error.kwargs['reason'])


def _look(disk: image_disk.Disk, partition: gpt.Partition) -> _Look:
    """Look into one EFI System Partition."""
    found = [report.Finding('IMG-2', _PASS,
                            f'partition {partition.number}')]
    try:
        system = fat.open_at(disk, partition.offset, partition.size)
    except exception.ImageInvalid as error:
        return _Look((*found, _failed('IMG-3', error)))
    found.append(report.Finding(
        'IMG-3', _PASS if system.bits == 32 else _WARNING,
        f'FAT{system.bits} on partition {partition.number}' + (
            '' if system.bits == 32 else
            ', which UEFI asks of removable media only')))
    try:
        programs = list(_programs(disk, system))
    except exception.ImageInvalid as error:
        return _Look((*found, _failed('IMG-4', error)))
    if not programs:
        return _Look((*found, report.Finding(
            'IMG-4', _FAIL, 'there is neither ' + ' nor '.join(
                rf'\EFI\BOOT\{name}' for name in PROGRAMS.values()))))
    names = ' and '.join(rf'\EFI\BOOT\{PROGRAMS[state]}'
                         for state, _ in programs)
    found.append(report.Finding('IMG-4', _PASS, names))
    judged = [(state, *_judge(disk, system, state, entry))
              for state, entry in programs]
    states = tuple(state for state, good, _ in judged if good)
    found.append(report.Finding(
        'IMG-5', _FAIL if not states else
        _PASS if len(states) == len(judged) else _WARNING,
        '; '.join(reason for _, _, reason in judged)))
    return _Look(tuple(found), states)


def _programs(disk: image_disk.Disk, system: fat.FileSystem
              ) -> Iterator[tuple[str, fat.fat_directory.Entry]]:
    for state, name in PROGRAMS.items():
        entry = fat.find(disk, system, 'EFI', 'BOOT', name)
        if entry is not None and not entry.is_directory:
            yield state, entry


def _judge(disk: image_disk.Disk, system: fat.FileSystem, state: str,
           entry: fat.fat_directory.Entry) -> tuple[bool, str]:
    """Tell whether a program is what its name says, and in words."""
    name = PROGRAMS[state]
    try:
        program = efi_program.parse(
            fat.read(disk, system, entry, efi_program.HEADER_BYTES))
    except exception.ImageInvalid as error:
        return False, f'{name}: {error.kwargs["reason"]}'
    return program.starts_in(state), f'{name}: {program.words}'
