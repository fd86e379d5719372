# SPDX-License-Identifier: Apache-2.0
"""What our programs say, as the source has it."""
import ast
from collections.abc import Iterator
import functools
import re

from nova_armvm import exception
from tools.documented import blocks

#: Letters that a message has to have outside of its fields; anything is like
#: a message of fewer.
_ENOUGH = 20
_FIELD = re.compile(r'%\(\w+\)[dsr]|%[dsr]')
_HOLE = '\0'


def error_classes() -> Iterator[type[exception.ArmVMError]]:
    """Return the errors that have a message of their own."""
    for found in vars(exception).values():
        if (isinstance(found, type) and 'msg_fmt' in vars(found) and
                found is not exception.ArmVMError):
            yield found


def with_holes(text: str) -> str:
    """Return a message with one character for each of its fields."""
    return ' '.join(_FIELD.sub(_HOLE, text).split())


def _pattern(text: str) -> re.Pattern:
    return re.compile('.+?'.join(
        re.escape(part) for part in text.rstrip('.').split(_HOLE)))


@functools.cache
def _known() -> tuple[re.Pattern, ...]:
    found = set()
    for path in sorted((blocks.TOP / 'nova_armvm').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            text = _text(node)
            if text and len(text.replace(_HOLE, '')) >= _ENOUGH:
                found.add(text)
    return tuple(_pattern(text) for text in sorted(found))


def _text(node: ast.AST) -> str:
    """Return a string of the source, its fields as holes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return with_holes(node.value)
    if isinstance(node, ast.JoinedStr):
        return with_holes(''.join(
            part.value if isinstance(part, ast.Constant) else _HOLE
            for part in node.values))
    return ''


def is_known(text: str) -> bool:
    """Whether a text has a message of ours in it, from its first word on."""
    words = ' '.join(text.split())
    return any(pattern.search(words) for pattern in _known())


def fits(fragment: str, error: type[exception.ArmVMError]) -> bool:
    """Whether the page's words are those of an error.

    :param fragment: with ``...`` for what differs from case to case.
    """
    message = with_holes(error.msg_fmt)
    at = 0
    for part in fragment.split('...'):
        part = ' '.join(part.split())
        place = message.find(part, at)
        if place < 0:
            return False
        at = place + len(part)
    return True
