# SPDX-License-Identifier: Apache-2.0
import unittest

from tools.documented import session


class StepsTest(unittest.TestCase):

    def test_commands_and_what_they_printed(self):
        self.assertEqual(
            [session.Step('$', 'one', ('a', 'b')),
             session.Step('#', 'two', ())],
            session.steps('$ one\na\n\nb\n# two\n'))

    def test_a_command_of_several_lines(self):
        for typed in ('one \\\n  two', "one |\n  two", 'one &&\n  two',
                      'one <<END\n$ two\nEND'):
            with self.subTest(typed):
                (step,) = session.steps(f'$ {typed}\n')
                self.assertEqual(typed, step.command)

    def test_output_without_a_command_is_an_error(self):
        self.assertRaises(ValueError, session.steps, 'printed\n$ one\n')


class SimpleCommandsTest(unittest.TestCase):

    def _programs(self, command: str) -> list[list[str]]:
        return session.simple_commands(command)

    def test_each_program_of_a_line(self):
        self.assertEqual([['a', 'x y'], ['b'], ['c']],
                         self._programs("a 'x y' | b && c"))

    def test_neither_assignments_nor_redirections(self):
        self.assertEqual([['a', 'x']],
                         self._programs('ONE=1 sudo a x >out 2>&1 <in'))

    def test_what_is_substituted_is_a_command_too(self):
        self.assertEqual([['b', '-c'], ['a', 'VALUE']],
                         self._programs('a $(b -c)'))

    def test_a_here_document_is_no_command(self):
        self.assertEqual([['cat']], self._programs('cat >f <<END\nrm\nEND'))
