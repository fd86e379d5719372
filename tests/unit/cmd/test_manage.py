# SPDX-License-Identifier: Apache-2.0
import argparse
import unittest

from nova_armvm.cmd import manage


class SecondsTest(unittest.TestCase):

    def test_every_unit(self):
        for text, wanted in (('90', 90), ('90s', 90), ('15m', 900),
                             ('1h', 3600), ('7d', 604800), ('0', 0)):
            with self.subTest(text):
                self.assertEqual(wanted, manage.seconds(text))

    def test_what_is_no_time_is_refused(self):
        for text in ('', '-1', '1w', 'h', '1.5h', '1 h'):
            with self.subTest(text):
                self.assertRaises(argparse.ArgumentTypeError,
                                  manage.seconds, text)
