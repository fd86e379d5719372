# SPDX-License-Identifier: Apache-2.0
"""The blocks of code of a page in reStructuredText."""
from collections.abc import Iterator
import dataclasses
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]

_DIRECTIVE = re.compile(r'(\s*)\.\. (?:code-block|code|sourcecode):: *(\S*)$')
_NOTE = re.compile(r'\s*\.\. documented: (.+)$')
_OPTION = re.compile(r'\s*:[a-z-]+:')
#: What begins with two dots is a directive or a comment, whatever its end.
_LITERAL = re.compile(r'(\s*)(?!\s*\.\. )\S.*::$|(\s*)::$')


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code.

    :ivar page: path below the top of the repository.
    :ivar line: of its first line, from 1.
    :ivar language: ``text`` where the page names none.
    :ivar note: what stands in the comment ``.. documented:`` above it.
    """

    page: str
    line: int
    language: str
    note: str
    text: str

    @property
    def place(self) -> str:
        return f'{self.page}:{self.line}'


def pages() -> list[pathlib.Path]:
    """Return every page that people read."""
    found = [TOP / 'README.rst', TOP / 'CONTRIBUTING.rst',
             TOP / 'devstack' / 'README.rst',
             *sorted((TOP / 'doc' / 'source').glob('*.rst'))]
    return [page for page in found if page.exists()]


def of_page(page: pathlib.Path) -> list[Block]:
    """Return the blocks of a page, from top to bottom."""
    return list(find(str(page.relative_to(TOP)), page.read_text()))


def find(page: str, text: str) -> Iterator[Block]:
    """Find the blocks in a page.

    :param page: its name, for the blocks.
    :param text: its content.
    """
    lines = text.splitlines()
    number, note, words = 0, '', False
    while number < len(lines):
        line = lines[number]
        number += 1
        noted = _NOTE.match(line)
        directive = _DIRECTIVE.match(line)
        literal = _LITERAL.match(line)
        if noted:
            note, words = noted[1].strip(), False
        elif directive or literal:
            begin = (_after_options(lines, number) if directive else number)
            indent = len((directive or literal)[1] or '')
            begin, number = _extent(lines, begin, indent)
            if begin < number:
                yield Block(page, begin + 1,
                            (directive[2] if directive else '') or 'text',
                            note, _dedented(lines[begin:number]))
            note = ''
        elif line.strip():
            words = True
        elif words:
            # A paragraph of its own, not one that introduces a block.
            note, words = '', False


def _after_options(lines: list[str], number: int) -> int:
    while number < len(lines) and _OPTION.match(lines[number]):
        number += 1
    return number


def _extent(lines: list[str], number: int, indent: int) -> tuple[int, int]:
    """Return where the lines begin and end that are further to the right."""
    while number < len(lines) and not lines[number].strip():
        number += 1
    begin = end = number
    while number < len(lines) and (
            not lines[number].strip() or _indent(lines[number]) > indent):
        number += 1
        if lines[number - 1].strip():
            end = number
    return begin, end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dedented(lines: list[str]) -> str:
    depth = min(_indent(line) for line in lines if line.strip())
    return '\n'.join(line[depth:] for line in lines) + '\n'
