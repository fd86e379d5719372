# SPDX-License-Identifier: Apache-2.0
"""Every block of every page is judged; the pages keep what they promise."""
import docutils.core
from docutils import nodes
import unittest

from tests.unit.documented import judges
from tests.unit.documented import messages
from tests.unit.documented import parsers
from tools.documented import blocks
from tools.documented import session

_TROUBLE = blocks.TOP / 'doc/source/troubleshooting.rst'
#: Sphinx's own, which docutils alone takes for errors.
_QUIET = {'report_level': 5, 'halt_level': 5, 'file_insertion_enabled': False}


def _every_block() -> list[blocks.Block]:
    return [block for page in blocks.pages()
            for block in blocks.of_page(page)]


class BlocksTest(unittest.TestCase):

    def test_every_block_is_right(self):
        for block in _every_block():
            with self.subTest(block.place):
                try:
                    judges.judge(block)
                except judges.Refused as error:
                    self.fail(f'{block.place}: {error}')

    def test_no_block_escapes(self):
        """docutils finds no more of them than we do."""
        for page in blocks.pages():
            with self.subTest(str(page)):
                tree = docutils.core.publish_doctree(
                    page.read_text(), settings_overrides=_QUIET)
                known = {_words(block.text)
                         for block in blocks.of_page(page)}
                for node in tree.findall(nodes.literal_block):
                    if not _is_of_sphinx(node):
                        self.assertIn(_words(node.astext()), known)


def _words(text: str) -> str:
    return ' '.join(text.split())


def _is_of_sphinx(node: nodes.Node) -> bool:
    """It is the text of a directive that docutils does not know."""
    return isinstance(node.parent, nodes.system_message)


class CommandsTest(unittest.TestCase):

    def test_every_command_is_shown_with_what_it_prints(self):
        shown = [words for block in _every_block()
                 if block.language == 'console'
                 for step in session.steps(block.text) if step.output
                 for words in session.simple_commands(step.command)]
        for command in sorted(parsers.our_commands()):
            wanted = command.split()
            with self.subTest(command):
                self.assertTrue(
                    any(words[:len(wanted)] == wanted for words in shown),
                    f'no page shows the output of {command}')


class TroubleshootingTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tree = docutils.core.publish_doctree(
            _TROUBLE.read_text(), settings_overrides=_QUIET)
        cls.symptoms = [' '.join(literal.astext().split())
                        for term in tree.findall(nodes.term)
                        for literal in term.findall(nodes.literal)]

    def test_every_symptom_is_what_a_program_says(self):
        for symptom in self.symptoms:
            with self.subTest(symptom):
                self.assertTrue(
                    any(messages.fits(symptom, error)
                        for error in messages.error_classes()) or
                    messages.is_known(symptom.strip('. ')))

    def test_every_error_has_its_remedy(self):
        for error in messages.error_classes():
            with self.subTest(error.__name__):
                self.assertTrue(any(messages.fits(symptom, error)
                                    for symptom in self.symptoms),
                                f'no symptom fits "{error.msg_fmt}"')
