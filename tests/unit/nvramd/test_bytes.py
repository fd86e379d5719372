# SPDX-License-Identifier: Apache-2.0
import errno
import os

import fixtures
import testtools

from nova_armvm.nvramd import bytes as volumes
from nova_armvm.nvramd import errors

BLOCK = 4096


class PathVolumeTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.useFixture(fixtures.TempDir()).path,
                                 'volume')
        self._make(64 * BLOCK)
        self.volume = self._open()

    def _make(self, size):
        with open(self.path, 'wb') as stream:
            stream.truncate(size)

    def _open(self, path=None):
        try:
            volume = volumes.PathVolume(path or self.path)
        except errors.VolumeFailed as error:
            if 'O_DIRECT' in str(error):
                self.skipTest(f'not on this file system: {error}')
            raise
        self.addCleanup(volume.close)
        return volume

    def test_what_is_written_is_read_at_any_offset(self):
        content = bytes(range(256)) * 32
        self.volume.write_at(2 * BLOCK, content)
        for offset, length in ((0, 1), (5, 17), (511, 513), (4095, 2),
                               (0, 4096), (1, 8191), (8190, 2)):
            self.assertEqual(content[offset:offset + length],
                             self.volume.read_at(2 * BLOCK + offset, length))

    def test_another_opener_sees_it_at_once(self):
        other = self._open()
        self.assertEqual(bytes(BLOCK), other.read_at(0, BLOCK))
        self.volume.write_at(0, b'\1' * BLOCK)
        self.assertEqual(b'\1' * BLOCK, other.read_at(0, BLOCK))

    def test_what_others_wrote_through_a_cache_is_seen(self):
        with open(self.path, 'r+b') as stream:
            stream.write(b'cached')
        self.assertEqual(b'cached', self.volume.read_at(0, 6))

    def test_it_ends_where_the_volume_ends(self):
        self.assertEqual(64 * BLOCK, self.volume.size)
        self.assertEqual(BLOCK, len(self.volume.read_at(63 * BLOCK,
                                                        5 * BLOCK)))
        self.assertEqual(b'', self.volume.read_at(64 * BLOCK, 1))
        self.assertEqual(b'', self.volume.read_at(1 << 50, BLOCK))
        self.assertEqual(b'', self.volume.read_at(0, 0))

    def test_file_of_an_odd_size(self):
        self._make(64 * BLOCK + 100)
        volume = self._open()
        self.assertEqual(bytes(100), volume.read_at(64 * BLOCK, BLOCK))

    def test_file_never_grows(self):
        self.assertRaises(OSError, self.volume.write_at, 64 * BLOCK,
                          bytes(BLOCK))
        self.assertRaises(OSError, self.volume.write_at, 63 * BLOCK,
                          bytes(2 * BLOCK))
        self.assertEqual(64 * BLOCK, os.path.getsize(self.path))

    def test_file_that_became_shorter_is_an_error(self):
        os.truncate(self.path, 10 * BLOCK)
        self.assertRaises(OSError, self.volume.read_at, 20 * BLOCK, BLOCK)

    def test_only_whole_blocks_are_written(self):
        for offset, length in ((1, BLOCK), (0, 1), (512, 512), (0, 0)):
            error = self.assertRaises(OSError, self.volume.write_at, offset,
                                      bytes(length))
            self.assertEqual(errno.EINVAL, error.errno)

    def test_space_is_given_back(self):
        self.volume.write_at(0, b'\1' * 32 * BLOCK)
        before = os.stat(self.path).st_blocks
        if not self.volume.discard(8 * BLOCK, 16 * BLOCK):
            self.skipTest('not on this file system')
        self.assertLess(os.stat(self.path).st_blocks, before)
        self.assertEqual(bytes(BLOCK), self.volume.read_at(8 * BLOCK, BLOCK))
        self.assertEqual(b'\1' * BLOCK, self.volume.read_at(0, BLOCK))
        self.assertEqual(64 * BLOCK, os.path.getsize(self.path))

    def test_closed_volume_cannot_be_used(self):
        self.volume.close()
        self.volume.close()
        self.assertRaises(OSError, self.volume.read_at, 0, BLOCK)
        self.assertRaises(OSError, self.volume.write_at, 0, bytes(BLOCK))
        self.assertFalse(self.volume.discard(0, BLOCK))

    def test_what_is_no_volume_is_refused(self):
        pipe = self.path + '.pipe'
        os.mkfifo(pipe)
        for path, reason in ((self.path + '.none', 'No such file'),
                             ('volume', 'not absolute'),
                             (os.path.dirname(self.path), 'Is a directory'),
                             (pipe, ''), ('/dev/null', '')):
            error = self.assertRaises(errors.VolumeFailed,
                                      volumes.PathVolume, path)
            self.assertIn(reason, str(error))
