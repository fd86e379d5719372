# SPDX-License-Identifier: Apache-2.0
"""The reader by itself, which trusts no check that was made before it."""
import struct
import unittest
import zlib

import zstandard

from nova_armvm import exception
from nova_armvm.image import qcow2
from tests.unit.image import disks

CLUSTER = 512
L1, L2, FIRST = 1 * CLUSTER, 2 * CLUSTER, 3 * CLUSTER
#: Of a cluster that is compressed.
COMPRESSED = 1 << 62


def file(entry: int = FIRST, content: bytes = b'x' * CLUSTER,
         l1_entry: int = L2, **header: int) -> disks.MemoryDisk:
    """Return a qcow2 file of one cluster, made field by field."""
    fields = {'version': 3, 'backing': 0, 'encryption': 0, 'features': 0,
              'compression': 0, **header}
    head = struct.pack('>4sIQIIQIIQ', b'QFI\xfb', fields['version'],
                       fields['backing'], 0, 9, CLUSTER, fields['encryption'],
                       1, L1)
    head = head.ljust(72, b'\0') + struct.pack('>Q', fields['features'])
    head = head.ljust(100, b'\0') + struct.pack('>IB', 112,
                                                fields['compression'])
    return disks.MemoryDisk(b''.join((
        head.ljust(CLUSTER, b'\0'),
        struct.pack('>Q', l1_entry).ljust(CLUSTER, b'\0'),
        struct.pack('>Q', entry).ljust(CLUSTER, b'\0'), content)))


def first_cluster(source: disks.MemoryDisk) -> bytes:
    return qcow2.open_disk(source).read_at(0, CLUSTER)


class ReadTest(unittest.TestCase):

    def test_cluster(self):
        self.assertEqual(b'x' * CLUSTER, first_cluster(file()))

    def test_cluster_within_which_the_file_ends(self):
        self.assertEqual(b'end'.ljust(CLUSTER, b'\0'),
                         first_cluster(file(content=b'end')))

    def test_cluster_of_a_table_that_is_not_there(self):
        self.assertEqual(bytes(CLUSTER), first_cluster(file(l1_entry=0)))

    def test_bit_for_zeros_is_none_of_version_2(self):
        self.assertEqual(bytes(CLUSTER), first_cluster(file(FIRST | 1)))
        self.assertEqual(b'x' * CLUSTER,
                         first_cluster(file(FIRST | 1, version=2)))


class RefusalTest(unittest.TestCase):

    def refused(self, **header: int) -> str:
        with self.assertRaises(exception.ImageUnsupported) as caught:
            first_cluster(file(**header))
        return str(caught.exception)

    def test_what_names_another_file(self):
        self.assertIn('backing file', self.refused(backing=4096))
        self.assertIn('data file', self.refused(features=1 << 2))

    def test_what_nobody_here_can_read(self):
        self.assertIn('encryption', self.refused(encryption=1))
        self.assertIn('extended L2', self.refused(features=1 << 4))
        self.assertIn('unknown compression', self.refused(compression=2))


class BrokenTest(unittest.TestCase):

    def broken(self, *arguments, **named) -> str:
        with self.assertRaises(exception.ImageInvalid) as caught:
            first_cluster(file(*arguments, **named))
        return str(caught.exception)

    def test_other_version(self):
        self.assertIn('version', self.broken(version=4))

    def test_file_that_is_marked(self):
        self.assertIn('corrupt', self.broken(features=1 << 1))

    def test_cluster_behind_the_end(self):
        self.assertIn('a cluster lies behind', self.broken(8 * CLUSTER))

    def test_places_between_clusters(self):
        # With clusters of 1 KiB, since an entry counts by 512 bytes.
        for entry, l1_entry, what in ((6 * 512 + 512, 4 * 512, 'a cluster'),
                                      (6 * 512, 4 * 512 + 512, 'a table')):
            head = struct.pack('>4sIQIIQIIQ', b'QFI\xfb', 2, 0, 0, 10, 1024,
                               0, 1, 1024)
            content = b''.join(
                each.ljust(1024, b'\0') for each in (
                    head, struct.pack('>Q', l1_entry),
                    struct.pack('>Q', entry), b'x', b'x'))
            disk = qcow2.open_disk(disks.MemoryDisk(content))
            with self.assertRaises(exception.ImageInvalid) as caught:
                disk.read_at(0, 1)
            self.assertIn(f'{what} lies between', str(caught.exception))

    def test_compressed_cluster_that_is_too_short(self):
        packer = zlib.compressobj(wbits=-12)
        packed = packer.compress(b'short') + packer.flush()
        self.assertIn('too short', self.broken(
            COMPRESSED | FIRST, packed.ljust(CLUSTER, b'\0')))

    def test_compressed_cluster_that_is_none(self):
        for compression in (0, 1):
            with self.subTest(compression):
                self.assertIn('cannot be decompressed', self.broken(
                    COMPRESSED | FIRST, b'\xff' * CLUSTER,
                    compression=compression))

    def test_window_that_is_larger_than_any_cluster(self):
        packed = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters(
                window_log=27)).compressobj().compress(b'x' * 100)
        self.assertIn('cannot be decompressed', self.broken(
            COMPRESSED | FIRST, packed.ljust(CLUSTER, b'\xff'),
            compression=1))
