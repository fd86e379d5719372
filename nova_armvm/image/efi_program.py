# SPDX-License-Identifier: Apache-2.0
"""EFI programs: PE32 and PE32+ (UEFI specification, section 2.1).

A Linux kernel with an EFI stub is one as well.
"""
import dataclasses

import pefile

from nova_armvm import exception

#: Headers are at the beginning; what follows is not looked at.
HEADER_BYTES = 4096

AARCH64, AARCH32 = 'aarch64', 'aarch32'
_APPLICATION = 10
_FORMATS = {0x10b: 'PE32', 0x20b: 'PE32+'}
#: Machine types of the PE/COFF specification.
_MACHINES = {
    0xaa64: 'AArch64', 0x01c2: 'ARM (Thumb)', 0x01c0: 'ARM',
    0x01c4: 'ARM Thumb-2', 0x8664: 'x86-64', 0x014c: 'i386',
    0x5064: 'RISC-V 64', 0x6264: 'LoongArch 64', 0x0ebc: 'EFI byte code'}
_SUBSYSTEMS = {11: 'boot service driver', 12: 'runtime driver',
               3: 'Windows program', 2: 'Windows program'}
_WANTED = {AARCH64: (0xaa64, 'PE32+'), AARCH32: (0x01c2, 'PE32')}
_ARM64_IMAGE, _ARM64_IMAGE_AT = b'ARM\x64', 56
_ZBOOT, _ZBOOT_AT = b'zimg', 4


@dataclasses.dataclass(frozen=True)
class Program:
    """An EFI program.

    :ivar format: ``PE32``, ``PE32+`` or another, in words.
    :ivar machine: number of the machine type.
    :ivar linux: it is a Linux kernel with an EFI stub.
    """

    format: str
    machine: int
    subsystem: int
    linux: bool

    @property
    def words(self) -> str:
        """What it is, for a message."""
        machine = _MACHINES.get(self.machine, f'type 0x{self.machine:04x}')
        kind = 'Linux kernel with EFI stub' if self.linux else (
            'EFI application' if self.subsystem == _APPLICATION else
            _SUBSYSTEMS.get(self.subsystem, f'subsystem {self.subsystem}'))
        return f'{self.format} for {machine}, {kind}'

    def starts_in(self, state: str) -> bool:
        """Tell whether firmware of an execution state starts it (IMG-5)."""
        return (self.subsystem == _APPLICATION and
                (self.machine, self.format) == _WANTED[state])


def parse(header: bytes) -> Program:
    """Read the headers of a program.

    :param header: the first HEADER_BYTES of it, or all that there is.
    :raises ImageInvalid: it is none.
    """
    try:
        found = pefile.PE(data=header[:HEADER_BYTES], fast_load=True)
        return Program(
            _FORMATS.get(found.OPTIONAL_HEADER.Magic, 'an unknown format'),
            found.FILE_HEADER.Machine, found.OPTIONAL_HEADER.Subsystem,
            _is_linux(header))
    except (pefile.PEFormatError, AttributeError) as error:
        # Without an optional header there is no attribute of that name.
        raise exception.ImageInvalid(
            reason='it is no PE program') from error


def _is_linux(header: bytes) -> bool:
    return (header[_ARM64_IMAGE_AT:_ARM64_IMAGE_AT + 4] == _ARM64_IMAGE or
            header[_ZBOOT_AT:_ZBOOT_AT + 4] == _ZBOOT)
