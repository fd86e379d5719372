# SPDX-License-Identifier: Apache-2.0
import pathlib
import subprocess
import tempfile
import unittest

from tools.documented import session
from tools.sandbox import documented


class TypedTest(unittest.TestCase):

    def _typed(self, text: str, *statuses: int) -> tuple[str, bool]:
        steps = session.steps(text)
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                ['/bin/bash'], text=True, capture_output=True,
                input=documented.script(steps, pathlib.Path(scratch)))
        return documented.compare(steps, {0, *statuses}, done.stdout)

    def test_a_block_as_shown(self):
        self.assertEqual(('2 commands, as shown', True),
                         self._typed('$ ONE=1\n$ echo $ONE\n1\n'))

    def test_other_output(self):
        words, held = self._typed('$ echo two\none\n')
        self.assertIn('lacks "one"', words)
        self.assertFalse(held)

    def test_an_exit_status_counts_unless_it_is_allowed(self):
        self.assertFalse(self._typed('$ (exit 3)\n')[1])
        self.assertTrue(self._typed('$ (exit 3)\n', 3)[1])

    def test_the_next_command_finds_the_status(self):
        self.assertTrue(self._typed('$ (exit 3)\n$ echo $?\n3\n', 3)[1])

    def test_a_command_reads_nothing_of_the_script(self):
        self.assertTrue(self._typed('$ cat\n$ echo one\none\n')[1])

    def test_a_shell_that_ends(self):
        words, held = self._typed('$ exit 0\n$ echo one\none\n')
        self.assertIn('ended early', words)
        self.assertFalse(held)
