# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage nvram``: the words of the command."""
import argparse
from collections.abc import Callable

from oslo_config import cfg

from nova_armvm.cmd import nvram
from nova_armvm.cmd import nvram_words
from nova_armvm.uefi import formats

Work = Callable[[argparse.Namespace, cfg.ConfigOpts], int]


def add_to(actions: argparse._SubParsersAction) -> None:
    """Add what can be done with the stores of servers."""
    _add_reading(actions)
    _add_variables(actions)
    _add_whole(actions)


def _action(actions: argparse._SubParsersAction, name: str, help: str,
            work: Work, changes: bool = False) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help, description=(
        help[0].upper() + help[1:] + '.'))
    parser.add_argument('server', metavar='SERVER',
                        help='its uuid or its name')
    if changes:
        parser.add_argument('--yes', action='store_true',
                            help='do not ask before')
    parser.set_defaults(work=work)
    return parser


def _with_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('-f', '--format', choices=('table', 'json'),
                        default='table')


def _with_variable(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', metavar='NAME', help='of the variable')
    parser.add_argument(
        '--guid', type=nvram_words.vendor, default='global', metavar='GUID',
        help='of its vendor, or one of ' + ', '.join(nvram_words.VENDORS) +
        ' (default %(default)s)')


def _add_reading(actions: argparse._SubParsersAction) -> None:
    every = actions.add_parser('list', help='the stores of all servers',
                               description='List the stores of all servers.')
    _with_format(every)
    every.set_defaults(work=nvram.list_stores)
    show = _action(actions, 'show', 'show the variables of a server, also '
                   'while it runs on this host', nvram.show)
    _with_format(show)
    history = _action(actions, 'history', 'show the versions of the '
                      'variables of a server, also while it runs on this '
                      'host', nvram.history)
    history.add_argument('--limit', type=nvram_words.count, default=20,
                         metavar='N', help='newest versions to be shown, 0 '
                         'for all (default %(default)s)')
    _with_format(history)
    _add_diff(actions)
    export = _action(actions, 'export', 'write the variables of a server to '
                     'a file', nvram.export)
    export.add_argument('-f', '--format', choices=formats.FORMATS,
                        default='json',
                        help='the flash, variables as virt-fw-vars writes '
                        'them, or EC2\'s UefiData (default %(default)s)')
    export.add_argument('-o', '--output', metavar='FILE',
                        help='a new file, instead of standard output')


class _AtMostTwo(argparse.Action):
    """Collects the values of an option that may be given once or twice."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Take one more value."""
        found = [*(getattr(namespace, self.dest) or ()), values]
        if len(found) > 2:
            parser.error(f'argument {option_string}: two at most')
        setattr(namespace, self.dest, found)


def _add_diff(actions: argparse._SubParsersAction) -> None:
    diff = _action(actions, 'diff', 'compare the variables of a server with '
                   'a file, another server or an earlier version', nvram.diff)
    other = diff.add_mutually_exclusive_group(required=True)
    other.add_argument('file', metavar='FILE', nargs='?',
                       help='as export writes it, of any format')
    other.add_argument('--with-server', metavar='OTHER',
                       help='with another server, instead')
    other.add_argument('--version', type=nvram_words.version,
                       action=_AtMostTwo, metavar='N',
                       help='with an earlier version of its own, instead; '
                       'given twice: one version with another')
    _with_format(diff)


def _add_variables(actions: argparse._SubParsersAction) -> None:
    get = _action(actions, 'get', 'print the content of a variable of a '
                  'server that is off, hexadecimal', nvram.get)
    _with_variable(get)
    get.add_argument('-o', '--output', metavar='FILE',
                     help='write the bytes to a new file instead')
    change = _action(actions, 'set', 'set a variable of a server that is off',
                     nvram.set_variable, changes=True)
    _with_variable(change)
    content = change.add_mutually_exclusive_group(required=True)
    content.add_argument('--hex', type=nvram_words.hexadecimal, metavar='HEX',
                         help='its content')
    content.add_argument('--file', metavar='FILE', help='with its content')
    change.add_argument('--attributes', type=nvram_words.attributes,
                        metavar='NUMBER',
                        help='default: those that it has, or 0x7')
    unset = _action(actions, 'unset', 'remove a variable of a server that is '
                    'off', nvram.unset, changes=True)
    _with_variable(unset)
    following = _action(actions, 'set-boot-next', 'choose the boot option of '
                        'the next start alone', nvram.boot_next, changes=True)
    following.add_argument('option', type=nvram_words.boot_number,
                           metavar='NNNN')
    order = _action(actions, 'set-boot-order', 'choose the order of the boot '
                    'options', nvram.boot_order, changes=True)
    order.add_argument('options', type=nvram_words.boot_numbers,
                       metavar='NNNN,...')


def _add_whole(actions: argparse._SubParsersAction) -> None:
    replace = _action(actions, 'import', 'replace the variables of a server '
                      'that is off by those of a file', nvram.import_file,
                      changes=True)
    replace.add_argument('file', metavar='FILE',
                         help='as export writes it, of any format')
    _action(actions, 'reset', 'have a server that is off begin with its '
            'template again', nvram.reset, changes=True)
    _action(actions, 'undo', 'take back the changes since the guest last '
            'wrote, or a reset that waits', nvram.undo, changes=True)
    restore = _action(actions, 'restore', 'bring back an earlier version of '
                      'the variables of a server that is off', nvram.restore,
                      changes=True)
    restore.add_argument('version', type=nvram_words.version, metavar='N',
                         help='number of the version, see history')
    _add_verify(actions)
    _add_migrate_type(actions)


def _add_verify(actions: argparse._SubParsersAction) -> None:
    verify = _action(actions, 'verify', 'compare the flash of a running '
                     'server in QEMU with the flash service\'s (on the host '
                     'of the server)', nvram.verify, changes=True)
    verify.add_argument('--adopt', action='store_true',
                        help='commit QEMU\'s where they differ')


def _add_migrate_type(actions: argparse._SubParsersAction) -> None:
    migrate = _action(actions, 'migrate-type', 'move the store of a server '
                      'that is off to another volume type (on the host of '
                      'the server)', nvram.migrate_type, changes=True)
    migrate.add_argument('type', metavar='TYPE', help='its name')
    migrate.add_argument('--limit', type=int, default=600, metavar='SECONDS',
                         help='that Cinder may take (default %(default)s)')
