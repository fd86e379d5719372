# SPDX-License-Identifier: Apache-2.0
"""The ARM VM specification as a guest can see it from inside.

Requirement ids are those of nova_armvm's documentation.
"""
from collections.abc import Mapping
import typing as ty

#: Drivers of Linux for PL011: the whole device, or what SBSA asks of it.
_PL011 = ('uart-pl011', 'sbsa-uart')


def _number(version: str) -> float:
    try:
        return float(version)
    except ValueError:
        return 0.0


def unmet(seen: Mapping[str, ty.Any]) -> list[str]:
    """Judge what every machine has to have, of either version.

    :param seen: the guest's event ``hardware``.
    :returns: the requirements that are not met, with what was seen.
    """
    rules = {
        'FW-1, UEFI 2.6 or later: ' + seen['efi']:
            _number(seen['efi']) >= 2.6,
        'FW-4, the clock by UEFI: ' + seen['clocks']:
            'rtc-efi' in seen['clocks'],
        # AArch32 calls it SVC.
        'FW-5, the start in EL1: ' + seen['level']:
            seen['level'] in ('EL1', 'SVC'),
        'FW-5, PSCI 0.2 or later: ' + seen['psci']:
            _number(seen['psci']) >= 0.2,
        'FW-5, a conduit of PSCI: ' + seen['conduit']:
            seen['conduit'] in ('hvc', 'smc'),
        'PL-3, the virtual timer: ' + seen['timer']: seen['timer'] == 'virt',
    }
    return [rule for rule, met in rules.items() if not met]


def has_pl011(seen: Mapping[str, ty.Any]) -> bool:
    """Tell whether the first serial port is a PL011 (PL-1)."""
    return seen['uart'] in _PL011


def disks(seen: Mapping[str, ty.Any]) -> list[str]:
    """Return the names of the disks that the guest has."""
    return _listed(seen['disks'], 'vd')


def interfaces(seen: Mapping[str, ty.Any]) -> list[str]:
    """Return the names of the network interfaces that the guest has."""
    return _listed(seen['interfaces'], 'eth')


def _listed(names: str, kind: str) -> list[str]:
    return [name for name in names.split(',') if name.startswith(kind)]
