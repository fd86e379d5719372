# SPDX-License-Identifier: Apache-2.0
"""BootOrder and Boot####: what they say, and who made them.

Load options as in the UEFI specification 2.10, section 3.1.3. Everything
here may have been written by a guest.
"""
from collections.abc import Iterable, Sequence
import dataclasses
import re
import struct
import uuid

from nova_armvm.uefi import device_path
from nova_armvm.uefi import varstore

GLOBAL = uuid.UUID('8be4df61-93ca-11d2-aa0d-00e098032b8c')

#: Optional data by which edk2's boot manager knows the options that it made.
AUTO_CREATED = uuid.UUID('8108ac4e-9f11-4d59-850e-e21a522c59b2')

PciPath = device_path.PciPath

_OPTION_NAME = re.compile('Boot([0-9A-F]{4})')
_OPTION_HEADER = struct.Struct('<IH')
_ACTIVE, _HIDDEN = 0x01, 0x08


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
    path: tuple[device_path.Node, ...]
    optional: bytes

    @property
    def active(self) -> bool:
        """Whether it is tried without being asked for."""
        return bool(self.attributes & _ACTIVE)

    @property
    def hidden(self) -> bool:
        """Whether menus leave it out."""
        return bool(self.attributes & _HIDDEN)

    @property
    def made_for_device(self) -> bool:
        """Whether the firmware made it for a device that it found."""
        return self.optional == AUTO_CREATED.bytes_le

    @property
    def is_firmware_program(self) -> bool:
        """Whether it starts a program of the firmware, like its menu."""
        return not self.optional and device_path.is_firmware_file(self.path)

    @property
    def made_by_firmware(self) -> bool:
        """Whether it is there without the guest's doing."""
        return self.made_for_device or self.is_firmware_program

    @property
    def pci_path(self) -> PciPath:
        """Where on PCI its device is; empty for other devices."""
        return device_path.pci_path(self.path)


def decode(number: int, content: bytes) -> BootOption | None:
    """Read a load option; None for one that firmware would ignore."""
    if len(content) < _OPTION_HEADER.size:
        return None
    attributes, path_size = _OPTION_HEADER.unpack_from(content)
    description_end = _OPTION_HEADER.size
    while (terminator := content[description_end:description_end + 2]
           ) != b'\0\0':
        if len(terminator) < 2:
            return None
        description_end += 2
    path_start = description_end + 2
    path_end = path_start + path_size
    if path_end > len(content):
        return None
    path = device_path.decode(content[path_start:path_end])
    if path is None:
        return None
    description = content[_OPTION_HEADER.size:description_end]
    return BootOption(number, attributes,
                      description.decode('utf-16-le', 'surrogatepass'),
                      path, content[path_end:])


def _numbers(store: varstore.VariableStore, name: str) -> tuple[int, ...]:
    found = store.variables.get(varstore.VariableKey(GLOBAL, name))
    if found is None:
        return ()
    return struct.unpack_from(f'<{len(found.content) // 2}H', found.content)


def boot_order(store: varstore.VariableStore) -> tuple[int, ...]:
    """Return the numbers in BootOrder; empty when it is not set."""
    return _numbers(store, 'BootOrder')


def boot_next(store: varstore.VariableStore) -> int | None:
    """Return the number in BootNext, None when it is not set."""
    return next(iter(_numbers(store, 'BootNext')), None)


def boot_current(store: varstore.VariableStore) -> int | None:
    """Return the number in BootCurrent, None when it is not set.

    Firmware keeps it in memory only, so it is there only when somebody
    wrote it offline.
    """
    return next(iter(_numbers(store, 'BootCurrent')), None)


def boot_options(
        store: varstore.VariableStore) -> dict[int, BootOption | None]:
    """Return every Boot#### by its number, None for an unreadable one."""
    found = {}
    for key, variable in store.variables.items():
        match = _OPTION_NAME.fullmatch(key.name)
        if match and key.guid == GLOBAL:
            number = int(match[1], 16)
            found[number] = decode(number, variable.content)
    return dict(sorted(found.items()))


def guest_owns_boot_order(store: varstore.VariableStore,
                          offered: Sequence[PciPath]) -> bool:
    """Tell whether the boot order in a store is of the guest's making.

    The firmware writes a BootOrder too, so that one is there says nothing.
    Without the guest's doing (edk2's UefiBootManagerLib, QemuBootOrderLib and
    ArmVirtPkg) it has

    * the options for the devices that the platform offered, in the order in
      which it did, each device with one option or several;
    * the firmware's own programs;
    * the options for devices found later or made anew, at the end. That is
      why a device behind a program says nothing: the firmware makes an
      option anew when no more than its description changes, which happens
      when a disk is partitioned or other devices are found before it.

    A number without a Boot#### says nothing either: the firmware writes the
    number first.

    :param store: the variables of a guest that is off.
    :param offered: PCI paths of the devices that the platform offered the
        last time that it offered any, the first to boot first.
    :returns: True when the guest has an option of its own, in BootOrder or
        not, an option for the next boot (an offer could delete both), or
        devices in another order than the one offered. False without a
        BootOrder.
    """
    order = boot_order(store)
    if not order:
        return False
    options = boot_options(store)
    if boot_next(store) in options:
        return True
    if any(option is None or not option.made_by_firmware
           for option in options.values()):
        return True
    named = [options[number] for number in order if number in options]
    return not _follows(_before_programs(named), offered)


def _before_programs(options: Iterable[BootOption]) -> list[PciPath]:
    """Return the devices of the options before any firmware program."""
    paths = []
    for option in options:
        if option.is_firmware_program:
            break
        paths.append(option.pci_path)
    return paths


def _follows(paths: Sequence[PciPath], offered: Sequence[PciPath]) -> bool:
    """Tell whether devices stand as they were offered, others after them."""
    ranks = [next((rank for rank, device in enumerate(offered)
                   if path[:len(device)] == device), len(offered))
             for path in paths]
    return ranks == sorted(ranks)
