# SPDX-License-Identifier: Apache-2.0
"""Snippets of DevStack's local.conf."""
import re
import subprocess

from tests.unit.documented import configuration
from tests.unit.documented import parsers
from tools.documented import blocks

_SECTION = re.compile(r'\[\[([a-z-]+)\|([^]]+)\]\]$')
_PLUGIN = re.compile(r'enable_plugin [\w-]+ \S+( \S+)?$')
_ASSIGNMENT = re.compile(r'([A-Z_][A-Z0-9_]*)\+?=')
_OURS = 'ARMVM_'


def judge(text: str) -> None:
    """Read a snippet as DevStack does.

    :raises Refused: it has something that DevStack or our plugin would not
        read, or a configuration that Nova would not.
    """
    for (kind, target), lines in _sections(text):
        if kind == 'local':
            _localrc(lines)
        elif target.strip('$') == 'NOVA_CONF':
            configuration.judge('\n'.join(lines), configuration.of_nova())
        else:
            raise parsers.Refused(f'no test judges [[{kind}|{target}]]')


def _sections(text: str) -> list[tuple[tuple[str, str], list[str]]]:
    found: list[tuple[tuple[str, str], list[str]]] = []
    for line in text.splitlines():
        section = _SECTION.match(line)
        if section:
            found.append(((section[1], section[2]), []))
        else:
            found[-1][1].append(line)
    return found


def _localrc(lines: list[str]) -> None:
    checked = subprocess.run(['bash', '-n'], input='\n'.join(lines),
                             text=True, capture_output=True)
    if checked.returncode:
        raise parsers.Refused(checked.stderr)
    for line in lines:
        if not line.strip() or line.startswith('#') or _PLUGIN.match(line):
            continue
        name = _ASSIGNMENT.match(line)
        if name is None:
            raise parsers.Refused(f'no line of localrc: {line}')
        if name[1].startswith(_OURS) and name[1] not in _settings():
            raise parsers.Refused(f'the plugin has no setting {name[1]}')


def _settings() -> set[str]:
    path = blocks.TOP / 'devstack' / 'settings'
    return (set(re.findall(rf'\b{_OURS}\w+', path.read_text()))
            if path.exists() else set())
