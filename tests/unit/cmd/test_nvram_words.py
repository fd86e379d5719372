# SPDX-License-Identifier: Apache-2.0
import argparse

import hypothesis
from hypothesis import strategies
import testtools

from nova_armvm.cmd import nvram_words
from nova_armvm.uefi import boot


class WordsTest(testtools.TestCase):

    def test_vendors_by_name_and_guid(self):
        self.assertEqual(boot.GLOBAL, nvram_words.vendor('global'))
        self.assertEqual(boot.GLOBAL,
                         nvram_words.vendor(str(boot.GLOBAL).upper()))

    def test_boot_options(self):
        for word, number in (('0', 0), ('1', 1), ('000A', 10), ('ffff', 65535),
                             ('Boot0010', 16)):
            self.assertEqual(number, nvram_words.boot_number(word))
        self.assertEqual([2, 1], nvram_words.boot_numbers('2,0001'))

    def test_nothing_but_words_is_taken(self):
        for read, words in (
                (nvram_words.vendor, ('', 'x', '8be4df61')),
                (nvram_words.boot_number, ('', 'x', '-1', '10000', '00001',
                                           'Boot', 'boot1', '0x1')),
                (nvram_words.boot_numbers, ('', '1,', '1,1', '1,0001')),
                (nvram_words.hexadecimal, ('0', 'zz', '0x00')),
                (nvram_words.attributes, ('', 'x', '7.0'))):
            for word in words:
                with self.subTest(word, read=read):
                    self.assertRaises(argparse.ArgumentTypeError, read, word)

    @hypothesis.given(strategies.text(max_size=12))
    def test_any_word_is_a_number_or_an_error_in_words(self, word):
        try:
            number = nvram_words.boot_number(word)
        except argparse.ArgumentTypeError:
            return
        self.assertIn(number, range(0x10000))

    @hypothesis.given(strategies.binary(max_size=100))
    def test_bytes_come_back(self, content):
        self.assertEqual(content, nvram_words.hexadecimal(content.hex()))
