# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm import exception
from nova_armvm.image import fat
from tests.unit.image import disks

CONTENT = bytes(range(256)) * 20
PATH = ('EFI', 'BOOT', 'BOOTAA64.EFI')
_FILLER = disks.short_entry(b'FILLER     ', 0x20, 0, 0)


def opened(content: bytes, start: int = 0):
    """Return a disk with a file system at some place, and that opened."""
    disk = disks.MemoryDisk(bytes(start) + content)
    return disk, fat.open_at(disk, start, len(content))


class FilesTest(unittest.TestCase):

    def test_each_fat_is_told_and_read(self):
        for bits in (12, 16, 32):
            with self.subTest(bits):
                disk, system = opened(disks.file_system(
                    {disks.BOOT_AA64: CONTENT}, bits).build(), start=4096)
                self.assertEqual(bits, system.bits)
                found = fat.find(disk, system, *PATH)
                self.assertEqual(len(CONTENT), found.size)
                self.assertEqual(CONTENT,
                                 fat.read(disk, system, found, 10 ** 6))

    def test_beginning_of_a_file_costs_no_more_than_that(self):
        content = bytes(200_000)
        disk, system = opened(disks.file_system(
            {disks.BOOT_AA64: content}).build())
        found = fat.find(disk, system, *PATH)
        disk.read = 0
        self.assertEqual(1000, len(fat.read(disk, system, found, 1000)))
        self.assertLess(disk.read, 2000)

    def test_large_sectors_and_clusters(self):
        for sector, per_cluster in ((4096, 1), (512, 8), (1024, 2)):
            disk, system = opened(disks.file_system(
                {disks.BOOT_AA64: CONTENT}, sector=sector,
                per_cluster=per_cluster).build())
            self.assertEqual(CONTENT, fat.read(
                disk, system, fat.find(disk, system, *PATH), 10 ** 6))

    def test_upper_and_lower_case_are_the_same(self):
        disk, system = opened(disks.file_system(
            {disks.BOOT_AA64: CONTENT}).build())
        self.assertIsNotNone(fat.find(disk, system, 'efi', 'Boot',
                                      'bootaa64.efi'))

    def test_what_is_not_there_is_not_found(self):
        disk, system = opened(disks.file_system(
            {disks.BOOT_AA64: CONTENT}).build())
        for path in (('EFI', 'GONE'), ('GONE',), (*PATH, 'X'),
                     ('EFI', 'BOOT', 'BOOTARM.EFI'), ('ESP-A',)):
            with self.subTest(path):
                self.assertIsNone(fat.find(disk, system, *path))

    def test_empty_file_is_empty(self):
        disk, system = opened(disks.file_system(
            {disks.BOOT_AA64: b''}).build())
        self.assertEqual(b'', fat.read(
            disk, system, fat.find(disk, system, *PATH), 100))


class LongNamesTest(unittest.TestCase):

    def find(self, root: bytes, name: str):
        system = disks.Fat(32)
        system.put_root(root)
        disk, opened_system = opened(system.build())
        return fat.find(disk, opened_system, name)

    def test_long_name_is_found_and_the_short_one_too(self):
        short = b'BOOTAA~1EFI'
        root = (disks.long_entries('bootaa64-of-linux.efi', short) +
                disks.short_entry(short, 0x20, 5, 10))
        for name in ('BootAA64-of-Linux.EFI', 'BOOTAA~1.EFI'):
            self.assertIsNotNone(self.find(root, name), name)

    def test_name_of_exactly_whole_pieces(self):
        short = b'A~1        '
        name = 'x' * 26
        root = (disks.long_entries(name, short) +
                disks.short_entry(short, 0x20, 5, 10))
        self.assertIsNotNone(self.find(root, name))

    def test_long_name_of_another_file_does_not_count(self):
        root = (disks.long_entries('wanted.efi', b'OTHER~1 EFI') +
                disks.short_entry(b'SHORT   EFI', 0x20, 5, 10))
        self.assertIsNone(self.find(root, 'wanted.efi'))
        self.assertIsNotNone(self.find(root, 'short.efi'))

    def test_pieces_in_a_wrong_order_do_not_count(self):
        short = b'WANTED~1EFI'
        pieces = disks.long_entries('a-long-name-that-is-wanted.efi', short)
        root = (pieces[32:] + pieces[:32] +
                disks.short_entry(short, 0x20, 5, 10))
        self.assertIsNone(self.find(root, 'a-long-name-that-is-wanted.efi'))

    def test_deleted_files_are_gone(self):
        root = b'\xe5' + disks.short_entry(b'GONE    EFI', 0x20, 5, 10)[1:]
        self.assertIsNone(self.find(root, 'gone.efi'))

    def test_nothing_stands_behind_the_end(self):
        root = bytes(32) + disks.short_entry(b'GHOST   EFI', 0x20, 5, 10)
        self.assertIsNone(self.find(root, 'ghost.efi'))


class BrokenTest(unittest.TestCase):

    def broken(self, content: bytes, *path: str) -> str:
        with self.assertRaises(exception.ImageInvalid) as caught:
            disk, system = opened(content)
            found = fat.find(disk, system, *(path or PATH))
            fat.read(disk, system, found, 10 ** 6)
        return str(caught.exception)

    def test_no_file_system(self):
        for content in (b'', bytes(512), bytes(100_000)):
            self.broken(content)

    def test_boot_sectors_that_cannot_be(self):
        system = disks.file_system({disks.BOOT_AA64: CONTENT})
        for changed in ({'sector': 0}, {'sector': 500}, {'sector': 8192},
                        {'per_cluster': 0}, {'per_cluster': 3},
                        {'reserved': 0}, {'tables': 0}, {'tables': 9},
                        {'table_sectors': 0}, {'table_sectors': 1},
                        {'table_sectors': 2 ** 32 - 1},
                        {'total': 0}, {'total': 2 ** 32 - 1},
                        {'root_entries': 65535}):
            with self.subTest(changed):
                self.broken(system.build(**changed))

    def test_file_system_larger_than_its_partition(self):
        content = disks.file_system({disks.BOOT_AA64: CONTENT}).build()
        self.assertIn('partition', self.broken(content[:-512]))

    def test_root_that_is_nowhere(self):
        system = disks.file_system({disks.BOOT_AA64: CONTENT})
        for root in (0, 1, 10 ** 6):
            self.broken(system.build(root=root))

    def test_chain_that_goes_in_circles(self):
        for bits in (12, 16, 32):
            with self.subTest(bits):
                system = disks.file_system({disks.BOOT_AA64: CONTENT}, bits)
                # What was stored first lies there.
                file = 3 if bits == 32 else 2
                system.table[file] = file
                self.assertIn('without an end',
                              self.broken(system.build()))

    def test_chain_that_leads_nowhere(self):
        for target in (0, 1, 4000, 0x0ffffff7):
            with self.subTest(target):
                system = disks.file_system({disks.BOOT_AA64: CONTENT})
                system.table[3] = target
                self.assertIn('leads nowhere', self.broken(system.build()))

    def test_full_directory_ends_with_its_chain(self):
        system = disks.Fat(32)
        system.put_root(_FILLER * 16)
        disk, opened_system = opened(system.build())
        self.assertIsNone(fat.find(disk, opened_system, *PATH))

    def test_directory_that_is_too_large_is_given_up(self):
        system = disks.Fat(32, per_cluster=2)
        system.put_root(_FILLER * 32)
        system.table[system.root] = system.store(_FILLER * 65536)
        self.assertIn('too large', self.broken(system.build()))

    def test_directory_without_an_end_is_given_up(self):
        system = disks.Fat(32)
        system.put_root(_FILLER * 16)
        system.table[system.root] = system.root
        self.broken(system.build())
