# SPDX-License-Identifier: Apache-2.0
import unittest

import hypothesis
from hypothesis import strategies

from nova_armvm import exception
from nova_armvm.image import check
from tests.unit.image import disks

GOOD = bytes(disks.good())


def outcomes(content: bytes) -> dict[str, str]:
    """Return what is said of IMG-1 to IMG-5."""
    found = check.check(disks.MemoryDisk(content))
    return {finding.id: finding.outcome.value
            for finding in found.findings[:5]}


def reason(content: bytes, requirement: str) -> str:
    found = check.check(disks.MemoryDisk(content))
    return next(finding.reason for finding in found.findings
                if finding.id == requirement)


def with_files(files: dict[bytes, bytes], bits: int = 32) -> bytes:
    return bytes(disks.image(disks.file_system(files, bits).build()))


class ComplianceTest(unittest.TestCase):

    def test_good_image_passes_everything_that_can_be_judged(self):
        found = check.check(disks.MemoryDisk(GOOD))
        self.assertTrue(found.compliant)
        self.assertEqual(['pass'] * 5 + ['not judged'] * 4, [
            finding.outcome.value for finding in found.findings])
        self.assertEqual(('aarch64',), found.architectures)

    def test_good_image_for_aarch32(self):
        found = check.check(disks.MemoryDisk(with_files(
            {disks.BOOT_ARM: disks.program(0x1c2, plus=False)})))
        self.assertTrue(found.compliant)
        self.assertEqual(('aarch32',), found.architectures)

    def test_image_for_both_states(self):
        found = check.check(disks.MemoryDisk(with_files(
            {disks.BOOT_AA64: disks.program(),
             disks.BOOT_ARM: disks.program(0x1c2, plus=False)})))
        self.assertEqual(('aarch64', 'aarch32'), found.architectures)

    def test_sectors_of_4096_bytes(self):
        content = disks.image(
            disks.file_system({disks.BOOT_AA64: disks.program()},
                              sector=4096).build(), 4096, 16 * disks.MIB)
        self.assertIn('4096', reason(content, 'IMG-1'))
        self.assertEqual({'pass'}, set(outcomes(content).values()))

    def test_older_fats_are_a_warning(self):
        for bits in (12, 16):
            content = with_files({disks.BOOT_AA64: disks.program()}, bits)
            self.assertEqual('warning', outcomes(content)['IMG-3'])
            self.assertIn(f'FAT{bits}', reason(content, 'IMG-3'))
            self.assertTrue(check.check(
                disks.MemoryDisk(content)).compliant)

    def test_second_copy_of_the_table_is_a_warning(self):
        content = bytearray(GOOD)
        content[512 + 16] ^= 1
        self.assertEqual('warning', outcomes(content)['IMG-1'])

    def test_of_several_partitions_the_one_that_boots_counts(self):
        system = disks.file_system({disks.BOOT_AA64: disks.program()}).build()
        empty = disks.Fat(32).build()
        content = disks.gpt(
            [disks.Partition(2048, 2048 + len(empty) // 512 - 1),
             disks.Partition(8192, 8192 + len(system) // 512 - 1)],
            8 * disks.MIB)
        content[2048 * 512:2048 * 512 + len(empty)] = empty
        content[8192 * 512:8192 * 512 + len(system)] = system
        self.assertEqual({'pass'}, set(outcomes(content).values()))
        self.assertEqual('partition 2', reason(content, 'IMG-2'))

    def test_report_is_told_to_programs_as_well(self):
        told = check.check(disks.MemoryDisk(GOOD), 'qcow2').as_dict()
        self.assertEqual('qcow2', told['container'])
        self.assertIs(True, told['compliant'])
        self.assertEqual(
            {'id': 'IMG-2', 'outcome': 'pass', 'reason': 'partition 1'},
            told['findings'][1])


class FailureTest(unittest.TestCase):

    def fails(self, content: bytes, requirement: str) -> str:
        """The requirement is broken, and what builds on it not reached."""
        found = outcomes(content)
        self.assertEqual('fail', found[requirement], found)
        number = int(requirement[-1])
        for later in range(number + 1, 6):
            self.assertEqual('not reached', found[f'IMG-{later}'])
        self.assertFalse(check.check(disks.MemoryDisk(content)).compliant)
        return reason(content, requirement)

    def test_no_partition_table(self):
        self.fails(bytes(disks.MIB), 'IMG-1')

    def test_no_system_partition(self):
        content = disks.gpt([disks.Partition(2048, 4095, disks.LINUX)])
        self.assertIn('none of its 1', self.fails(content, 'IMG-2'))

    def test_no_file_system(self):
        content = disks.gpt([disks.Partition(2048, 4095)])
        self.assertIn('no FAT', self.fails(content, 'IMG-3'))

    def test_no_boot_program(self):
        told = self.fails(with_files({b'GRUBAA64EFI': disks.program()}),
                          'IMG-4')
        self.assertIn('BOOTAA64.EFI', told)
        self.assertIn('BOOTARM.EFI', told)

    def test_directory_of_that_name_is_no_program(self):
        system = disks.Fat(32)
        boot = system.store(disks.short_entry(disks.BOOT_AA64, 0x10, 0, 0))
        efi = system.store(disks.short_entry(b'BOOT       ', 0x10, boot, 0))
        system.put_root(disks.short_entry(b'EFI        ', 0x10, efi, 0))
        self.fails(disks.image(system.build()), 'IMG-4')

    def test_broken_directory(self):
        system = disks.Fat(32)
        system.put_root(disks.short_entry(b'EFI        ', 0x10, 1, 0))
        self.assertIn('chain', self.fails(disks.image(system.build()),
                                          'IMG-4'))

    def test_program_for_another_machine(self):
        told = self.fails(with_files(
            {disks.BOOT_AA64: disks.program(0x8664)}), 'IMG-5')
        self.assertIn('x86-64', told)

    def test_programs_under_each_others_names(self):
        told = self.fails(with_files(
            {disks.BOOT_AA64: disks.program(0x1c2, plus=False),
             disks.BOOT_ARM: disks.program()}), 'IMG-5')
        self.assertIn('BOOTAA64.EFI: PE32 for ARM (Thumb)', told)

    def test_what_is_no_program(self):
        self.assertIn('no PE program', self.fails(with_files(
            {disks.BOOT_AA64: b'#!/bin/sh\n'}), 'IMG-5'))

    def test_one_good_program_is_enough_and_the_other_a_warning(self):
        content = with_files({disks.BOOT_AA64: disks.program(),
                              disks.BOOT_ARM: b'none'})
        self.assertEqual('warning', outcomes(content)['IMG-5'])


class HostileTest(unittest.TestCase):

    def look(self, content: bytes) -> None:
        disk = disks.MemoryDisk(content)
        try:
            self.assertEqual(9, len(check.check(disk).findings))
        except exception.ImageError:
            pass
        self.assertLess(disk.read, 4 * disks.MIB)

    @hypothesis.given(strategies.binary(max_size=4096))
    def test_any_bytes(self, content):
        self.look(content)

    @hypothesis.given(strategies.lists(strategies.tuples(
        strategies.one_of(
            strategies.integers(446, 1200),
            strategies.integers(disks.MIB, disks.MIB + 128),
            strategies.integers(disks.MIB + 32 * 512,
                                disks.MIB + 32 * 512 + 64),
            strategies.integers(disks.MIB, disks.MIB + 60_000)),
        strategies.integers(0, 255)), min_size=1, max_size=8))
    @hypothesis.settings(deadline=None)
    def test_any_change_of_a_good_image(self, changes):
        content = bytearray(GOOD)
        for place, value in changes:
            content[place] = value
        self.look(bytes(content))

    def test_size_of_an_image_does_not_matter(self):
        class Huge(disks.MemoryDisk):
            """A disk of 10 TiB with a good beginning."""

            def __init__(self):
                super().__init__(GOOD)
                self.size = 10 * 1024 ** 4

            def read_at(self, offset, length):
                self.read += length
                return GOOD[offset:offset + length].ljust(length, b'\0')
        disk = Huge()
        self.assertTrue(check.check(disk).compliant)
        self.assertLess(disk.read, 100_000)
