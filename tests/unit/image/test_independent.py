# SPDX-License-Identifier: Apache-2.0
"""Disks made by the tools that people make disks with."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from nova_armvm.image import check
from nova_armvm.image import container
from nova_armvm.image import report
from tests.unit.image import disks

_TOOLS = ('sgdisk', 'mkfs.vfat', 'mmd', 'mcopy')
_PATH = f'{os.environ["PATH"]}:/usr/sbin:/sbin'


@unittest.skipUnless(all(shutil.which(tool, path=_PATH) for tool in _TOOLS),
                     f'not installed: one of {", ".join(_TOOLS)}')
class ToolsTest(unittest.TestCase):

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def run_tool(self, *command) -> None:
        subprocess.run(command, check=True, capture_output=True, env={
            'PATH': _PATH, 'MTOOLS_SKIP_CHECK': '1'})

    def make(self, bits: int, size: int) -> pathlib.Path:
        """Return a disk with a boot program of 300 KiB in its ESP."""
        esp = self.directory / 'esp'
        program = self.directory / 'program'
        program.write_bytes(disks.program().ljust(300 * 1024, b'x'))
        with open(esp, 'wb') as stream:
            stream.truncate(size)
        self.run_tool('mkfs.vfat', '-F', str(bits), esp)
        self.run_tool('mmd', '-i', esp, '::/EFI', '::/EFI/BOOT',
                      '::/A Directory with a Long Name')
        for number in range(40):
            self.run_tool('mcopy', '-i', esp, program if number == 39 else
                          '/etc/hostname', '::/EFI/BOOT/' + (
                              'BOOTAA64.EFI' if number == 39 else
                              f'another long file name {number}.txt'))
        return self.partition(esp)

    def partition(self, esp: pathlib.Path) -> pathlib.Path:
        """Return a disk with some other partition before an ESP."""
        disk, size = self.directory / 'disk', esp.stat().st_size
        with open(disk, 'wb') as stream:
            stream.truncate(size + 4 * disks.MIB)
        self.run_tool('sgdisk', '--new', '1:2048:+1M', '--new',
                      f'2:6144:+{size // 512}', '--typecode', '2:ef00', disk)
        with open(disk, 'r+b') as stream:
            stream.seek(6144 * 512)
            stream.write(esp.read_bytes())
        return disk

    def check(self, path: pathlib.Path) -> report.Report:
        with container.opened(str(path)) as image:
            return check.check(image.disk, image.format)

    def test_each_fat(self):
        for bits, size in ((12, 4), (16, 32), (32, 64)):
            with self.subTest(bits):
                found = self.check(self.make(bits, size * disks.MIB))
                self.assertTrue(found.compliant, found)
                self.assertIn(f'FAT{bits} on partition 2',
                              found.findings[2].reason)

    def test_small_file_system_that_is_called_fat32(self):
        esp = self.directory / 'esp'
        with open(esp, 'wb') as stream:
            stream.truncate(8 * disks.MIB)
        self.run_tool('mkfs.vfat', '-F', '32', '-s', '1', esp)
        found = self.check(self.partition(esp))
        self.assertEqual('FAT32 on partition 2', found.findings[2].reason)
        # Empty, but read to its end.
        self.assertIn('neither', found.findings[3].reason)

    def test_the_same_in_qcow2(self):
        disk = self.make(32, 64 * disks.MIB)
        for options in (('-c',), ('-c', '-o', 'compression_type=zstd')):
            packed = self.directory / 'packed'
            self.run_tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2',
                          *options, disk, packed)
            found = self.check(packed)
            self.assertTrue(found.compliant, found)
            self.assertEqual('qcow2', found.container)
