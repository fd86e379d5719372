# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm import crc32c


class Crc32cTest(unittest.TestCase):

    def test_value_that_its_standard_gives(self):
        # RFC 3720, B.4: 32 bytes of zeros, and of ones.
        self.assertEqual(0x8a9136aa, crc32c.crc32c(bytes(32)))
        self.assertEqual(0x62a8ab43, crc32c.crc32c(b'\xff' * 32))
