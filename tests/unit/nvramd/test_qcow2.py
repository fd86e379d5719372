# SPDX-License-Identifier: Apache-2.0
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

from nova_armvm import exception
from nova_armvm.nvramd import qcow2
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images

QEMU_IMG = shutil.which('qemu-img')
FLASH_SIZE = 64 * 1024 * 1024
KIB = 1024
CLUSTER = 64 * KIB


class Volume:
    """Bytes in memory that count how often they are read."""

    def __init__(self, content):
        self.content = content
        self.reads = []

    def read_at(self, offset, length):
        self.reads.append((offset, length))
        return self.content[offset:offset + length]


def header(version=3, backing=0, cluster_bits=16, size=FLASH_SIZE,
           encryption=0, l1_entries=1, l1_offset=CLUSTER, features=0,
           magic=b'QFI\xfb'):
    return struct.pack('>4sIQIIQIIQQIIQQQQII', magic, version, backing, 0,
                       cluster_bits, size, encryption, l1_entries, l1_offset,
                       0, 0, 0, 0, features, 0, 0, 4, 104)


def image(l1=(2 * CLUSTER,), l2=(), clusters=(), **fields):
    """Return header, L1, L2 and data clusters, one after the other."""
    parts = (header(**fields), struct.pack(f'>{len(l1)}Q', *l1),
             struct.pack(f'>{len(l2)}Q', *l2).ljust(CLUSTER, b'\0'),
             *clusters)
    return b''.join(part.ljust(CLUSTER, b'\0') for part in parts)


def reader(content):
    return qcow2.Qcow2Reader(Volume(content).read_at)


class MagicTest(unittest.TestCase):

    def test_image_is_known_by_its_first_bytes(self):
        self.assertTrue(qcow2.has_magic(header()))
        for head in b'', b'QFI', bytes(512), b'QFI\xfa', b'\xff' * 512:
            self.assertFalse(qcow2.has_magic(head))


class ReaderTest(unittest.TestCase):

    def test_clusters_are_found_and_the_others_are_zeros(self):
        found = reader(image(l2=(0, 3 * CLUSTER, 0, 4 * CLUSTER),
                             clusters=(b'b' * CLUSTER, b'd' * CLUSTER)))
        self.assertEqual(FLASH_SIZE, found.virtual_size)
        self.assertEqual(
            bytes(CLUSTER) + b'b' * CLUSTER + bytes(CLUSTER) +
            b'd' * CLUSTER + bytes(CLUSTER), found.read(0, 5 * CLUSTER))

    def test_any_range_is_cut_out_exactly(self):
        clusters = [random.Random(each).randbytes(CLUSTER)
                    for each in range(3)]
        found = reader(image(l2=[(5 - each) * CLUSTER for each in range(3)],
                             clusters=clusters))
        whole = b''.join(reversed(clusters)) + bytes(CLUSTER)
        self.assertEqual(whole, found.read(0, len(whole)))
        chance = random.Random(3)
        for _each in range(100):
            start = chance.randrange(len(whole))
            size = chance.randrange(len(whole) - start + 1)
            self.assertEqual(whole[start:start + size],
                             found.read(start, size))

    def test_nothing_is_read_beyond_the_end(self):
        found = reader(image(size=CLUSTER + 512))
        self.assertEqual(CLUSTER + 512, len(found.read(0, FLASH_SIZE)))
        self.assertEqual(12, len(found.read(CLUSTER + 500, 100)))
        self.assertEqual(b'', found.read(CLUSTER + 512, 1))
        self.assertEqual(b'', found.read(1 << 70, 1))

    def test_image_without_any_table_is_all_zeros(self):
        self.assertEqual(bytes(FLASH_SIZE),
                         reader(image(l1=(0,))).read(0, FLASH_SIZE))

    def test_zero_flag_hides_what_lies_there(self):
        found = reader(image(l2=(3 * CLUSTER | 1,),
                             clusters=(b'x' * CLUSTER,)))
        self.assertEqual(bytes(CLUSTER), found.read(0, CLUSTER))

    def test_version_two_is_read(self):
        found = reader(image(version=2, features=0xFF, l2=(3 * CLUSTER,),
                             clusters=(b'x' * CLUSTER,)))
        self.assertEqual(b'x' * CLUSTER, found.read(0, CLUSTER))

    def test_image_that_was_not_closed_is_read(self):
        self.assertEqual(FLASH_SIZE, reader(image(features=1)).virtual_size)

    def test_neighbours_are_read_at_once(self):
        count = 12
        volume = Volume(image(
            l2=[(3 + each) * CLUSTER | 1 << 63 for each in range(count)],
            clusters=[bytes([each]) * CLUSTER for each in range(count)]))
        found = qcow2.Qcow2Reader(volume.read_at)
        self.assertEqual(count * CLUSTER,
                         len(found.read(0, varstore.READ_SIZE)))
        # Header, two tables, and everything else.
        self.assertEqual(4, len(volume.reads))


class HostileImageTest(unittest.TestCase):

    def assert_invalid(self, content, reason):
        with self.assertRaisesRegex(exception.StoreImageInvalid, reason):
            reader(content).read(0, FLASH_SIZE)

    def test_header_is_not_one_of_ours(self):
        for reason, fields in (
                ('does not begin', {'magic': b'QFI\0'}),
                ('version 1', {'version': 1}),
                ('version 4', {'version': 4}),
                ('backing', {'backing': 512}),
                ('encrypted', {'encryption': 2}),
                ('size is impossible', {'cluster_bits': 8}),
                ('size is impossible', {'cluster_bits': 22}),
                ('size is impossible', {'cluster_bits': 0xFFFFFFFF}),
                ('size is impossible', {'size': 0}),
                ('size is impossible', {'size': FLASH_SIZE + 1}),
                ('size is impossible', {'size': 1 << 63}),
                ('too short', {'l1_entries': 0}),
                ('impossible place', {'l1_offset': 0}),
                ('impossible place', {'l1_offset': CLUSTER + 8}),
                ('beyond the volume', {'l1_offset': 1 << 63})):
            with self.subTest(fields):
                self.assert_invalid(image(**fields), reason)

    def test_features_that_change_the_reading_are_refused(self):
        for bit in range(1, 64):
            self.assert_invalid(image(features=1 << bit), 'features')

    def test_image_is_cut_short(self):
        content = image(l2=(3 * CLUSTER,), clusters=(b'x' * CLUSTER,))
        for size in (4, 71, 103, CLUSTER, 2 * CLUSTER + 8,
                     3 * CLUSTER, 4 * CLUSTER - 1):
            self.assert_invalid(content[:size],
                                'beyond the volume|does not begin')

    def test_places_in_tables_are_impossible(self):
        for l1 in (2 * CLUSTER + 512, 2 * CLUSTER | 1 << 56,
                   2 * CLUSTER | 1 << 62, 2 * CLUSTER | 1):
            self.assert_invalid(image(l1=(l1,)), 'impossible place')
        for l2 in (3 * CLUSTER + 512, 3 * CLUSTER | 1 << 60,
                   3 * CLUSTER | 2):
            self.assert_invalid(image(l2=(l2,)), 'impossible place')
        self.assert_invalid(image(l2=(1 << 55,)), 'beyond the volume')
        self.assert_invalid(image(l1=(1 << 55,)), 'beyond the volume')

    def test_compressed_cluster_is_refused(self):
        self.assert_invalid(image(l2=(1 << 62 | 3 * CLUSTER,)), 'compressed')

    def test_tables_that_name_each_other_end(self):
        volume = Volume(image(l1=(CLUSTER,), size=8 * CLUSTER))
        found = qcow2.Qcow2Reader(volume.read_at)
        self.assertEqual(8 * CLUSTER, len(found.read(0, FLASH_SIZE)))
        self.assertLess(len(volume.reads), 16)

    def test_smallest_clusters_do_not_make_endless_tables(self):
        volume = Volume(header(cluster_bits=9, l1_entries=2048,
                               l1_offset=512).ljust(64 * KIB, b'\0'))
        found = qcow2.Qcow2Reader(volume.read_at)
        self.assertEqual(bytes(FLASH_SIZE), found.read(0, FLASH_SIZE))
        self.assertEqual([(0, 104), (512, 2048 * 8)], volume.reads)

    def test_no_mutation_ends_in_anything_but_bytes_or_its_error(self):
        content = image(l2=[(3 + each) * CLUSTER for each in range(4)],
                        clusters=[b'x' * CLUSTER] * 4)
        chance = random.Random(4)
        for _each in range(300):
            mutated = bytearray(content)
            for _change in range(chance.randint(1, 4)):
                base = chance.choice((0, CLUSTER, 2 * CLUSTER))
                mutated[base + chance.randrange(104)] = chance.choice(
                    (0, 1, 0x40, 0x80, 0xFF, chance.randrange(256)))
            try:
                found = reader(bytes(mutated)).read(0, varstore.READ_SIZE)
            except exception.StoreImageInvalid:
                continue
            self.assertLessEqual(len(found), varstore.READ_SIZE)


@unittest.skipUnless(QEMU_IMG, 'qemu-img is not installed')
class QemuImageTest(unittest.TestCase):
    """Images that QEMU's own tools made."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.raw = os.path.join(scratch.name, 'raw')
        self.image = os.path.join(scratch.name, 'image')

    def qemu_img(self, *arguments):
        subprocess.run([QEMU_IMG, *arguments], check=True,
                       capture_output=True)

    def put(self, flash):
        with open(self.raw, 'wb') as stream:
            stream.write(flash)
            stream.truncate(FLASH_SIZE)

    def volume(self):
        with open(self.image, 'rb') as stream:
            # A volume is longer than the image on it.
            return Volume(stream.read() + bytes(4 * 1024 * KIB))

    def test_store_is_read_as_it_was_seeded(self):
        self.put(images.real('natural'))
        self.qemu_img('create', '-q', '-f', 'qcow2', '-o',
                      'preallocation=metadata,cluster_size=65536',
                      self.image, str(FLASH_SIZE))
        self.qemu_img('convert', '-n', '--target-is-zero', '-O', 'qcow2',
                      self.raw, self.image)
        volume = self.volume()
        self.assertTrue(qcow2.has_magic(volume.content[:512]))
        found = qcow2.Qcow2Reader(volume.read_at)
        self.assertEqual(FLASH_SIZE, found.virtual_size)
        self.assertEqual(images.real('natural'),
                         found.read(0, varstore.READ_SIZE))
        self.assertLessEqual(len(volume.reads), 5)
        self.assertEqual(bytes(CLUSTER),
                         found.read(FLASH_SIZE - CLUSTER, CLUSTER))

    def test_every_size_of_cluster_and_both_versions_are_read(self):
        flash = images.real('interrupted')
        self.put(flash)
        for options in ('cluster_size=512', 'cluster_size=4096,compat=0.10',
                        'cluster_size=2M', 'compat=1.1,lazy_refcounts=on'):
            with self.subTest(options):
                self.qemu_img('convert', '-O', 'qcow2', '-o', options,
                              self.raw, self.image)
                found = qcow2.Qcow2Reader(self.volume().read_at)
                self.assertEqual(flash, found.read(0, len(flash)))

    def test_what_stores_do_not_have_is_refused(self):
        self.put(images.real('natural'))
        other = self.image + '.raw'
        self.qemu_img('create', '-q', '-f', 'raw', other, str(FLASH_SIZE))
        for options in (
                ('-o', 'extended_l2=on'), ('-o', 'compression_type=zstd'),
                ('-o', f'data_file={other}'), ('-b', other, '-F', 'raw')):
            with self.subTest(options):
                self.qemu_img('create', '-q', '-f', 'qcow2', *options,
                              self.image, str(FLASH_SIZE))
                with self.assertRaises(exception.StoreImageInvalid):
                    qcow2.Qcow2Reader(self.volume().read_at)

    def test_compressed_image_is_refused(self):
        self.put(images.real('natural'))
        self.qemu_img('convert', '-c', '-O', 'qcow2', self.raw, self.image)
        found = qcow2.Qcow2Reader(self.volume().read_at)
        with self.assertRaisesRegex(exception.StoreImageInvalid,
                                    'compressed'):
            found.read(0, varstore.READ_SIZE)
