# SPDX-License-Identifier: Apache-2.0
import errno
import os
import shutil
import subprocess
import tempfile

import testtools

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import legacy
from nova_armvm.nvramd import slots
from nova_armvm.nvramd import whole
from tests.unit.nvramd import edk2
from tests.unit.nvramd import stage
from tests.unit.uefi import flash_images as images

QEMU_IMG = shutil.which('qemu-img')
CLUSTER = 64 * 1024


def image_of(flash):
    """Return the image that the driver made of a flash before."""
    with tempfile.TemporaryDirectory() as scratch:
        raw, image = (os.path.join(scratch, name) for name in ('raw', 'image'))
        with open(raw, 'wb') as stream:
            stream.write(flash)
            stream.truncate(stage.FLASH)
        for command in (
                ('create', '-q', '-f', 'qcow2', '-o',
                 f'preallocation=metadata,cluster_size={CLUSTER}', image,
                 str(stage.FLASH)),
                ('convert', '-n', '--target-is-zero', '-f', 'raw', '-O',
                 'qcow2', raw, image)):
            subprocess.run([QEMU_IMG, *command], check=True)
        with open(image, 'rb') as stream:
            return stream.read()


def disk_with(image):
    disk = stage.Disk()
    for offset in range(0, len(image), stage.BLOCK):
        block = image[offset:offset + stage.BLOCK]
        if block.strip(b'\0'):
            disk.put(offset, block.ljust(stage.BLOCK, b'\0'))
    disk.writes = 0
    return disk


def convert(disk, instance=stage.INSTANCE):
    return legacy.convert(stage.DiskVolume(disk), instance, 1.0)


def is_image(disk):
    return legacy.is_image(stage.DiskVolume(disk))


@testtools.skipUnless(QEMU_IMG, 'qemu-img is not installed')
class ConvertTest(testtools.TestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        content = bytearray(edk2.empty_store())
        made = edk2.Firmware(content, edk2.EDK2_2025_02,
                             lambda _offset, _content: None)
        made.boot()
        for number in range(9):
            made.set(f'Name{number}', bytes([number]) * 500)
        cls.expected = made.variables()
        cls.flash = bytes(content)
        cls.image = image_of(cls.flash)
        cls.original = disk_with(cls.image)

    def setUp(self):
        super().setUp()
        self.disk = self.original.copy()

    def test_image_becomes_a_log_with_all_variables(self):
        self.assertTrue(is_image(self.disk))
        log = convert(self.disk)
        self.assertFalse(is_image(self.disk))
        self.assertEqual(self.expected, stage.variables(self.disk))
        self.assertEqual(('conversion', stage.FLASH, 1), (
            log.newest.reason, log.newest.flash_size, log.newest.sequence))

    def test_space_of_the_image_is_given_back(self):
        for number in range(20, 60):
            # Zeros that a live migration wrote.
            self.disk.put(number * stage.MIB, b'\1' * stage.BLOCK)
        convert(self.disk)
        self.assertEqual([], [
            number for number in self.disk.blocks
            if number * stage.BLOCK >= slots.LOG_BYTES])

    def test_conversion_that_is_done_changes_nothing(self):
        convert(self.disk)
        writes = self.disk.writes
        convert(self.disk)
        self.assertEqual(writes, self.disk.writes)

    def test_the_log_can_be_used_at_once(self):
        log = convert(self.disk)
        epoch = log.claim('host', 2.0)
        log.append(epoch, 'guest', stage.FLASH, b'', 3.0)
        self.assertEqual(b'', stage.newest(self.disk))

    def _interrupted(self, number, torn, instance=stage.INSTANCE):
        """Convert a disk that dies in a write; return whether it did."""
        def die(writes):
            if writes == number:
                raise stage.Died
        self.disk = self.original.copy()
        self.disk.fail, self.disk.torn = die, torn
        try:
            convert(self.disk, instance)
        except stage.Died:
            return True
        finally:
            self.disk.fail = lambda _writes: None
        return False

    def test_at_every_write_torn_or_not_the_store_survives(self):
        number = 0
        while self._interrupted(number, 0):
            for torn in 0, 512, 4096, 64 * 1024:
                self.assertTrue(self._interrupted(number, torn))
                self._check_survived()
            number += 1
        self.assertGreater(number, 12)

    def test_at_every_write_after_an_interruption_it_survives(self):
        number = 0
        while self._interrupted(number, 512):
            survived = self.disk
            # Every third: they are many, and each number has its turn.
            for again in range(number % 3, 40, 3):
                self.disk = survived.copy()
                self._die_at(again)
                self.disk.torn = 512 * (again % 9)
                try:
                    convert(self.disk)
                except stage.Died:
                    self.disk.fail = lambda _writes: None
                    self._check_survived()
                else:
                    break
            number += 2

    def _check_survived(self):
        convert(self.disk)
        self.assertEqual(self.expected, stage.variables(self.disk))
        self.assertFalse(is_image(self.disk))

    def _die_at(self, number):
        def die(writes):
            if writes == number:
                raise stage.Died
        self.disk.writes, self.disk.fail = 0, die

    def test_what_a_guest_wrote_after_an_interruption_counts(self):
        """An older driver was started again meanwhile."""
        number = 0
        while self._interrupted(number, 0) and is_image(self.disk) and (
                self.disk.read_at(0, 4) == b'QFI\xfb'):
            content = bytearray(self.flash)
            made = edk2.Firmware(content, edk2.EDK2_2025_02,
                                 lambda _offset, _content: None)
            made.boot()
            made.set('After', b'%d' % number)
            image = image_of(bytes(content))
            for offset in range(0, len(image), stage.BLOCK):
                if image[offset:offset + stage.BLOCK] != self.image[
                        offset:offset + stage.BLOCK]:
                    self.disk.put(offset, image[offset:offset + stage.BLOCK])
            convert(self.disk)
            self.assertEqual(b'%d' % number,
                             stage.variables(self.disk)['After'])
            number += 1
        self.assertGreater(number, 5)

    def test_interrupted_conversion_belongs_to_its_instance(self):
        number = 0
        while self._interrupted(number, 0):
            if self.disk.read_at(0, 4) != b'QFI\xfb' and is_image(self.disk):
                self.assertRaises(errors.ForeignLog, convert, self.disk,
                                  stage.OTHER)
                return
            number += 1
        self.fail('there is no such point')

    def test_firmware_that_was_cut_short_is_finished(self):
        disk = disk_with(image_of(images.real('interrupted')))
        convert(disk)
        before = whole.canonical_of(images.real('interrupted'))
        self.assertEqual(before, stage.newest(disk))
        self.assertFalse(whole.variables_of(before).write_pending)

    def test_unformatted_image_becomes_an_unformatted_store(self):
        disk = disk_with(image_of(bytes(4096)))
        convert(disk)
        self.assertEqual(b'', stage.newest(disk))

    def test_damaged_image_is_left_alone(self):
        # The first table of clusters.
        self.disk.put(3 * CLUSTER, b'\xa5' * stage.BLOCK)
        blocks = dict(self.disk.blocks)
        self.assertRaises(errors.NotALog, convert, self.disk)
        self.assertEqual(blocks, self.disk.blocks)

    def test_volume_that_is_too_small_is_left_alone(self):
        self.disk.size = legacy.STAGE
        self.assertRaises(errors.VolumeFailed, convert, self.disk)
        self.assertEqual(0, self.disk.writes)

    def test_volume_with_neither_is_refused(self):
        for content in (bytes(4096), b'\xa5' * 4096):
            disk = disk_with(content)
            self.assertFalse(is_image(disk))
            self.assertRaises(errors.NotALog, convert, disk)
            self.assertEqual(0, disk.writes)

    def test_failing_volume_ends_it_until_the_next_time(self):
        def fail(writes):
            if writes > 5:
                raise OSError(errno.EIO, 'Input/output error')
        self.disk.fail = fail
        self.assertRaises(OSError, convert, self.disk)
        self.disk.fail = lambda _writes: None
        convert(self.disk)
        self.assertEqual(self.expected, stage.variables(self.disk))


@testtools.skipUnless(QEMU_IMG, 'qemu-img is not installed')
class ServiceTest(testtools.TestCase):
    """The driver has it converted."""

    def setUp(self):
        super().setUp()
        self.disk = disk_with(image_of(edk2.empty_store()))
        self.host = self.useFixture(stage.Host({'/dev/a': self.disk}))

    def test_from_opening_to_serving(self):
        self.assertEqual('qcow2', self.host.open()['content'])
        self.assertRaises(errors.NotALog, self.host.service.serve,
                          stage.INSTANCE, 'start', 'host-1')
        content = self.host.service.convert(stage.INSTANCE)
        self.assertEqual('log', content['content'])
        self.assertEqual(stage.FLASH, content['flash_size'])
        self.host.service.serve(stage.INSTANCE, 'start', 'host-1')
        self.assertEqual(edk2.empty_store()[:256 * 1024],
                         self.host.service.export(stage.INSTANCE).pread(
                             0, 256 * 1024))

    def test_new_log_over_an_interrupted_conversion(self):
        def die(writes):
            if writes == 14:
                raise stage.Died
        self.disk.fail = die
        self.host.open()
        self.assertRaises(stage.Died, self.host.service.convert,
                          stage.INSTANCE)
        self.disk.fail = lambda _writes: None
        self.host.start()
        self.host.open()
        self.host.service.format(stage.INSTANCE, stage.FLASH, b'', 'rebuild')
        self.disk.put(0, bytes(8192))
        self.assertFalse(is_image(self.disk))
