# SPDX-License-Identifier: Apache-2.0
import textwrap
import unittest

from tools.documented import blocks
from tools.documented import stage


def _found(text: str) -> list[blocks.Block]:
    return list(blocks.find('page', textwrap.dedent(text)))


class FindTest(unittest.TestCase):

    def test_directive_with_options_and_a_note(self):
        (found,) = _found('''\
            Words.

            .. documented: host, status 3

            .. code-block:: console
               :emphasize-lines: 1

               $ true
               printed
            ''')
        self.assertEqual(
            blocks.Block('page', 8, 'console', 'host, status 3',
                         '$ true\nprinted\n'), found)

    def test_note_is_for_the_next_block_alone(self):
        first, second = _found('''\
            .. documented: host

            .. code-block:: console

               $ one

            .. code-block:: console

               $ two
            ''')
        self.assertEqual(('host', ''), (first.note, second.note))

    def test_words_between_end_a_note(self):
        (found,) = _found('''\
            .. documented: host

            Words.

            .. code-block:: console

               $ one
            ''')
        self.assertEqual('', found.note)

    def test_note_above_the_words_that_introduce_a_block(self):
        (found,) = _found('''\
            .. documented: seen, in a guest

            These are words
            of two lines::

               one
            ''')
        self.assertEqual('seen, in a guest', found.note)

    def test_literal_block_in_a_list(self):
        (found,) = _found('''\
            * An item::

                 one

                   two

            Words.
            ''')
        self.assertEqual(('text', 'one\n\n  two\n'),
                         (found.language, found.text))

    def test_other_directives_are_no_blocks(self):
        self.assertEqual([], _found('''\
            .. list-table::

               * - one
            '''))


class SceneTest(unittest.TestCase):

    def _scene(self, note: str) -> stage.Scene | None:
        return stage.scene(blocks.Block('page', 1, 'console', note, '$ one'))

    def test_a_block_without_a_place_is_not_run(self):
        self.assertIsNone(self._scene(''))
        self.assertIsNone(self._scene('seen, long ago'))

    def test_statuses_beside_success(self):
        self.assertEqual(frozenset({0}), self._scene('host').statuses)
        self.assertEqual(frozenset({0, 3}),
                         self._scene('host, status 3').statuses)

    def test_what_others_need_is_made_first(self):
        made = ''.join(each.block.text for each in stage.first())
        for name in (*stage.IMAGES[:1], stage.SERVER, stage.VOLUME):
            self.assertRegex(made, rf'create .*(\n.*)?{name}')

    def test_one_page_at_a_time_has_the_server(self):
        using = [scenes for scenes in stage.independent()
                 if any(stage.SERVER in each.block.text for each in scenes)]
        self.assertEqual(1, len(using))
        self.assertLess(1, len({each.block.page for each in using[0]}))
