# SPDX-License-Identifier: Apache-2.0
"""Who judges which block."""
import ast
from collections.abc import Callable
import json
import re
import shlex
import subprocess

import docutils.core
import docutils.utils
import jinja2
from lxml import etree
import yaml

from tests.unit.documented import configuration
from tests.unit.documented import localrc
from tests.unit.documented import messages
from tests.unit.documented import programs
from tools.documented import blocks
from tools.documented import session
from tools.documented import stage

Refused = programs.Refused

_INSTRUCTIONS = {'FROM', 'RUN', 'COPY', 'ENV', 'USER', 'LABEL', 'ARG',
                 'WORKDIR'}

#: A path with a directory, or the name of a file of ours.
_PATH = re.compile(r'(?:^|(?<=[ ;,(]))[\w.-]+(?:/[\w./-]*|\.(?:py|pth))')


def judge(block: blocks.Block) -> None:
    """Have a block judged by who knows its language.

    :raises Refused: it is wrong, or nobody knows how to judge it.
    """
    if block.language not in _JUDGES:
        raise Refused(f'no test judges {block.language}')
    _JUDGES[block.language](block)


def _console(block: blocks.Block) -> None:
    try:
        steps = session.steps(block.text)
    except ValueError as error:
        raise Refused(str(error)) from error
    where = block.note.partition(',')[0]
    if where and where not in stage.PLACES and not _is_seen(block):
        raise Refused(f'".. documented: {block.note}" means nothing')
    if any(step.output for step in steps) and not where:
        raise Refused('nothing says where this output comes from; see '
                      'contributor.rst')
    for step in steps:
        _shell(step.command)
        for words in session.simple_commands(step.command):
            _program(words, judged_by_a_run=bool(where))


def _is_seen(block: blocks.Block) -> bool:
    """Whether it is copied from a run that a reason keeps from repeating."""
    seen, _comma, reason = block.note.partition(',')
    return seen == 'seen' and bool(reason.strip())


def _program(words: list[str], judged_by_a_run: bool) -> None:
    """Judge a program's words, if it is known; or else it has to be run."""
    if programs.is_known(words[0]) or not judged_by_a_run:
        programs.judge(words[0], words[1:])


def _shell(text: str) -> None:
    checked = subprocess.run(['bash', '-n'], input=text, text=True,
                             capture_output=True)
    # A here-document that never ends is a warning only.
    if checked.returncode or checked.stderr:
        raise Refused(checked.stderr)


def _text(block: blocks.Block) -> None:
    if _is_seen(block):
        return
    if session.begins(block.text):
        _what_a_tool_prints(block.text)
    elif block.note == 'layout':
        _layout(block.text)
    elif not messages.is_known(block.text):
        raise Refused('no program of ours says this')


def _what_a_tool_prints(text: str) -> None:
    """A long run, too long to repeat: its commands, and its words."""
    for step in session.steps(text):
        for words in session.simple_commands(step.command):
            programs.judge(words[0], words[1:])


def _layout(text: str) -> None:
    """A list of files: each is there."""
    for line in text.splitlines():
        for path in _PATH.findall(line):
            path = path.rstrip('.')
            if not ((blocks.TOP / path).exists() or '/' not in path and
                    any((blocks.TOP / 'nova_armvm').rglob(path))):
                raise Refused(f'there is no {path}')


def _ini(block: blocks.Block) -> None:
    if block.note == 'tempest.conf':
        configuration.judge(block.text, configuration.of_tempest())
    elif block.text.startswith('[['):
        localrc.judge(block.text)
    else:
        configuration.judge(block.text, configuration.of_nova())


def _json(block: blocks.Block) -> None:
    _parsed(json.loads, block.text)


def _yaml(block: blocks.Block) -> None:
    _parsed(yaml.safe_load, block.text)


def _xml(block: blocks.Block) -> None:
    _parsed(lambda text: etree.fromstring(text.strip()), block.text)


def _python(block: blocks.Block) -> None:
    _parsed(ast.parse, block.text)


def _rst(block: blocks.Block) -> None:
    """An example of how these pages are written."""
    try:
        docutils.core.publish_doctree(block.text, settings_overrides={
            'report_level': 5, 'halt_level': 3})
    except docutils.utils.SystemMessage as error:
        raise Refused(str(error)) from error


def _parsed(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except (ValueError, SyntaxError, yaml.YAMLError,
            etree.XMLSyntaxError) as error:
        raise Refused(str(error)) from error


def _script(block: blocks.Block) -> None:
    _shell(block.text)
    for line in block.text.replace('\\\n', ' ').splitlines():
        if line.strip() and not line.lstrip().startswith('#'):
            for words in session.simple_commands(line):
                programs.judge(words[0], words[1:])


def _dockerfile(block: blocks.Block) -> None:
    """Instructions of a Dockerfile; what it runs is judged like a console."""
    for line in block.text.replace('\\\n', ' ').splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        instruction, _space, rest = line.partition(' ')
        if instruction not in _INSTRUCTIONS:
            raise Refused(f'Dockerfile: {instruction}')
        if instruction == 'RUN':
            _shell(rest)
            for words in session.simple_commands(rest):
                programs.judge(words[0], words[1:])


def _jinja(block: blocks.Block) -> None:
    """A template for Kolla: it renders, and to instructions that are right.

    Kolla's own template, which it extends, is not here; see
    test_kolla.py for what becomes of both.
    """
    try:
        template = jinja2.Environment().from_string(
            re.sub(r'{% extends .*%}\n', '', block.text))
        rendered = template.render(distro_package_manager='apt')
    except jinja2.TemplateError as error:
        raise Refused(f'Jinja: {error}') from error
    for name in re.findall(r'set (\w+)_packages_append = \[(.*?)\]',
                           block.text, re.DOTALL):
        programs.debian_packages(shlex.split(name[1].replace(',', ' ')))
    _dockerfile(blocks.Block(block.page, block.line, 'dockerfile', '',
                             rendered.strip()))


_JUDGES: dict[str, Callable[[blocks.Block], None]] = {
    'console': _console, 'text': _text, 'ini': _ini, 'json': _json,
    'yaml': _yaml, 'xml': _xml, 'python': _python, 'bash': _script,
    'sh': _script, 'rst': _rst, 'dockerfile': _dockerfile, 'jinja': _jinja,
}
