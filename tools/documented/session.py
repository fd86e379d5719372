# SPDX-License-Identifier: Apache-2.0
"""A console: what was typed and what was printed."""
from collections.abc import Iterator
import dataclasses
import re
import shlex

_PROMPT = re.compile(r'[$#] ')
_HERE_DOCUMENT = re.compile(r"<<-? *['\"]?(\w+)")
_ASSIGNMENT = re.compile(r'\w+=')
_SUBSTITUTION = re.compile(r'\$\(([^()]+)\)')
_BETWEEN = {'|', '||', '&&', ';', '&', '(', ')'}
#: Words of the shell that stand before a command.
_BEFORE = {'sudo', 'time', 'then', 'do', 'else', '!', '{', '}'}


@dataclasses.dataclass(frozen=True)
class Step:
    """A command and what it printed.

    :ivar prompt: ``$`` for any user, ``#`` for root.
    :ivar command: of one or more lines.
    :ivar output: lines; empty where the page does not show them.
    """

    prompt: str
    command: str
    output: tuple[str, ...]


def begins(text: str) -> bool:
    """Whether a block begins with a prompt."""
    return bool(_PROMPT.match(text))


def steps(text: str) -> list[Step]:
    """Take a console apart."""
    return list(_steps(text.splitlines()))


def _steps(lines: list[str]) -> Iterator[Step]:
    number = 0
    while number < len(lines):
        first = lines[number]
        if not _PROMPT.match(first):
            raise ValueError(f'neither a command nor its output: {first!r}')
        typed = [first[2:]]
        number += 1
        while number < len(lines) and _goes_on(typed):
            typed.append(lines[number])
            number += 1
        begin = number
        while number < len(lines) and not _PROMPT.match(lines[number]):
            number += 1
        yield Step(first[0], '\n'.join(typed),
                   tuple(line for line in lines[begin:number] if line))


def _goes_on(typed: list[str]) -> bool:
    """Whether the shell would wait for another line."""
    document = _HERE_DOCUMENT.search(typed[0])
    if document:
        return len(typed) == 1 or typed[-1] != document[1]
    return typed[-1].endswith(('\\', '|', '&&'))


def simple_commands(command: str) -> list[list[str]]:
    """Return the words of each program that a command line starts.

    Assignments, redirections and what is read from a here-document are left
    out.
    """
    document = _HERE_DOCUMENT.search(command.splitlines()[0])
    line = (command.splitlines()[0] if document else
            command.replace('\\\n', ' '))
    found: list[list[str]] = []
    for inner in _SUBSTITUTION.findall(line):
        found += simple_commands(inner)
    lexer = shlex.shlex(_SUBSTITUTION.sub('VALUE', line), posix=True,
                        punctuation_chars='|&;()<>')
    lexer.whitespace_split = True
    lexer.commenters = ''
    words: list[str] = []
    redirected = False
    for word in lexer:
        if redirected:
            redirected = False
        elif word in _BETWEEN:
            found.append(words)
            words = []
        elif set(word) <= set('<>&'):
            redirected = True
            if words and words[-1].isdigit():
                words.pop()
        elif words or not (_ASSIGNMENT.match(word) or word in _BEFORE):
            words.append(word)
    found.append(words)
    return [words for words in found if words]
