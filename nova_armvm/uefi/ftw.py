# SPDX-License-Identifier: Apache-2.0
"""Fault-tolerant writes: the working and the spare area of the flash.

To rewrite a block edk2 (MdeModulePkg's FaultTolerantWriteDxe) copies its new
content to the spare area, notes in the working area that the copy is
complete, erases and writes the block itself and notes that too. When that
was cut short between the two notes, it copies the spare area again at its
next start; a reader has to see the same. The working area begins with a
header; a queue of writes follows, each with one or more records. All flags
are bits that are cleared when they become true.
"""
import dataclasses
import struct
import uuid
import zlib

#: Block of AAVMF's flash, and size of each of its three areas.
BLOCK_SIZE = 0x40000

_SIGNATURE = uuid.UUID('9e58292b-7c68-497d-a0ce-6500fd9f1b95')
_WORKING_HEADER = struct.Struct('<16s4s4sQ')
_WRITE_HEADER = struct.Struct('<B3x16s4xQQ')
_WRITE_RECORD = struct.Struct('<B7xQQQq')

_ERASED = b'\xff\xff\xff\xff'
#: Flags of a working area that is valid and not yet replaced.
_IN_USE = b'\xfe\xff\xff\xff'
# Bits of a write's and a record's flags.
_ALLOCATED, _COMPLETE = 0x01, 0x04
_SPARE_COMPLETE, _TARGET_COMPLETE = 0x02, 0x04


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Where things lie, as offsets in bytes from the start of the flash.

    :ivar variables_end: end of the store.
    :ivar volume_end: end of the spare area.
    :ivar flash_end: end of what can be written.
    :ivar block_size: what is erased at once.
    """

    variables_end: int
    volume_end: int
    flash_end: int
    block_size: int


#: AAVMF's, for a flash whose volume header is lost.
AAVMF = Geometry(variables_end=BLOCK_SIZE, volume_end=3 * BLOCK_SIZE,
                 flash_end=256 * BLOCK_SIZE, block_size=BLOCK_SIZE)


@dataclasses.dataclass(frozen=True)
class PendingWrite:
    """A copy that is still to be made, in bytes from the flash's start."""

    target: int
    spare: int
    length: int


def finish(flash: bytes, write: PendingWrite) -> bytes:
    """Return the flash after a pending write."""
    return b''.join((flash[:write.target],
                     flash[write.spare:write.spare + write.length],
                     flash[write.target + write.length:]))


def working_area(geometry: Geometry) -> range:
    """Return where the notes are, which edk2 makes anew when they are gone."""
    start = _aligned(geometry.variables_end, geometry.block_size)
    return range(start, start + geometry.block_size)


def pending_write(flash: bytes, geometry: Geometry) -> PendingWrite | None:
    """Return the write that edk2 would finish at its next start.

    :returns: None also when there is no working area that edk2 would trust;
        it makes a new one then and leaves the variables alone.
    """
    working = _aligned(geometry.variables_end, geometry.block_size)
    first = working + _WORKING_HEADER.size
    if len(flash) < geometry.volume_end or first > geometry.volume_end:
        return None
    queue = _queue_size(flash[working:first])
    if queue is None:
        return None
    spare = first + queue
    if spare % geometry.block_size or spare >= geometry.volume_end:
        return None
    record = _last_record(flash, first, spare)
    return record and _copy_of(record, working, spare, geometry)


def _queue_size(header: bytes) -> int | None:
    """Return the size of the queue in bytes, None without a valid header."""
    signature, checksum, flags, queue = _WORKING_HEADER.unpack(header)
    if signature != _SIGNATURE.bytes_le or flags != _IN_USE:
        return None
    # The checksum was made when the header held nothing else.
    blank = _WORKING_HEADER.pack(signature, _ERASED, _ERASED, queue)
    if zlib.crc32(blank).to_bytes(4, 'little') != checksum:
        return None
    return queue


@dataclasses.dataclass(frozen=True)
class _Record:
    """What is noted of the write of one range of a block.

    :ivar block: number of the first target block.
    :ivar end: where the range ends, from the start of that block.
    :ivar relative: start of that block, from the start of the spare area.
    """

    block: int
    end: int
    relative: int


def _last_record(flash: bytes, offset: int, end: int) -> _Record | None:
    """Return the record that is only half done, if there is one.

    Only the last write of the queue can be unfinished, and of its records
    the first that has not reached the target counts.
    """
    while offset + _WRITE_HEADER.size <= end:
        flags, _caller, number, private = _WRITE_HEADER.unpack_from(flash,
                                                                    offset)
        offset += _WRITE_HEADER.size
        step = _WRITE_RECORD.size + private
        if flags & _COMPLETE:
            return (None if flags & _ALLOCATED
                    else _half_done(flash, range(
                        offset, min(offset + number * step, end), step), end))
        offset += number * step
    return None


def _half_done(flash: bytes, records: range, end: int) -> _Record | None:
    for offset in records:
        if offset + _WRITE_RECORD.size > end:
            return None
        flags, block, start, length, relative = _WRITE_RECORD.unpack_from(
            flash, offset)
        if flags & _TARGET_COMPLETE:
            return (None if flags & _SPARE_COMPLETE
                    else _Record(block, start + length, relative))
    return None


def _copy_of(record: _Record, working: int, spare: int,
             geometry: Geometry) -> PendingWrite | None:
    """Return the copy that a record stands for, None for an impossible one.

    Writes to the working area itself are left out, they change no variable.
    """
    target = record.block * geometry.block_size
    length = _aligned(record.end, geometry.block_size)
    if not (0 <= spare + record.relative < geometry.flash_end and
            0 < length <= geometry.volume_end - spare and
            target + length <= working):
        return None
    return PendingWrite(target, spare, length)


def _aligned(offset: int, step: int) -> int:
    return -(-offset // step) * step
