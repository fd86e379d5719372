# SPDX-License-Identifier: Apache-2.0
"""Command lines, held against the parsers of the programs themselves."""
import argparse
from collections.abc import Callable
import configparser
import contextlib
import importlib
from importlib import metadata
import io
import multiprocessing
import re
import sys
from unittest import mock

from cliff import commandmanager
from openstackclient import shell

from tools.documented import blocks

#: What OpenStackClient loads for the API versions of today.
_GROUPS = ('openstack.cli', 'openstack.common', 'openstack.compute.v2',
           'openstack.identity.v3', 'openstack.image.v2',
           'openstack.network.v2', 'openstack.placement.v1',
           'openstack.volume.v3', 'openstack.object_store.v1')


class Refused(Exception):
    """A program would not take the words; with what it says."""


class _Parsed(BaseException):
    """Ends a program as soon as it has read its command line."""


def _installed() -> configparser.ConfigParser:
    """Return what setup.cfg installs."""
    parser = configparser.ConfigParser()
    parser.read(blocks.TOP / 'setup.cfg')
    return parser


def entries(section: str) -> dict[str, str]:
    """Return the entry points that setup.cfg installs, by their names."""
    text = _installed()['entry_points'].get(section, '')
    return {name.strip(): target.strip() for name, _equals, target in (
        line.partition('=') for line in text.splitlines() if line)}


def extras() -> set[str]:
    """Return the extras that our package can be installed with."""
    return set(_installed()['extras'])


def loaded(target: str) -> object:
    """Return what an entry point names."""
    module, _colon, name = target.partition(':')
    found = importlib.import_module(module)
    for each in name.split('.') if name else ():
        found = getattr(found, each)
    return found


def main_of(program: str) -> Callable[[], object] | None:
    """Return the function that a program is, ours or another's.

    :param program: of ``console_scripts``; ours is read from setup.cfg, so
        that it does not have to be installed.
    """
    ours = entries('console_scripts')
    if program in ours:
        return loaded(ours[program])
    found = metadata.entry_points(group='console_scripts', name=program)
    return next((each.load() for each in found), None)


def _apart(work: Callable[[], str]) -> str:
    """Do something in a process of its own; return what it returns.

    A program takes one command line in its life: oslo.config keeps what it
    has read in an object that the whole process shares.

    :raises Refused: it died.
    """
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=lambda: theirs.send(work()))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError as error:
        raise Refused('it died while it read its command line') from error
    finally:
        child.join()


def accept(main: Callable[[], object], words: list[str]) -> None:
    """Have a program read a command line and do nothing.

    :param main: it uses argparse, as oslo.config does.
    :raises Refused: with what it says.
    """
    complaint = _apart(lambda: _complaint(main, words))
    if complaint:
        raise Refused(complaint)


def _complaint(main: Callable[[], object], words: list[str]) -> str:
    """Return what a program says to a command line, nothing if it takes it."""
    real = argparse.ArgumentParser.parse_args

    def parse(parser, args=None, namespace=None):
        real(parser, args, namespace)
        raise _Parsed

    said = io.StringIO()
    with (mock.patch.object(argparse.ArgumentParser, 'parse_args', parse),
          mock.patch.object(sys, 'argv', list(words)),
          contextlib.redirect_stderr(said), contextlib.redirect_stdout(said)):
        try:
            main()
        except _Parsed:
            return ''
        except SystemExit as error:
            if error.code in (0, None):
                return ''
    return said.getvalue() or 'it reads no command line'


class _App:
    """What commands of OpenStackClient ask for their parsers."""

    def __init__(self) -> None:
        self.client_manager = mock.Mock()
        self.client_manager.is_network_endpoint_enabled.return_value = True
        self.options = mock.Mock()
        self.interactive_mode = False


def _openstack_commands() -> commandmanager.CommandManager:
    commands = commandmanager.CommandManager('openstack.cli')
    for group in _GROUPS:
        commands.add_command_group(group)
    for name, target in entries('openstack.armvm.v1').items():
        commands.add_command(name.replace('_', ' '), loaded(target))
    return commands


_COMMANDS = _openstack_commands()
_GLOBAL = shell.OpenStackShell()


def accept_openstack(words: list[str]) -> None:
    """Have OpenStackClient read a command line and do nothing.

    :param words: without ``openstack``.
    :raises Refused: there is no such command, or it takes no such words.
    """
    _options, left = _GLOBAL.parser.parse_known_args(words)
    try:
        factory, name, rest = _COMMANDS.find_command(left)
    except ValueError as error:
        raise Refused(str(error)) from error
    parser = factory(_App(), None).get_parser(f'openstack {name}')
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            parser.parse_args(rest)
        except SystemExit as error:
            raise Refused(said.getvalue()) from error


def our_commands() -> set[str]:
    """Return every command that there is of ours, by all of its words."""
    found = {f'openstack {name.replace("_", " ")}'
             for name in entries('openstack.armvm.v1')}
    for program in entries('console_scripts'):
        found.update(_commands_below(program))
    return found


def _commands_below(program: str) -> set[str]:
    """Ask a program, and each of its commands, for help."""
    below = re.findall(r'^    ([a-z][a-z-]+)\b',
                       _section(_apart(lambda: _help(program))),
                       re.MULTILINE)
    if not below:
        return {program}
    return set().union(*(_commands_below(f'{program} {name}')
                         for name in below))


def _help(program: str) -> str:
    said = io.StringIO()
    main = main_of(program.split()[0])
    with (mock.patch.object(sys, 'argv', [*program.split(), '--help']),
          contextlib.redirect_stdout(said), contextlib.redirect_stderr(said),
          contextlib.suppress(SystemExit)):
        main()
    return said.getvalue()


def _section(help_text: str) -> str:
    """Return the part of a help text that lists commands."""
    _before, found, after = help_text.partition('positional arguments:\n')
    after = after.partition('\n\n')[0]
    # One that takes a word lists no commands below it.
    return after if re.match(r'  [A-Z]+\n', after) else ''
