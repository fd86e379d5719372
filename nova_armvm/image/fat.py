# SPDX-License-Identifier: Apache-2.0
"""Files on a FAT file system, read-only (Microsoft's fatgen103).

pyfatfs, the kept library for it, reads the whole allocation table, follows
chains without a bound and needs PyFilesystem2, which needs pkg_resources.
"""
from collections.abc import Iterator
import dataclasses
import struct

from nova_armvm import exception
from nova_armvm.image import disk as image_disk
from nova_armvm.image import fat_directory

_BOOT = struct.Struct('<11xHBHBHHxHxxxxxxxxI')
_BOOT_32 = struct.Struct('<36xIxxxxI')
#: Largest counts of clusters; what is larger is FAT32.
_FAT12_CLUSTERS, _FAT16_CLUSTERS = 4084, 65524
_FAT32_MASK = 0x0fffffff
#: A file that is looked into lies in fewer pieces than this, and a directory
#: has no more entries than FAT allows.
_MAX_CLUSTERS = 1 << 20
_MAX_DIRECTORY = 65536 * 32
_END = {12: 0xff8, 16: 0xfff8, 32: 0x0ffffff8}


@dataclasses.dataclass(frozen=True)
class FileSystem:
    """A FAT file system.

    :ivar bits: 12, 16 or 32: which FAT it is.
    :ivar start: of the file system on the disk, in bytes.
    :ivar cluster: size of a cluster, in bytes.
    """

    bits: int
    start: int
    cluster: int
    table_at: int
    data_at: int
    clusters: int
    root_at: int
    root_size: int
    root_cluster: int


def _broken(reason: str) -> exception.ImageInvalid:
    return exception.ImageInvalid(reason=f'its FAT file system {reason}')


def open_at(disk: image_disk.Disk, start: int, size: int) -> FileSystem:
    """Read the boot sector of a file system.

    :param start: of the partition, in bytes.
    :param size: of the partition, in bytes.
    :raises ImageInvalid: there is none, or it contradicts itself.
    """
    if size < 512:
        raise _broken('has no room')
    boot = disk.read_at(start, 512)
    (sector, per_cluster, reserved, tables, root_entries, small_total,
     table_sectors, total) = _BOOT.unpack_from(boot)
    if boot[510:512] != b'\x55\xaa' or sector not in (
            512, 1024, 2048, 4096) or not _is_power(per_cluster) or (
            not reserved or tables not in (1, 2)):
        raise exception.ImageInvalid(reason='there is no FAT file system')
    wide = not table_sectors
    root_cluster = 0
    if wide:
        table_sectors, root_cluster = _BOOT_32.unpack_from(boot)
    total = small_total or total
    root_at = reserved + tables * table_sectors
    root_sectors = -(-root_entries * 32 // sector)
    data_at = root_at + root_sectors
    if not table_sectors or total * sector > size or data_at >= total:
        raise _broken('does not fit its partition')
    clusters = (total - data_at) // per_cluster
    # Small file systems are made as FAT32, too (mkfs.vfat -F 32).
    bits = 32 if wide else 12 if clusters <= _FAT12_CLUSTERS else 16
    if not wide and clusters > _FAT16_CLUSTERS or (
            (clusters + 2) * bits > table_sectors * sector * 8):
        raise _broken('has more clusters than its table')
    return FileSystem(
        bits=bits, start=start, cluster=per_cluster * sector,
        table_at=start + reserved * sector, data_at=start + data_at * sector,
        clusters=clusters, root_at=start + root_at * sector,
        root_size=root_entries * 32, root_cluster=root_cluster)


def _is_power(number: int) -> bool:
    return number > 0 and not number & (number - 1)


def _chain(disk: image_disk.Disk, system: FileSystem,
           first: int) -> Iterator[int]:
    """Go through a chain of clusters.

    One that goes in circles is found out by Brent's method: a cluster is
    remembered for twice as long each time, and met again if there is one.
    """
    cluster, remembered, steps, patience = first, None, 0, 1
    for _step in range(min(system.clusters, _MAX_CLUSTERS)):
        if not 2 <= cluster < system.clusters + 2:
            raise _broken('has a chain that leads nowhere')
        yield cluster
        cluster = _next(disk, system, cluster)
        if cluster >= _END[system.bits]:
            return
        if cluster == remembered:
            break
        steps += 1
        if steps == patience:
            remembered, steps, patience = cluster, 0, 2 * patience
    raise _broken('has a chain without an end')


def _next(disk: image_disk.Disk, system: FileSystem, cluster: int) -> int:
    if system.bits == 12:
        pair = disk.read_at(system.table_at + cluster * 3 // 2, 2)
        number = int.from_bytes(pair, 'little')
        return number >> 4 if cluster % 2 else number & 0xfff
    width = system.bits // 8
    entry = disk.read_at(system.table_at + cluster * width, width)
    return int.from_bytes(entry, 'little') & (
        _FAT32_MASK if width == 4 else 0xffff)


def _content(disk: image_disk.Disk, system: FileSystem, first: int,
             length: int) -> bytes:
    """Return the beginning of a chain, at most so many bytes."""
    pieces, left = [], length
    for cluster in _chain(disk, system, first):
        piece = min(left, system.cluster)
        pieces.append(disk.read_at(
            system.data_at + (cluster - 2) * system.cluster, piece))
        left -= piece
        if not left:
            break
    return b''.join(pieces)


def _entries(disk: image_disk.Disk, system: FileSystem,
             first: int) -> Iterator[fat_directory.Entry]:
    """Go through a directory, cluster by cluster, up to its end.

    :param first: its first cluster, 0 for the root of FAT12 and FAT16.
    """
    if not first and system.bits != 32:
        return fat_directory.entries(iter(
            [disk.read_at(system.root_at, system.root_size)]))
    chain = _chain(disk, system, first or system.root_cluster)
    most = -(-_MAX_DIRECTORY // system.cluster)

    def pieces() -> Iterator[bytes]:
        for number, cluster in enumerate(chain):
            if number >= most:
                raise _broken('has a directory that is too large')
            yield disk.read_at(
                system.data_at + (cluster - 2) * system.cluster,
                system.cluster)
    return fat_directory.entries(pieces())


def find(disk: image_disk.Disk, system: FileSystem,
         *path: str) -> fat_directory.Entry | None:
    """Look up a path; upper and lower case are the same.

    :param path: names of directories and of the file.
    :returns: the file or directory, None if it is not there.
    :raises ImageInvalid: a directory on the way is broken.
    """
    found, first = None, 0
    for name in path:
        if found is not None and not found.is_directory:
            return None
        found = next((entry for entry in _entries(disk, system, first)
                      if name.casefold() in entry.names), None)
        if found is None:
            return None
        first = found.first_cluster
    return found


def read(disk: image_disk.Disk, system: FileSystem,
         entry: fat_directory.Entry, length: int) -> bytes:
    """Return the beginning of a file.

    :param length: at most so many bytes.
    :raises ImageInvalid: its chain is broken.
    """
    length = min(length, entry.size)
    if not length:
        return b''
    return _content(disk, system, entry.first_cluster, length)
