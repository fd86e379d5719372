# SPDX-License-Identifier: Apache-2.0
import struct
import unittest
import zlib

from nova_armvm import exception
from nova_armvm.image import gpt
from tests.unit.image import disks


def read(content: bytes) -> gpt.Table:
    return gpt.read(disks.MemoryDisk(content))


class ReadTest(unittest.TestCase):

    def test_partitions_are_found_where_they_are(self):
        table = read(disks.gpt([disks.Partition(100, 199, disks.LINUX),
                                disks.Partition(2048, 2148)]))
        self.assertEqual(
            ((1, disks.LINUX, 51200, 51200),
             (2, gpt.EFI_SYSTEM, 1048576, 51712)),
            tuple((each.number, each.kind, each.offset, each.size)
                  for each in table.partitions))
        self.assertEqual((), table.remarks)

    def test_both_sizes_of_sectors(self):
        for sector in (512, 4096):
            table = read(disks.gpt([disks.Partition(300, 310)],
                                   sector=sector))
            self.assertEqual(sector, table.sector)
            self.assertEqual(300 * sector, table.partitions[0].offset)

    def test_larger_tables_of_other_tools(self):
        table = read(disks.gpt([disks.Partition(1000, 1010)], count=512,
                               entry_size=256))
        self.assertEqual(1, len(table.partitions))

    def test_backup_stands_in_for_a_broken_table(self):
        for place in (512 + 20, 1024 + 5):
            disk = disks.gpt([disks.Partition(100, 199)])
            disk[place] ^= 0xff
            table = read(disk)
            self.assertEqual(1, len(table.partitions))
            self.assertIn('checksum', table.remarks[0])

    def test_backup_stands_in_for_a_missing_table(self):
        disk = disks.gpt([disks.Partition(100, 199)])
        disk[512:1024] = bytes(512)
        table = read(disk)
        self.assertEqual(('the primary table is missing',), table.remarks)


class BrokenTest(unittest.TestCase):

    def broken(self, content: bytes) -> str:
        with self.assertRaises(exception.ImageInvalid) as caught:
            read(content)
        return str(caught.exception)

    def test_empty_disks(self):
        for size in (0, 1, 511, 512, 513, 4096, 10000):
            self.assertIn('no GUID Partition Table',
                          self.broken(bytes(size)))

    def test_master_boot_record_alone_does_not_do(self):
        disk = bytearray(disks.MIB)
        disk[510:512] = b'\x55\xaa'
        self.assertIn('only a master boot record', self.broken(disk))

    def test_both_tables_broken(self):
        disk = disks.gpt([disks.Partition(100, 199)])
        disk[512 + 20] ^= 0xff
        disk[-512 + 20] ^= 0xff
        told = self.broken(disk)
        self.assertIn('primary', told)
        self.assertIn('backup', told)

    def test_header_that_is_not_about_this_disk(self):
        for changed in ({'own': 7}, {'revision': 0x20000},
                        {'header_size': 20}, {'header_size': 100000}):
            with self.subTest(changed):
                self.broken(disks.gpt([disks.Partition(100, 199)],
                                      **changed))

    def test_absurd_numbers_of_entries_are_not_read(self):
        for changed in ({'count': 0}, {'count': 2 ** 32 - 1},
                        {'size': 2 ** 31}, {'size': 0}, {'size': 129}):
            with self.subTest(changed):
                content = disks.gpt([disks.Partition(100, 199)])
                for own in (1, len(content) // 512 - 1):
                    self._forge(content, own, changed)
                disk = disks.MemoryDisk(content)
                self.assertRaises(exception.ImageInvalid, gpt.read, disk)
                self.assertLess(disk.read, 64 * 1024)

    @staticmethod
    def _forge(content: bytearray, own: int, changed: dict) -> None:
        """Change a header and make its checksum right again."""
        begin = own * 512
        fields = list(struct.unpack_from('<8sIIIIQQQQ16sQIII', content,
                                         begin))
        fields[11] = changed.get('count', fields[11])
        fields[12] = changed.get('size', fields[12])
        fields[3] = 0
        raw = struct.pack('<8sIIIIQQQQ16sQIII', *fields)
        fields[3] = zlib.crc32(raw)
        content[begin:begin + 92] = struct.pack('<8sIIIIQQQQ16sQIII', *fields)

    def test_partition_outside_of_the_disk(self):
        for first, last in ((100, 10 ** 9), (200, 100), (0, 10),
                            (100, 8191)):
            with self.subTest((first, last)):
                self.assertIn('partition 1 lies outside', self.broken(
                    disks.gpt([disks.Partition(first, last)])))

    def test_partitions_that_overlap(self):
        self.assertIn('partitions 2 and 1 overlap', self.broken(disks.gpt(
            [disks.Partition(200, 300), disks.Partition(100, 200)])))

    def test_entries_behind_the_end(self):
        disk = disks.gpt([disks.Partition(100, 199)])
        self.broken(disk[:512 * 3])
