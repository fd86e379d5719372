# SPDX-License-Identifier: Apache-2.0
"""The flash as QEMU has it in memory, read through libvirt.

It tells what a guest was told is kept, where that may not have reached the
flash service.
"""
import time
import typing as ty

from nova_armvm.host import flash_service
from nova_armvm.uefi import region

#: Where the virt machine has its second flash, in guest-physical memory.
FLASH_ADDRESS = 0x4000000

#: libvirt.VIR_MEMORY_PHYSICAL; the module is absent where libvirt is only
#: imitated.
_PHYSICAL = 2
#: The most that libvirt hands out in one call.
_PEEK_MAX_BYTES = 4 * 1024 * 1024

_TRIES = 20
_PAUSE_SECONDS = 0.2


class FlashMemoryError(Exception):
    """The flash in QEMU did not stay the same for as long as it takes."""


class Domain(ty.Protocol):
    """A running guest, as libvirt.virDomain."""

    def memoryPeek(self, start: int, size: int, flags: int) -> bytes:
        """Return memory of the guest."""


def flash_of(domain: Domain, size: int) -> bytes:
    """Return the leading bytes of a guest's variable flash.

    The guest goes on meanwhile, so two looks in a row have to be the same.

    :param domain: of a guest that runs or is paused.
    :param size: in bytes.
    :raises FlashMemoryError: if the guest writes to it all the time.
    :raises libvirt.libvirtError: if libvirt cannot read it.
    """
    before = None
    for number in range(_TRIES):
        if number > 1:
            # For the guest, to come to the end of its write.
            time.sleep(_PAUSE_SECONDS)
        content = _peek(domain, size)
        if content == before and not _is_status(content):
            return content
        before = content
    raise FlashMemoryError('the guest was writing to its flash all the time')


def verify(service: flash_service.FlashService, instance: str,
           domain: Domain, adopt: bool) -> flash_service.Verification:
    """Compare a guest's flash in QEMU with what the flash service has.

    :param instance: uuid, of a guest that runs on this host.
    :param adopt: commit QEMU's where they differ.
    :raises FlashMemoryError: if the guest writes to it all the time.
    :raises flash_service.FlashServiceError: if the service could not.
    :raises libvirt.libvirtError: if libvirt cannot read it.
    """
    size = region.region_size(service.read(instance).store)
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_SECONDS)
        writes = service.state(instance).writes
        flash = flash_of(domain, size)
        try:
            return service.verify(instance, flash, adopt,
                                  expect_writes=writes)
        except flash_service.StaleSequence:
            # What was read is older than what the service has by now.
            continue
    raise FlashMemoryError('the guest was writing to its flash all the time')


def _peek(domain: Domain, size: int) -> bytes:
    return b''.join(
        domain.memoryPeek(FLASH_ADDRESS + offset,
                          min(_PEEK_MAX_BYTES, size - offset), _PHYSICAL)
        for offset in range(0, size, _PEEK_MAX_BYTES))


def _is_status(content: bytes) -> bool:
    """Return whether the flash device answers with its status.

    Between the commands of a write it does so at every address (QEMU's
    pflash_cfi01, one status byte for each of its two chips).
    """
    return content[:4] * (len(content) // 4) == content and (
        content[:1] not in (b'\0', b'\xff'))
