# SPDX-License-Identifier: Apache-2.0
"""How versions and owners of a log stand on a volume.

See nova_armvm.nvramd.slots for the log as a whole.
"""
from collections.abc import Iterator
import dataclasses
import hashlib

import zstandard

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import seals
from nova_armvm.uefi import region

BLOCK = 4096

_HEADER_MAGIC = b'ARMVMNVH'
_OWNER_MAGIC = b'ARMVMNVO'
_SLOT_MAGIC = b'ARMVMNVS'
_HEADER = {'format': int, 'instance': str, 'log': str}
_OWNER = {'log': str, 'epoch': int, 'name': str, 'time': int, 'base': list,
          'token': str, 'claims': list}
_SLOT = {'log': str, 'sequence': int, 'epoch': int, 'time': int,
         'reason': str, 'flash_size': int, 'length': int, 'sha256': str,
         'packed': int, 'packed_sha256': str}
#: The first part of a slot says what it is; the compressed store follows.
_SLOT_HEAD = 1024
_COMPRESSION_LEVEL = 3


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of a store.

    :ivar sequence: grows from version to version, mostly by one.
    :ivar epoch: of the owner that wrote it.
    :ivar time: seconds since 1970.
    :ivar reason: why it was written: ``guest``, ``operator``, ...
    :ivar flash_size: bytes of the flash that it is for.
    :ivar length: of the canonical store in bytes; 0: unformatted.
    :ivar sha256: of the canonical store, hexadecimal.
    :ivar offset: where its slot begins, in bytes from the volume's start.
    :ivar size: of the slot in bytes.
    """

    sequence: int
    epoch: int
    time: int
    reason: str
    flash_size: int
    length: int
    sha256: str
    offset: int = dataclasses.field(compare=False)
    size: int = dataclasses.field(compare=False)

    @property
    def end(self) -> int:
        """Return where its slot ends."""
        return self.offset + self.size


@dataclasses.dataclass(frozen=True)
class Owner:
    """Who may append to a log.

    :ivar epoch: 0 before anybody has claimed it.
    :ivar name: of the host.
    :ivar base: sequence of the newest version before the claim; None while
        the claim is being made, when nobody has written under it yet.
    :ivar token: tells this claim from every other.
    :ivar claims: epoch and base of the last claims, this one included.
    """

    epoch: int = 0
    name: str = ''
    time: int = 0
    base: int | None = None
    token: str = ''
    claims: tuple[tuple[int, int], ...] = ()

    @property
    def rank(self) -> tuple[int, bool]:
        """Return what says which of two records is newer."""
        return self.epoch, self.base is not None

    def voids(self, version: Version) -> bool:
        """Return whether a host wrote a version that had lost the log."""
        return any(version.epoch < epoch and version.sequence > base
                   for epoch, base in self.claims)


def header_block(log_id: str, instance: str, form: int) -> bytes:
    """Return the header of a log as it stands on the volume."""
    return seals.seal(_HEADER_MAGIC, {
        'format': form, 'instance': instance, 'log': log_id}, BLOCK)


def header_in(block: bytes) -> seals.Facts | None:
    """Return ``format``, ``instance`` and ``log`` of a header.

    :returns: None where there is none.
    """
    return seals.unseal(_HEADER_MAGIC, block, _HEADER)


def owner_block(log_id: str, owner: Owner) -> bytes:
    """Return an owner record as it stands on the volume.

    :raises Invalid: if the name is too long.
    """
    return seals.seal(_OWNER_MAGIC, {
        'log': log_id, **dataclasses.asdict(owner),
        'base': [] if owner.base is None else [owner.base]}, BLOCK)


def owner_in(block: bytes, log_id: str) -> Owner | None:
    """Return the owner record of a log in a block."""
    facts = seals.unseal(_OWNER_MAGIC, block, _OWNER)
    if facts is None or facts.pop('log') != log_id:
        return None
    base, claims = facts.pop('base'), facts.pop('claims')
    numbers = [*base, *(value for claim in claims
                        for value in (claim if type(claim) is list
                                      and len(claim) == 2 else [None]))]
    if len(base) > 1 or not all(seals.is_of(int, number)
                                for number in numbers):
        return None
    return Owner(**facts, base=base[0] if base else None,
                 claims=tuple((epoch, before) for epoch, before in claims))


def slot_of(log_id: str, canonical: bytes, *, sequence: int, epoch: int,
            time: int, reason: str, flash_size: int) -> tuple[Version, bytes]:
    """Return a version and its slot, which has no place yet.

    :raises Invalid: if the reason is too long.
    """
    packed = zstandard.ZstdCompressor(
        level=_COMPRESSION_LEVEL).compress(canonical)
    size = _slot_size(len(packed))
    version = Version(sequence, epoch, time, reason, flash_size,
                      len(canonical), hashlib.sha256(canonical).hexdigest(),
                      offset=0, size=size)
    facts = dataclasses.asdict(version)
    del facts['offset'], facts['size']
    head = seals.seal(_SLOT_MAGIC, {
        'log': log_id, **facts, 'packed': len(packed),
        'packed_sha256': hashlib.sha256(packed).hexdigest()}, _SLOT_HEAD)
    return version, (head + packed).ljust(size, b'\0')


def _slot_size(packed: int) -> int:
    return -(-(_SLOT_HEAD + packed) // BLOCK) * BLOCK


def slots_in(raw: bytes, start: int, log_id: str) -> Iterator[Version]:
    """Yield the whole slots in a lane."""
    offset = 0
    while offset < len(raw):
        slot = slot_in(raw, offset, log_id)
        if slot is None:
            offset += BLOCK
            continue
        version = slot[0]
        yield dataclasses.replace(version, offset=start + offset)
        offset += version.size


def slot_in(raw: bytes, offset: int,
            log_id: str) -> tuple[Version, bytes] | None:
    """Return the whole slot that begins at an offset, and what is packed."""
    facts = seals.unseal(_SLOT_MAGIC, raw[offset:offset + _SLOT_HEAD], _SLOT)
    if facts is None or facts.pop('log') != log_id:
        return None
    size, digest = facts.pop('packed'), facts.pop('packed_sha256')
    packed = raw[offset + _SLOT_HEAD:offset + _SLOT_HEAD + size]
    if len(packed) != size or facts['length'] > region.REGION_MAX or (
            hashlib.sha256(packed).hexdigest() != digest):
        return None
    return Version(**facts, offset=offset, size=_slot_size(size)), packed


def unpacked(version: Version, packed: bytes) -> bytes:
    """Return the store in a slot.

    :raises VersionUnknown: if it is not what the slot says.
    """
    canonical = None
    try:
        # The limit of decompress() is for frames that do not say their size.
        if zstandard.frame_content_size(packed) == version.length:
            canonical = zstandard.ZstdDecompressor().decompress(
                packed, max_output_size=version.length)
    except zstandard.ZstdError:
        canonical = None
    if canonical is None or (
            hashlib.sha256(canonical).hexdigest() != version.sha256):
        raise errors.VersionUnknown(
            f'version {version.sequence} is not whole on the volume')
    return canonical
