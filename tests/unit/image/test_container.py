# SPDX-License-Identifier: Apache-2.0
"""Disks in files, made by QEMU's own tool."""
import os
import random
import struct
import subprocess
import tempfile
import unittest

import hypothesis
from hypothesis import strategies

from nova_armvm import exception
from nova_armvm.image import container
from tests.unit.image import disks

_LIMIT = 64 * disks.MIB


class ContainerTestCase(unittest.TestCase):

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.content = self.make_content()
        self.raw = self.path('raw')
        with open(self.raw, 'wb') as stream:
            stream.write(self.content)

    @staticmethod
    def make_content() -> bytes:
        """Return a disk with zeros, repetitions and noise."""
        chance = random.Random(1)
        pieces = [bytes(100_000), b'abc' * 50_000, chance.randbytes(150_000),
                  bytes(2 * disks.MIB), chance.randbytes(3000)]
        content = b''.join(pieces)
        return content.ljust(-(-len(content) // 512) * 512, b'\0')

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def convert(self, *options: str, to='qcow2') -> str:
        """Let qemu-img make another format of the disk."""
        path = self.path('converted')
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', to,
                        *options, self.raw, path], check=True)
        return path

    def unsupported(self, path: str) -> str:
        with self.assertRaises(exception.ImageUnsupported) as caught:
            with container.opened(path):
                pass
        return str(caught.exception)


class ReadTest(ContainerTestCase):

    def assert_reads(self, path: str) -> None:
        chance = random.Random(2)
        with container.opened(path, _LIMIT) as image:
            self.assertEqual(len(self.content), image.disk.size)
            for _time in range(100):
                offset = chance.randrange(len(self.content))
                length = min(chance.choice((1, 512, 70_000)),
                             len(self.content) - offset)
                self.assertEqual(self.content[offset:offset + length],
                                 image.disk.read_at(offset, length))

    def test_raw(self):
        self.assert_reads(self.raw)

    def test_qcow2_as_qemu_makes_it(self):
        for options in ((), ('-c',), ('-o', 'compat=0.10'),
                        ('-c', '-o', 'compression_type=zstd'),
                        ('-o', 'cluster_size=512'),
                        ('-c', '-o', 'cluster_size=512'),
                        ('-o', 'cluster_size=2M'),
                        ('-c', '-o', 'cluster_size=2M'),
                        ('-o', 'preallocation=metadata'),
                        ('-o', 'preallocation=full'), ('-S', '0')):
            with self.subTest(options):
                self.assert_reads(self.convert(*options))

    def test_clusters_that_are_said_to_be_zero(self):
        path = self.convert()
        subprocess.run(['qemu-io', '-f', 'qcow2', '-c',
                        'write -z 131072 65536', path], check=True,
                       stdout=subprocess.DEVNULL)
        self.content = (self.content[:131072] + bytes(65536) +
                        self.content[196608:])
        self.assert_reads(path)

    def test_places_outside_of_the_disk(self):
        with container.opened(self.convert(), _LIMIT) as image:
            for offset, length in ((-1, 1), (image.disk.size, 1)):
                self.assertRaises(exception.ImageInvalid,
                                  image.disk.read_at, offset, length)


class RefusalTest(ContainerTestCase):

    def test_other_format_is_named(self):
        told = self.unsupported(self.convert(to='qed'))
        self.assertIn('qed', told)
        self.assertIn('convert it', told)

    def test_backing_file(self):
        path = self.path('overlay')
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b',
                        self.raw, '-F', 'raw', path], check=True)
        self.assertIn('backing file', self.unsupported(path))

    def test_data_file(self):
        path = self.path('metadata')
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-o',
                        f'data_file={self.path("data")}', path, '1M'],
                       check=True)
        self.assertIn('data file', self.unsupported(path))

    def test_subclusters(self):
        self.assertIn('unknown features', self.unsupported(
            self.convert('-o', 'extended_l2=on')))

    def test_encryption(self):
        path = self.path('encrypted')
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', '--object',
             'secret,id=s,data=secret', '-o',
             'encrypt.format=luks,encrypt.key-secret=s,'
             'encrypt.iter-time=10', path, '1M'], check=True)
        self.assertIn('encryption', self.unsupported(path))

    def test_file_that_is_two_things_at_once(self):
        path = self.convert()
        with open(path, 'r+b') as stream:
            stream.seek(510)
            stream.write(b'\x55\xaa')
        self.assertIn('ambiguous', self.unsupported(path))


class BrokenTest(ContainerTestCase):

    def change(self, offset: int, form: str, value: int) -> str:
        """Return a qcow2 file with one number changed."""
        path = self.convert('-c')
        with open(path, 'r+b') as stream:
            stream.seek(offset)
            stream.write(struct.pack(form, value))
        return path

    def read_all(self, path: str) -> None:
        with container.opened(path, _LIMIT) as image:
            image.disk.read_at(0, min(image.disk.size, disks.MIB))

    def test_headers_that_cannot_be(self):
        for offset, form, value in (
                (20, '>I', 0), (20, '>I', 8), (20, '>I', 31),
                (24, '>Q', 2 ** 63), (24, '>Q', 2 ** 45),
                (36, '>I', 2 ** 32 - 1), (36, '>I', 0),
                (40, '>Q', 2 ** 60), (40, '>Q', 2 ** 63),
                (79, '>B', 2)):
            with self.subTest((offset, value)):
                self.assertRaises(exception.ImageInvalid, self.read_all,
                                  self.change(offset, form, value))

    def test_other_versions_and_compressions(self):
        for offset, form, value in ((4, '>I', 1), (4, '>I', 4),
                                    (104, '>B', 7)):
            with self.subTest((offset, value)):
                self.assertRaises(exception.ImageUnsupported, self.read_all,
                                  self.change(offset, form, value))

    def test_file_that_was_cut_off(self):
        whole = os.path.getsize(self.convert('-c'))
        for size in (512, 70_000, whole - 100_000):
            with self.subTest(size):
                path = self.convert('-c')
                os.truncate(path, size)
                self.assertRaises(exception.ImageError, self.read_all, path)

    def test_cluster_that_unpacks_to_too_much_is_bounded(self):
        path = self.path('bomb')
        with open(self.raw, 'wb') as stream:
            stream.truncate(1024 * disks.MIB)
        with open(self.raw, 'r+b') as stream:
            stream.write(b'a' * 2 * disks.MIB)
        path = self.convert('-c', '-o', 'cluster_size=2M')
        with container.opened(path, 256 * 1024) as image:
            self.assertEqual(b'aaa', image.disk.read_at(5, 3))


class AnyBytesTest(ContainerTestCase):

    def setUp(self):
        super().setUp()
        self.small = {}
        for options in ((), ('-c',), ('-c', '-o', 'compression_type=zstd')):
            with open(self.raw, 'wb') as stream:
                stream.write(b'content' * 1000 + bytes(10_000))
            with open(self.convert('-o', 'cluster_size=512', *options),
                      'rb') as stream:
                self.small[options] = stream.read()

    def look(self, content: bytes) -> None:
        try:
            image = container.look_into(disks.MemoryDisk(content), disks.MIB)
            length = min(image.disk.size, 20_000)
            self.assertEqual(length, len(image.disk.read_at(0, length)))
        except exception.ImageError:
            pass

    def test_any_change_ends_with_content_or_an_error(self):
        @hypothesis.given(
            strategies.sampled_from(sorted(self.small)),
            strategies.lists(strategies.tuples(
                strategies.one_of(strategies.integers(0, 120),
                                  strategies.integers(0, 6000)),
                strategies.integers(0, 255)), min_size=1, max_size=10))
        def change(options, changes):
            content = bytearray(self.small[options])
            for place, value in changes:
                content[place % len(content)] = value
            self.look(bytes(content))
        change()

    def test_any_beginning(self):
        @hypothesis.given(strategies.binary(max_size=2000))
        def look(content):
            self.look(b'QFI\xfb\0\0\0\3' + content)
            self.look(content)
        look()
