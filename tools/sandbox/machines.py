# SPDX-License-Identifier: Apache-2.0
"""The demo's machines: what is asked for, and what a guest has to see.

The guest reports from inside, see guest/init.sh. Requirement ids are those of
nova_armvm.profile.requirements.
"""
import dataclasses

from nova_armvm_tempest_plugin import conformance
from tools.sandbox.guest import console
from tools.sandbox.guest import image


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine of the matrix, and what its guest has to see.

    :ivar asked: properties of ours, by their short names.
    :ivar description: ``acpi`` or ``fdt`` (HW-1, HW-2).
    :ivar gic: interrupt controller (PL-2).
    :ivar virtio_console: there is one (PL-1).
    :ivar free_ports: for hot-plug (PL-4).
    """

    asked: dict[str, str]
    description: str
    gic: str = 'GICv3'
    virtio_console: bool = False
    free_ports: int = 4
    disk: image.Disk = image.DISK_A

    @property
    def name(self) -> str:
        return ', '.join(f'{name} {value}'
                         for name, value in self.asked.items())

    @property
    def properties(self) -> dict[str, str]:
        """What its image says."""
        traits = {'trait:CUSTOM_ARMVM': 'required',
                  f'trait:CUSTOM_ARMVM_GIC_V{self.gic[-1]}': 'required'}
        if self.disk == image.DISK_32:
            traits['trait:CUSTOM_ARMVM_AARCH32'] = 'required'
        return {**{f'hw_armvm_{name}': value
                   for name, value in self.asked.items()}, **traits}

    @property
    def expected(self) -> str:
        """What the guest has to see, in words."""
        return _words(
            machine='armv7l' if self.disk == image.DISK_32 else 'aarch64',
            description=self.description, gic=self.gic,
            consoles='pl011, virtio' if self.virtio_console else 'pl011',
            ports=self.free_ports)


MACHINES = (
    Machine({'spec': '2.0'}, 'acpi'),
    Machine({'spec': '1.0'}, 'fdt'),
    Machine({'spec': '2.0', 'gic_version': '2', 'console': 'pl011+virtio'},
            'acpi', gic='GICv2', virtio_console=True),
    Machine({'spec': '1.0', 'gic_version': '2', 'hw_description': 'acpi',
             'console': 'virtio'}, 'acpi', gic='GICv2', virtio_console=True),
    Machine({'spec': '2.0', 'hw_description': 'fdt', 'hotplug_ports': '28'},
            'fdt', free_ports=28),
    Machine({'spec': '2.0', 'execution_state': 'aarch32'}, 'fdt',
            gic='GICv2', disk=image.DISK_32),
    Machine({'spec': '1.0', 'execution_state': 'aarch32', 'gic_version': '2',
             'hotplug_ports': '0'}, 'fdt', gic='GICv2', free_ports=0,
            disk=image.DISK_32),
)


def _words(machine: str, description: str, gic: str, consoles: str,
           ports: int) -> str:
    return (f'{machine}, {description}, {gic}, {consoles}, '
            f'{ports} ports free')


def seen(report: console.Event) -> str:
    """Return what a guest sees, in the words of Machine.expected."""
    consoles = ['pl011'] if conformance.has_pl011(report) else []
    if report['virtio_consoles']:
        consoles.append('virtio')
    return _words(report['machine'], report['description'], report['gic'],
                  ', '.join(consoles), report['free_ports'])


def platform(report: console.Event) -> tuple[str, bool]:
    """Judge what every machine has to have."""
    words = (f'UEFI {report["efi"]}, {report["clocks"].split(" ")[0]}, '
             f'{report["level"]}, PSCI {report["psci"]} by '
             f'{report["conduit"]}, {report["timer"]} timer')
    return words, not conformance.unmet(report)
