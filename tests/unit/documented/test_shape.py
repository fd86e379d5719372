# SPDX-License-Identifier: Apache-2.0
import unittest

from tools.documented import shape

_SHOWN = ('+------+--------------------------------------+',
          '| name | id                                   |',
          '+------+--------------------------------------+',
          '| one  | 5f0c3f0e-54b7-4ab0-a3a5-0d0b8b6ccf0a |',
          '+------+--------------------------------------+')


class MissingTest(unittest.TestCase):

    def test_ids_times_and_widths_may_differ(self):
        self.assertEqual([], shape.missing(_SHOWN, '''\
            +---------+--------------------------------------+
            | name    | id                                   |
            +---------+--------------------------------------+
            | one     | 00000000-54b7-4ab0-a3a5-0d0b8b6ccf0a |
            +---------+--------------------------------------+
            '''))
        self.assertEqual([], shape.missing(
            ('until 2026-11-25T23:22:16.613894+0000',),
            'until 2027-01-01T00:00:00.1+0000'))

    def test_a_line_that_was_not_printed(self):
        self.assertEqual(['| two |'], shape.missing(('| two   |',), '| 2 |'))

    def test_a_line_that_is_not_shown(self):
        self.assertEqual(['+ two'], shape.missing(('one',), 'one\ntwo'))
        self.assertEqual([], shape.missing(('one', '...'), 'one\ntwo'))

    def test_the_order_counts(self):
        self.assertEqual(['one'], shape.missing(('two', 'one'), 'one\ntwo'))

    def test_the_rest_of_a_line_may_be_left_out(self):
        self.assertEqual([], shape.missing(('one ...',), 'one two three'))
        self.assertEqual(['two ...'], shape.missing(('two ...',), 'one two'))

    def test_nothing_shown_says_nothing(self):
        self.assertEqual([], shape.missing((), 'one'))
