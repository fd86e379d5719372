# SPDX-License-Identifier: Apache-2.0
"""Whether two runs of a command printed the same thing.

Ids, times, numbers and the width of columns differ from run to run; which
lines there are, in which order, and what they say does not.
"""
import re

_ELISION = '...'
_RULE = re.compile(r'[-+=| ]+')
_SAME = (
    (re.compile(r'\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b'), 'UUID'),
    (re.compile(r'\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d'
                r':?\d\d)?'), 'TIME'),
    (re.compile(r'\b[0-9a-f]{16,}\b'), 'HEX'),
    (re.compile(r'\s+'), ' '),
)


def normal(line: str) -> str:
    """Return a line without what differs from run to run.

    A row of a table is what stands in its cells; a rule is nothing.
    """
    if _RULE.fullmatch(line):
        return ''
    for pattern, replacement in _SAME:
        line = pattern.sub(replacement, line)
    return line.strip()


def missing(shown: tuple[str, ...], printed: str) -> list[str]:
    """Return the lines of a page that a command has not printed.

    :param shown: the page's lines; ``...`` stands for any number of them, at
        the end of a line for its rest.
    :param printed: by the command. Lines that the page leaves out without a
        ``...`` are missing as well, with a plus sign.
    """
    wanted = [line for line in map(normal, shown) if line]
    found = [line for line in map(normal, printed.splitlines()) if line]
    lacking = []
    at = 0
    for line in wanted:
        if line == _ELISION:
            continue
        place = next((number for number in range(at, len(found))
                      if _equal(line, found[number])), None)
        if place is None:
            lacking.append(line)
        else:
            at = place + 1
    if not lacking and _ELISION not in wanted and shown:
        lacking += [f'+ {line}' for line in found
                    if not any(_equal(each, line) for each in wanted)]
    return lacking


def _equal(wanted: str, found: str) -> bool:
    if wanted.endswith(_ELISION):
        return found.startswith(wanted.removesuffix(_ELISION).rstrip(' |'))
    return wanted == found
