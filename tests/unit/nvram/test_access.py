# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm.nvram import access

PIECE = 64 * 1024


class ZeroRangesTest(unittest.TestCase):

    def ranges(self, content, length=None):
        return list(access.zero_ranges(
            lambda offset, size: content[offset:offset + size],
            len(content) if length is None else length))

    def test_nothing_but_zeros_is_one_range(self):
        self.assertEqual([(0, 40 * PIECE)], self.ranges(bytes(40 * PIECE)))

    def test_what_is_written_is_left_out_by_whole_pieces(self):
        content = bytearray(40 * PIECE)
        content[20 * PIECE + 5] = 1
        self.assertEqual([(0, 20 * PIECE), (21 * PIECE, 19 * PIECE)],
                         self.ranges(bytes(content)))

    def test_full_volume_has_none(self):
        self.assertEqual([], self.ranges(b'\xff' * 20 * PIECE))

    def test_part_of_a_piece_at_the_end_is_left_alone(self):
        self.assertEqual([(0, 2 * PIECE)],
                         self.ranges(bytes(3 * PIECE), 2 * PIECE + 100))

    def test_nothing_is_looked_at_behind_the_length(self):
        content = bytes(PIECE) + b'x' + bytes(PIECE)
        self.assertEqual([(0, PIECE)], self.ranges(content, PIECE))
