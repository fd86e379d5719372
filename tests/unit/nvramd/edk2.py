# SPDX-License-Identifier: Apache-2.0
"""A firmware that writes its flash as edk2 does, but nothing else.

VirtNorFlashDxe, FaultTolerantWriteDxe and VariableRuntimeDxe of edk2, as far
as they write: in the same order, in the same pieces. Written from a reading
of 2022.11 and 2025.02; blocks may be smaller than AAVMF's, to be faster.
"""
from collections.abc import Callable
import dataclasses
import struct
import uuid
import zlib

from nova_armvm.uefi import edit
from nova_armvm.uefi import ftw
from nova_armvm.uefi import varstore

VENDOR = uuid.UUID('11111111-2222-3333-4444-555555555555')
_WORKING = uuid.UUID('9e58292b-7c68-497d-a0ce-6500fd9f1b95')
_PIECE = 128
_PAGE = 4096
_QUEUE_START = 32
_ENTRY = 40

Written = Callable[[int, bytes], None]


class PowerCut(Exception):
    """The flash takes no more writes."""


@dataclasses.dataclass(frozen=True)
class Model:
    """How a release of edk2 programs its flash.

    :ivar limit: a piece of more bytes is written with an erase.
    :ivar aligned: the limit counts from and to borders of 128 bytes, and
        what is below is programmed in buffers rather than words.
    """

    limit: int
    aligned: bool


EDK2_2022_11 = Model(128, aligned=False)
EDK2_2023_05 = Model(256, aligned=True)
EDK2_2025_02 = Model(512, aligned=True)


class Nor:
    """The flash as QEMU emulates it.

    :ivar written: is told each change as QEMU writes it to its block device.
    """

    def __init__(self, content: bytearray, model: Model, block: int,
                 written: Written) -> None:
        self.content, self.block, self.written = content, block, written
        self._model = model

    def _store(self, offset: int, new: bytes) -> None:
        """Write as QEMU does: at once, by whole pages."""
        self.content[offset:offset + len(new)] = new
        start = offset // _PAGE * _PAGE
        end = -(-(offset + len(new)) // _PAGE) * _PAGE
        self.written(start, bytes(self.content[start:end]))

    def erase(self, number: int) -> None:
        """Erase a block."""
        self._store(number * self.block, b'\xff' * self.block)

    def _program(self, offset: int, new: bytes) -> None:
        old = self.content[offset:offset + len(new)]
        self._store(offset, bytes(a & b for a, b in zip(old, new)))

    def write(self, offset: int, new: bytes) -> None:
        """Write within a block, as FvbWrite does."""
        start, size = offset, len(new)
        if self._model.aligned:
            start = offset // _PIECE * _PIECE
            size = -(-(offset + size) // _PIECE) * _PIECE - start
        if size > self._model.limit:
            return self._rewrite(offset, new)
        if self._model.aligned:
            return self._write_buffers(offset, new, start, size)
        return self._write_words(offset, new)

    def _write_buffers(self, offset: int, new: bytes, start: int,
                       size: int) -> None:
        old = self.content[offset:offset + len(new)]
        if any(~a & b for a, b in zip(old, new)):
            return self._rewrite(offset, new)
        shadow = bytearray(self.content[start:start + size])
        shadow[offset - start:offset - start + len(new)] = new
        for at in range(0, size, _PIECE):
            self._program(start + at, shadow[at:at + _PIECE])

    def _write_words(self, offset: int, new: bytes) -> None:
        at = offset
        while at < offset + len(new):
            end = min(at // 4 * 4 + 4, offset + len(new))
            word = new[at - offset:end - offset]
            if any(~a & b for a, b in zip(self.content[at:end], word)):
                return self._rewrite(offset, new)
            self._program(at, word)
            at = end

    def _rewrite(self, offset: int, new: bytes) -> None:
        number, within = divmod(offset, self.block)
        start = number * self.block
        shadow = self.content[start:start + self.block]
        shadow[within:within + len(new)] = new
        self.erase(number)
        for at in range(0, self.block, _PIECE):
            piece = shadow[at:at + _PIECE]
            # What stays erased is written as well, and changes nothing.
            if piece.strip(b'\xff'):
                self._program(start + at, piece)


class Ftw:
    """Writes of whole blocks by way of the spare area."""

    def __init__(self, nor: Nor) -> None:
        self._nor, self._block = nor, nor.block
        self._end = 0

    def start(self, geometry: ftw.Geometry) -> None:
        """Make the working area, or finish what was cut short."""
        area = self._read(1)
        if not area.startswith(_WORKING.bytes_le) or area[20] != 0xFE:
            self._reclaim()
        write = ftw.pending_write(self._nor.content, geometry)
        self._end = self._queue_end()
        if write is not None:
            self._flush()
            self._clear(self._end - _ENTRY, 0x04)
            self._clear(self._end - 2 * _ENTRY, 0x04)

    def _read(self, number: int) -> bytes:
        start = number * self._block
        return bytes(self._nor.content[start:start + self._block])

    def _queue_end(self) -> int:
        """Return where the next write is noted, in the working area."""
        queue = self._read(1)
        at = _QUEUE_START
        while at + 2 * _ENTRY <= len(queue) and queue[at] != 0xFF:
            at += 2 * _ENTRY
        return at

    def _clear(self, at: int, bit: int) -> None:
        start = self._block + at
        self._nor.write(start, bytes([self._nor.content[start] & ~bit]))

    def _reclaim(self) -> None:
        """Make the working area anew, with nothing in its queue."""
        spare = self._read(2)
        blank = struct.pack('<16s4s4sQ', _WORKING.bytes_le, b'\xff' * 4,
                            b'\xff' * 4, self._block - _QUEUE_START)
        head = struct.pack('<16sI4sQ', _WORKING.bytes_le, zlib.crc32(blank),
                           b'\xff' * 4, self._block - _QUEUE_START)
        fresh = bytearray(head.ljust(self._block, b'\xff'))
        self._fill(2, bytes(fresh))
        self._nor.write(2 * self._block + 20, b'\xfe')
        if self._read(1)[20] != 0xFF:
            self._clear(20, 0x02)
        fresh[20] = 0xFE
        self._fill(1, bytes(fresh))
        self._fill(2, spare)
        self._end = _QUEUE_START

    def _fill(self, number: int, content: bytes) -> None:
        self._nor.erase(number)
        self._nor.write(number * self._block, content)

    def _flush(self) -> None:
        self._fill(0, self._read(2))

    def write(self, offset: int, new: bytes) -> None:
        """Replace a part of the first block."""
        if self._end + 2 * _ENTRY > self._block:
            self._reclaim()
        at, spare = self._end, self._read(2)
        start = self._block + at
        self._nor.write(start, struct.pack(
            '<B3x16s4xQQ', 0xFF, VENDOR.bytes_le, 1, 0))
        self._clear(at, 0x01)
        self._nor.write(start + _ENTRY, struct.pack(
            '<B7xQQQq', 0xFF, 0, offset, len(new), -2 * self._block))
        block = bytearray(self._read(0))
        block[offset:offset + len(new)] = new
        self._fill(2, bytes(block))
        self._clear(at + _ENTRY, 0x02)
        self._flush()
        self._clear(at + _ENTRY, 0x04)
        self._clear(at, 0x04)
        self._fill(2, spare)
        self._end += 2 * _ENTRY


class Firmware:
    """Sets variables, between power on and power off.

    :ivar rewrites: how often the store was rewritten compacted.
    """

    def __init__(self, content: bytearray, model: Model, written: Written,
                 block: int = ftw.BLOCK_SIZE) -> None:
        """Stand for the firmware of a machine that is off.

        :param content: of the flash.
        :param block: size of a block; a store that is there has the same.
        """
        self.nor = Nor(content, model, block, written)
        self._ftw = Ftw(self.nor)
        self.rewrites = 0

    def boot(self) -> None:
        """Start, which makes of the flash something to work with."""
        try:
            varstore.volume_of(self.nor.content)
        except Exception:
            self._format()
        volume = self._volume()
        self._ftw.start(volume.geometry)
        free = volume.store_start + varstore.free_offset(
            self.nor.content, volume)
        end = volume.store_start + volume.store_size
        if self.nor.content[free:end].strip(b'\xff'):
            self._reclaim()

    def _volume(self) -> varstore.FirmwareVolume:
        return varstore.volume_of(self.nor.content)

    def _format(self) -> None:
        for number in range(3):
            self.nor.erase(number)
        head = empty_store(self.nor.block)[:100]
        self.nor.write(0, head)

    def variables(self) -> dict[str, bytes]:
        """Return what is set."""
        found = varstore.visible(bytes(self.nor.content), self._volume())
        return {key.name: entry.variable.content
                for key, entry in found.items()}

    def _places(self, name: str) -> tuple[int | None, list[int]]:
        """Return where a variable stands, and where it leaves from."""
        volume, added, leaving = self._volume(), None, []
        for entry in varstore.entries(bytes(self.nor.content), volume):
            if entry.variable.key.name == name:
                at = volume.store_start + entry.start + 2
                if entry.state == varstore.ADDED and added is None:
                    added = at
                elif entry.state != varstore.ADDED:
                    leaving.append(at)
        return added, leaving

    def _clear(self, at: int, bit: int) -> None:
        self.nor.write(at, bytes([self.nor.content[at] & ~bit]))

    def set(self, name: str, content: bytes, attributes: int = 7) -> bool:
        """Set a variable; return whether there was room."""
        if self.variables().get(name) == content:
            return True
        added, leaving = self._places(name)
        if added is not None:
            self._clear(added, 0x01)
            leaving.append(added)
        record = variable(name, content, attributes)
        volume = self._volume()
        free = varstore.free_offset(self.nor.content, volume)
        if free + len(record) > volume.store_size:
            return self._reclaim(name, record)
        self._append(volume.store_start + free, record)
        for at in leaving:
            self._clear(at, 0x02)
        return True

    def _append(self, at: int, record: bytes) -> None:
        size = varstore.AUTHENTICATED_HEADER.size
        self.nor.write(at, record[:2] + b'\xff' + record[3:size])
        self.nor.write(at + 2, b'\x7f')
        self.nor.write(at + size, record[size:])
        self.nor.write(at + 2, b'\x3f')

    def delete(self, name: str) -> None:
        """Delete a variable."""
        added, leaving = self._places(name)
        for at in (*leaving, *([added] if added else [])):
            self._clear(at, 0x02)

    def _reclaim(self, name: str = '', record: bytes = b'') -> bool:
        """Rewrite the store compacted, with one variable set."""
        volume = self._volume()
        flash = bytes(self.nor.content)
        start = volume.store_start
        kept = [entry for key, entry in varstore.visible(flash,
                                                         volume).items()
                if key.name != name]
        kept.sort(key=lambda entry: (entry.state, entry.start))
        store = flash[start:start + varstore.FIRST_VARIABLE] + b''.join(
            flash[start + entry.start:start + entry.start + 2] + b'\x3f' +
            flash[start + entry.start + 3:start + entry.end]
            for entry in kept) + record
        if len(store) > volume.store_size:
            return False
        self.rewrites += 1
        self._ftw.write(start, store.ljust(volume.store_size, b'\xff'))
        return True


def variable(name: str, content: bytes, attributes: int = 7) -> bytes:
    """Return a variable as it stands in the store."""
    raw = name.encode('utf-16-le') + b'\0\0'
    whole = varstore.AUTHENTICATED_HEADER.pack(
        varstore.VARIABLE_START, varstore.ADDED, attributes, 0, bytes(16), 0,
        len(raw), len(content), VENDOR.bytes_le) + raw + content
    return whole.ljust(varstore.aligned(len(whole)), b'\xff')


def empty_store(block: int = ftw.BLOCK_SIZE) -> bytes:
    """Return a flash with an empty store, its areas of one block each."""
    flash = bytearray(edit.formatted(varstore.READ_SIZE))
    if block == ftw.BLOCK_SIZE:
        return bytes(flash)
    struct.pack_into('<Q', flash, 32, 3 * block)
    struct.pack_into('<H', flash, 50, 0)
    struct.pack_into('<II', flash, 56, 256, block)
    struct.pack_into('<I', flash, 72 + 16, block - 72 - 16)
    words = struct.unpack_from('<36H', flash)
    struct.pack_into('<H', flash, 50, -sum(words) & 0xFFFF)
    return bytes(flash)
