# SPDX-License-Identifier: Apache-2.0
"""Snippets of DevStack's local.conf."""
import re

from tests.unit.documented import parsers
from tools.documented import blocks

_SETTINGS = blocks.TOP / 'devstack' / 'settings'
_PHASE = re.compile(r'\[\[(local|post-config|test-config)\|\S+\]\]')
_ASSIGNMENT = re.compile(r'([A-Z][A-Z0-9_]*)=')
_PLUGIN = re.compile(r'enable_plugin nova-armvm \S+')


def judge(text: str) -> None:
    """Read a snippet as DevStack does, which has no word for a wrong name.

    :raises Refused: a line is none of it, or a setting of ours is unknown.
    """
    known = set(re.findall(r'ARMVM_\w+', _SETTINGS.read_text()))
    for line in text.splitlines():
        assigned = _ASSIGNMENT.match(line)
        if assigned:
            if assigned[1].startswith('ARMVM_') and assigned[1] not in known:
                raise parsers.Refused(f'the plugin knows no {assigned[1]}')
        elif line and not line.startswith('#') and not (
                _PHASE.fullmatch(line) or _PLUGIN.fullmatch(line)):
            raise parsers.Refused(f'no line of local.conf: {line}')
