# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess
import tempfile
import unittest

from nova_armvm import exception
from nova_armvm.nvram import qcow2
from nova_armvm.nvram import seed

FLASH = 768 * 1024


class MemoryVolume:
    """A volume in memory; dies after a number of writes when told to."""

    def __init__(self, content=b'', writes=None):
        self.content = bytearray(4 * 1024 * 1024)
        self.content[:len(content)] = content
        self.writes_left = writes

    def read_at(self, offset, length):
        return bytes(self.content[offset:offset + length])

    def write_at(self, offset, content):
        if self.writes_left is not None:
            if not self.writes_left:
                raise OSError('the volume is gone')
            self.writes_left -= 1
        self.content[offset:offset + len(content)] = content

    def flush(self):
        pass


@unittest.skipUnless(shutil.which('qemu-img'), 'needs qemu-img')
class SeedTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = scratch.name
        self.builder = seed.SeedBuilder(os.path.join(self.top, 'seeds'))
        self.template = os.path.join(self.top, 'VARS.fd')
        self.put_template(b'variables' + bytes(FLASH - 9))

    def put_template(self, content):
        with open(self.template, 'wb') as stream:
            stream.write(content)

    def made(self, form='raw'):
        return self.builder.seed_for(self.template, form)

    def flash(self, volume):
        return qcow2.Qcow2Reader(volume.read_at).read(0, FLASH)

    def test_guest_sees_the_template(self):
        volume = MemoryVolume()
        seed.write(self.made(), volume)
        self.assertEqual(b'variables' + bytes(FLASH - 9), self.flash(volume))

    def test_flash_has_the_templates_size(self):
        volume = MemoryVolume()
        seed.write(self.made(), volume)
        self.assertEqual(FLASH, qcow2.Qcow2Reader(
            volume.read_at).virtual_size)
        self.assertEqual(FLASH, self.builder.flash_size(self.template,
                                                        'raw'))

    def test_variable_writes_leave_the_metadata_alone(self):
        self.put_template(bytes(FLASH))
        volume = MemoryVolume()
        seed.write(self.made(), volume)
        image = os.path.join(self.top, 'image')
        with open(image, 'wb') as stream:
            stream.write(volume.content)
        # A raw copy of every cluster that QEMU says holds metadata.
        before = bytes(volume.content[:5 * seed.CLUSTER_SIZE])
        subprocess.run(
            ['qemu-io', '-f', 'qcow2', '-c', 'write -P 0x55 0 64k', '-c',
             'write -P 0x55 700k 4k', image], check=True,
            capture_output=True)
        with open(image, 'rb') as stream:
            self.assertEqual(before, stream.read(len(before)))

    def test_template_in_qcow2_is_understood(self):
        other = os.path.join(self.top, 'VARS.qcow2')
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2',
                        self.template, other], check=True)
        volume = MemoryVolume()
        seed.write(self.builder.seed_for(other, 'qcow2'), volume)
        self.assertEqual(b'variables' + bytes(FLASH - 9), self.flash(volume))

    def test_new_volume_is_not_seeded_and_a_seeded_one_is(self):
        volume = MemoryVolume()
        self.assertFalse(seed.is_seeded(volume))
        seed.write(self.made(), volume)
        self.assertTrue(seed.is_seeded(volume))

    def test_death_at_any_write_leaves_no_half_store(self):
        made = self.made()
        for writes in range(len(made.chunks) + 1):
            with self.subTest(writes):
                volume = MemoryVolume(writes=writes)
                self.assertRaises(OSError, seed.write, made, volume)
                self.assertFalse(seed.is_seeded(volume))

    def test_death_while_a_store_is_reset_leaves_no_old_store(self):
        volume = MemoryVolume()
        seed.write(self.made(), volume)
        volume.writes_left = 2
        self.assertRaises(OSError, seed.write, self.made(), volume)
        self.assertFalse(seed.is_seeded(volume))

    def test_what_another_volume_left_behind_is_not_shown(self):
        volume = MemoryVolume(b'secret' * 300000)
        seed.write(self.made(), volume)
        self.assertEqual(b'variables' + bytes(FLASH - 9), self.flash(volume))

    def test_reset_leaves_nothing_that_the_guest_has_written(self):
        volume = MemoryVolume()
        seed.write(self.made(), volume)
        # Where the template is zero, and the seed has nothing to say.
        reader = qcow2.Qcow2Reader(volume.read_at)
        _offset, place, _length = reader.places(FLASH)[-1]
        volume.write_at(place, b'Boot0041')
        self.assertIn(b'Boot0041', self.flash(volume))
        seed.write(self.made(), volume)
        self.assertEqual(b'variables' + bytes(FLASH - 9), self.flash(volume))

    def test_seed_is_made_once_for_a_template(self):
        self.assertIs(self.made(), self.made())

    def test_changed_template_makes_a_new_seed(self):
        first = self.made()
        self.put_template(b'newer' + bytes(FLASH - 5))
        os.utime(self.template, ns=(1, 1))
        self.assertNotEqual(first.checksum, self.made().checksum)

    def test_no_temporary_file_stays(self):
        self.made()
        self.assertEqual([], os.listdir(os.path.join(self.top, 'seeds')))

    def test_template_larger_than_flash_can_be_is_refused(self):
        with open(self.template, 'wb') as stream:
            stream.truncate(seed.FLASH_MAX_BYTES + 1)
        self.assertRaises(exception.StoreImageInvalid, self.made)
