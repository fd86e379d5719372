# SPDX-License-Identifier: Apache-2.0
"""Disks for tests, made from the specifications byte by byte.

Not with the code under test, and not by it: test_independent.py holds both
against other people's tools.
"""
import dataclasses
import struct
import uuid
import zlib

from nova_armvm import exception

ESP = uuid.UUID('c12a7328-f81f-11d2-ba4b-00a0c93ec93b')
LINUX = uuid.UUID('0fc63daf-8483-4772-8e79-3d69d8477de4')
MIB = 1024 * 1024


class MemoryDisk:
    """A disk, and a source, that counts what is read from it."""

    def __init__(self, content: bytes) -> None:
        self.content = bytes(content)
        self.size = len(content)
        self.read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > self.size:
            raise exception.ImageInvalid(reason='beyond the end')
        self.read += length
        return self.content[offset:offset + length]


@dataclasses.dataclass
class Partition:
    """A partition, in sectors."""

    first: int
    last: int
    kind: uuid.UUID = ESP


def header(place: int, other: int, entries_at: int, array: bytes, sectors: int,
           count: int, size: int, **changed: int) -> bytes:
    """Return a GPT header with a right checksum.

    :param changed: ``revision``, ``header_size``, ``first_usable``,
        ``last_usable``, ``own``, ``count`` or ``size`` of entries.
    """
    fields = {'revision': 0x10000, 'header_size': 92, 'own': place,
              'first_usable': 2, 'last_usable': sectors - 2, 'count': count,
              'size': size, **changed}

    def pack(crc: int) -> bytes:
        return struct.pack(
            '<8sIIIIQQQQ16sQIII', b'EFI PART', fields['revision'],
            fields['header_size'], crc, 0, fields['own'], other,
            fields['first_usable'], fields['last_usable'],
            LINUX.bytes_le, entries_at, fields['count'],
            fields['size'], zlib.crc32(array))
    return pack(zlib.crc32(pack(0)))


def gpt(partitions: list[Partition], size: int = 4 * MIB, sector: int = 512,
        count: int = 128, entry_size: int = 128, **changed: int) -> bytearray:
    """Return a disk with a partition table at both ends."""
    disk = bytearray(size)
    sectors = size // sector
    array = b''.join(struct.pack(
        '<16s16sQQQ72s', each.kind.bytes_le, uuid.uuid4().bytes_le,
        each.first, each.last, 0, 'name'.encode('utf-16-le')).ljust(
            entry_size, b'\0') for each in partitions)
    array = array.ljust(count * entry_size, b'\0')
    room = -(-len(array) // sector)
    disk[446:462] = struct.pack('<B3sB3sII', 0, b'\0\2\0', 0xee, b'\xff' * 3,
                                1, sectors - 1)
    disk[510:512] = b'\x55\xaa'
    last = sectors - 1
    for own, other, at in ((1, last, 2), (last, 1, last - room)):
        text = header(own, other, at, array, sectors, count, entry_size,
                      **changed)
        disk[own * sector:own * sector + len(text)] = text
        disk[at * sector:at * sector + len(array)] = array
    return disk


def short_entry(name: bytes, attributes: int, cluster: int,
                size: int) -> bytes:
    """Return a directory entry of 32 bytes."""
    return struct.pack('<11sBBxHHHHHHHI', name, attributes, 0, 0, 0, 0,
                       cluster >> 16, 0, 0, cluster & 0xffff, size)


def long_entries(name: str, short: bytes) -> bytes:
    """Return the entries of a long name, as they stand before a short one."""
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1 | checksum << 7) + byte) & 0xff
    raw = name.encode('utf-16-le')
    if len(raw) % 26:
        raw = (raw + b'\0\0').ljust(-(-(len(raw) + 2) // 26) * 26, b'\xff')
    pieces = [raw[place:place + 26] for place in range(0, len(raw), 26)]
    entries = []
    for number, piece in enumerate(pieces, 1):
        last = 0x40 if number == len(pieces) else 0
        entries.append(
            bytes([number | last]) + piece[:10] + b'\x0f\0' +
            bytes([checksum]) + piece[10:22] + b'\0\0' + piece[22:])
    return b''.join(reversed(entries))


class Fat:
    """A FAT file system in the making.

    :ivar bits: 12, 16 or 32.
    """

    _CLUSTERS = {12: 1000, 16: 5000, 32: 3000}
    _END = {12: 0xfff, 16: 0xffff, 32: 0x0fffffff}

    def __init__(self, bits: int = 32, sector: int = 512,
                 per_cluster: int = 1) -> None:
        self.bits, self.sector, self.per_cluster = bits, sector, per_cluster
        self.count = self._CLUSTERS[bits]
        self.reserved = 32 if bits == 32 else 1
        self.table_sectors = -(-(self.count + 2) * bits // (sector * 8))
        self.root_entries = 0 if bits == 32 else 512
        self.table = [self._END[bits]] * 2 + [0] * self.count
        self.clusters: dict[int, bytes] = {}
        self._free = 2
        if bits == 32:
            self.root = self.store(b'')
        self.root_content = b''

    @property
    def cluster(self) -> int:
        return self.sector * self.per_cluster

    def store(self, content: bytes, gap: int = 1) -> int:
        """Put content into a chain of clusters; return the first.

        :param gap: every how many clusters one is used.
        """
        pieces = [content[place:place + self.cluster] for place in
                  range(0, len(content), self.cluster)] or [b'']
        numbers = [self._free + gap * number for number in range(len(pieces))]
        for number, piece in zip(numbers, pieces):
            self.clusters[number] = piece
        for number, following in zip(numbers,
                                     [*numbers[1:], self._END[self.bits]]):
            self.table[number] = following
        self._free = numbers[-1] + gap
        return numbers[0]

    def put_root(self, content: bytes) -> None:
        """Set the content of the root directory."""
        if self.bits == 32:
            self.clusters[self.root] = content
        else:
            self.root_content = content

    def boot_sector(self, **changed: int) -> bytes:
        """Return the boot sector; see the names for what can be changed."""
        root_sectors = -(-self.root_entries * 32 // self.sector)
        total = (self.reserved + 2 * self.table_sectors + root_sectors +
                 self.count * self.per_cluster)
        fields = {'sector': self.sector, 'per_cluster': self.per_cluster,
                  'reserved': self.reserved, 'tables': 2,
                  'root_entries': self.root_entries,
                  'table_sectors': self.table_sectors, 'total': total,
                  'root': getattr(self, 'root', 0), **changed}
        small = 0 if self.bits == 32 else fields['table_sectors']
        text = struct.pack(
            '<3s8sHBHBHHBHHHII', b'\xeb\x58\x90', b'mkfs.fat',
            fields['sector'], fields['per_cluster'], fields['reserved'],
            fields['tables'], fields['root_entries'], 0, 0xf8, small, 32, 2,
            0, fields['total'])
        if self.bits == 32:
            text += struct.pack('<IHHI', fields['table_sectors'], 0, 0,
                                fields['root'])
        return text.ljust(510, b'\0') + b'\x55\xaa'

    def table_bytes(self) -> bytes:
        """Return one allocation table."""
        if self.bits == 12:
            raw = bytearray()
            for low, high in zip(self.table[::2], [*self.table[1::2], 0]):
                raw += (low | high << 12).to_bytes(3, 'little')
            return bytes(raw)
        return b''.join(number.to_bytes(self.bits // 8, 'little')
                        for number in self.table)

    def build(self, **changed: int) -> bytes:
        """Return the file system; see boot_sector()."""
        table = self.table_bytes()[:self.table_sectors * self.sector].ljust(
            self.table_sectors * self.sector, b'\0')
        data = b''.join(
            self.clusters.get(number, b'').ljust(self.cluster, b'\0')
            for number in range(2, self.count + 2))
        boot = self.boot_sector(**changed).ljust(
            self.reserved * self.sector, b'\0')
        return (boot + table * 2 +
                self.root_content.ljust(self.root_entries * 32, b'\0') + data)


def program(machine: int = 0xaa64, plus: bool = True, subsystem: int = 10,
            linux: bytes = b'') -> bytes:
    """Return the beginning of an EFI program.

    :param linux: ``ARM\\x64`` or ``zimg`` for the marks of a kernel.
    """
    dos = bytearray(b'MZ'.ljust(128, b'\0'))
    dos[60:64] = struct.pack('<I', 128)
    if linux == b'zimg':
        dos[4:8] = linux
    elif linux:
        dos[56:60] = linux
    optional = bytearray(240 if plus else 224)
    optional[0:2] = struct.pack('<H', 0x20b if plus else 0x10b)
    optional[32:40] = struct.pack('<II', 4096, 512)
    optional[68:70] = struct.pack('<H', subsystem)
    coff = struct.pack('<4sHHIIIHH', b'PE\0\0', machine, 0, 0, 0, 0,
                       len(optional), 0x22)
    return bytes(dos) + coff + bytes(optional)


BOOT_AA64, BOOT_ARM = b'BOOTAA64EFI', b'BOOTARM EFI'


def file_system(files: dict[bytes, bytes], bits: int = 32,
                **kwargs: int) -> Fat:
    """Return a file system with files in \\EFI\\BOOT.

    :param files: content by short name of 11 bytes.
    """
    fat = Fat(bits, **kwargs)
    listed = b''.join(
        short_entry(name, 0x20, fat.store(content, gap=2), len(content))
        for name, content in files.items())
    boot = fat.store(short_entry(b'.          ', 0x10, 0, 0) +
                     short_entry(b'..         ', 0x10, 0, 0) + listed)
    efi = fat.store(short_entry(b'BOOT       ', 0x10, boot, 0))
    fat.put_root(short_entry(b'ESP-A      ', 0x08, 0, 0) +
                 short_entry(b'EFI        ', 0x10, efi, 0))
    return fat


def image(content: bytes, sector: int = 512, size: int = 8 * MIB,
          **changed: int) -> bytearray:
    """Return a disk whose one partition is an ESP with some content."""
    first = MIB // sector
    disk = gpt([Partition(first, first + -(-len(content) // sector) - 1)],
               size, sector, **changed)
    disk[MIB:MIB + len(content)] = content
    return disk


def good(bits: int = 32, sector: int = 512) -> bytearray:
    """Return an image that complies."""
    return image(file_system({BOOT_AA64: program()}, bits).build(), sector)
