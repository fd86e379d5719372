# SPDX-License-Identifier: Apache-2.0
"""BootOrder and Boot####: what they say, and who made them.

Load options and device paths as in the UEFI specification 2.10, sections
3.1.3 and 10.3. Everything here was written by a guest.
"""
from collections.abc import Mapping, Sequence
import dataclasses
import struct
import uuid

from nova_armvm.nvram import varstore

GLOBAL = uuid.UUID('8be4df61-93ca-11d2-aa0d-00e098032b8c')

#: Optional data with which edk2's boot manager marks options of its own.
AUTO_CREATED = uuid.UUID('8108ac4e-9f11-4d59-850e-e21a522c59b2')

PciPath = tuple[tuple[int, int], ...]

_ACPI, _HARDWARE, _MESSAGING, _MEDIA, _END = 0x02, 0x01, 0x03, 0x04, 0x7F
_PCI = (_HARDWARE, 0x01)
_MEMORY_MAPPED = (_HARDWARE, 0x03)
_FV_FILE, _FV = (_MEDIA, 0x06), (_MEDIA, 0x07)
_MAX_NODES = 64
_MAX_OPTIONS = 256


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a device path."""

    kind: tuple[int, int]
    content: bytes


@dataclasses.dataclass(frozen=True)
class BootOption:
    """A Boot#### variable.

    :ivar number: the ####.
    :ivar description: as its writer named it; not fit for a terminal.
    :ivar path: the nodes of its first device path.
    :ivar optional: what is handed to the program.
    """

    number: int
    attributes: int
    description: str
    path: tuple[Node, ...]
    optional: bytes

    @property
    def made_by_firmware(self) -> bool:
        """Whether the firmware made it, for a device or for a program of
        its own."""
        return (self.optional[:16] == AUTO_CREATED.bytes_le or
                any(node.kind in (_FV, _FV_FILE) for node in self.path))

    @property
    def pci_path(self) -> PciPath:
        """The leading PCI nodes as (device, function); empty without."""
        nodes = self.path[1:] if (
            self.path and self.path[0].kind[0] == _ACPI) else ()
        found = []
        for node in nodes:
            if node.kind != _PCI or len(node.content) < 2:
                break
            found.append((node.content[1], node.content[0]))
        return tuple(found)


Variables = Mapping[varstore.VariableKey, varstore.Variable]


def boot_order(store: varstore.VariableStore) -> tuple[int, ...] | None:
    """Return the numbers in BootOrder, None if there is no such variable."""
    return _numbers(store, 'BootOrder')


def _numbers(store: varstore.VariableStore,
             name: str) -> tuple[int, ...] | None:
    found = store.variables.get(varstore.VariableKey(GLOBAL, name))
    if found is None:
        return None
    count = min(len(found.content) // 2, _MAX_OPTIONS)
    return struct.unpack_from(f'<{count}H', found.content)


def boot_next(store: varstore.VariableStore) -> int | None:
    """Return the number in BootNext, None if there is no such variable."""
    numbers = _numbers(store, 'BootNext')
    return numbers[0] if numbers else None


def boot_options(store: varstore.VariableStore) -> dict[int, BootOption]:
    """Return every Boot#### that can be read, by its number."""
    found = {}
    for key, variable in store.variables.items():
        if (key.guid == GLOBAL and len(key.name) == 8 and
                key.name.startswith('Boot')):
            try:
                number = int(key.name[4:], 16)
                found[number] = _decode(number, variable.content)
            except (ValueError, struct.error):
                continue
    return dict(sorted(found.items()))


def _decode(number: int, content: bytes) -> BootOption:
    attributes, path_length = struct.unpack_from('<IH', content)
    end = 6
    while content[end:end + 2] not in (b'\0\0', b''):
        end += 2
    description = content[6:end].decode('utf-16-le', errors='replace')
    path = content[end + 2:end + 2 + path_length]
    return BootOption(number, attributes, description, _nodes(path),
                      content[end + 2 + path_length:])


def _nodes(path: bytes) -> tuple[Node, ...]:
    nodes: list[Node] = []
    offset = 0
    while offset + 4 <= len(path) and len(nodes) < _MAX_NODES:
        kind, subtype, length = struct.unpack_from('<BBH', path, offset)
        if kind == _END or length < 4 or offset + length > len(path):
            break
        nodes.append(Node((kind, subtype), path[offset + 4:offset + length]))
        offset += length
    return tuple(nodes)


def guest_owns_boot_order(store: varstore.VariableStore,
                          offered: Sequence[PciPath]) -> bool:
    """Tell whether the order in a store is of the guest's making.

    The firmware writes a BootOrder of its own, with an option for each
    device and programs of its own. That is still the platform's order: the
    devices that the platform offered, in the order in which it did. An
    option of another maker or another order is the guest's.

    :param store: the variables of a guest that is off.
    :param offered: PCI paths of the devices that the platform offered the
        last time that it offered any.
    """
    order = boot_order(store)
    if not order:
        return False
    options = boot_options(store)
    named = [options.get(number) for number in order]
    if any(option is None or not option.made_by_firmware
           for option in named):
        return True
    if any(not option.made_by_firmware for option in options.values()):
        # Not in the order, but BootNext or a menu may name it.
        return True
    return not _follows(
        [option.pci_path for option in named if option.pci_path], offered)


def _follows(paths: Sequence[PciPath], offered: Sequence[PciPath]) -> bool:
    """Tell whether devices stand as they were offered, others after them."""
    ranks = [next((rank for rank, prefix in enumerate(offered)
                   if path[:len(prefix)] == prefix), len(offered))
             for path in paths]
    return ranks == sorted(ranks)
