# SPDX-License-Identifier: Apache-2.0
import os
import tempfile
import unittest

from nova_armvm import exception
from nova_armvm.image import source
from tests.unit.image import disks


class FileSourceTest(unittest.TestCase):

    def test_file_is_read(self):
        with tempfile.NamedTemporaryFile() as stream:
            stream.write(b'0123456789')
            stream.flush()
            with source.FileSource(stream.name) as opened:
                self.assertEqual(10, opened.size)
                self.assertEqual(b'345', opened.read_at(3, 3))
                self.assertEqual(b'89', opened.read_at(8, 10))

    def test_file_that_cannot_be_read_is_told(self):
        with tempfile.NamedTemporaryFile() as stream:
            opened = source.FileSource(stream.name)
            opened.close()
            with self.assertRaises(exception.ImageUnsupported) as caught:
                opened.read_at(0, 1)
            self.assertIn('Bad file descriptor', str(caught.exception))

    def test_what_is_no_plain_file_is_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            pipe = os.path.join(directory, 'pipe')
            os.mkfifo(pipe)
            for path in (directory, pipe, '/dev/zero',
                         os.path.join(directory, 'missing')):
                with self.subTest(path):
                    self.assertRaises(exception.ImageUnsupported,
                                      source.FileSource, path)


class BudgetedTest(unittest.TestCase):

    def setUp(self):
        super().setUp()
        self.content = os.urandom(300_000)
        self.inner = disks.MemoryDisk(self.content)

    def test_everything_is_read_as_it_is(self):
        budgeted = source.Budgeted(self.inner, 10 ** 6)
        for offset, length in ((0, 1), (16383, 2), (100, 200_000),
                               (299_999, 1), (5, 0), (300_000, 0)):
            with self.subTest((offset, length)):
                self.assertEqual(self.content[offset:offset + length],
                                 budgeted.read_at(offset, length))

    def test_nothing_is_read_twice(self):
        budgeted = source.Budgeted(self.inner, 10 ** 6)
        for place in range(1000):
            budgeted.read_at(place * 8, 8)
        self.assertEqual(self.inner.read, budgeted.spent)
        self.assertEqual(16 * 1024, budgeted.spent)

    def test_no_more_is_read_than_is_allowed(self):
        budgeted = source.Budgeted(self.inner, 64 * 1024)
        with self.assertRaises(exception.ImageTooCostly) as caught:
            for place in range(0, 300_000, 10_000):
                budgeted.read_at(place, 10)
        self.assertIn('64 KiB', str(caught.exception))
        self.assertLessEqual(self.inner.read, 64 * 1024)

    def test_absurd_lengths_take_no_memory(self):
        budgeted = source.Budgeted(self.inner, 64 * 1024)
        self.assertRaises(exception.ImageTooCostly, budgeted.read_at, 0,
                          200_000)

    def test_places_outside_are_refused(self):
        budgeted = source.Budgeted(self.inner, 10 ** 6)
        for offset, length in ((-1, 1), (300_000, 1), (10 ** 30, 5),
                               (299_999, 2)):
            with self.subTest((offset, length)):
                self.assertRaises(exception.ImageInvalid, budgeted.read_at,
                                  offset, length)

    def test_file_that_shrinks_is_found_out(self):
        class Shrunk(disks.MemoryDisk):
            def read_at(self, offset, length):
                return super().read_at(offset, length)[:100]
        budgeted = source.Budgeted(Shrunk(self.content), 10 ** 6)
        self.assertRaises(exception.ImageInvalid, budgeted.read_at, 0, 200)
