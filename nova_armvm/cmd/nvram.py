# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage nvram``: the words of the command and what they mean."""
import argparse
from collections.abc import Callable
import dataclasses
import json
import struct
import sys
import typing as ty

from oslo_config import cfg

from nova_armvm.cmd import compute
from nova_armvm.cmd import held_server
from nova_armvm.cmd import nvram_change
from nova_armvm.cmd import nvram_files
from nova_armvm.cmd import nvram_retype
from nova_armvm.cmd import nvram_show
from nova_armvm.cmd import nvram_words
from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.nvram import boot_options
from nova_armvm.nvram import exchange
from nova_armvm.nvram import previous
from nova_armvm.nvram import text
from nova_armvm.nvram import varstore
from nova_armvm.nvram import varwrite
from nova_armvm.nvram import volume

FOUND = 3

#: Non-volatile, at boot and at run time: what an operating system writes.
_DEFAULT_ATTRIBUTES = 0x07

Work = Callable[[argparse.Namespace, cfg.ConfigOpts], int]


# The tools

@dataclasses.dataclass(frozen=True)
class _Tools:
    volumes: volume.StoreVolumes
    servers: held_server.Servers
    editor: nvram_change.StoreEditor
    host_side: ty.Any


def _volumes(conf: cfg.ConfigOpts) -> volume.StoreVolumes:
    return volume.StoreVolumes(
        conf.host, conf.armvm.nvram_volume_type,
        volume.Patience(limit=_patience(conf), interval=5))


def _patience(conf: cfg.ConfigOpts) -> float:
    return (conf.block_device_allocate_retries *
            conf.block_device_allocate_retries_interval)


def _tools(conf: cfg.ConfigOpts) -> _Tools:
    volumes = _volumes(conf)
    servers = held_server.Servers(compute.nova_adapter(
        conf, compute.session_from_conf(conf)))
    stores = store_access.StoreAccess.from_conf(conf, volumes)
    return _Tools(volumes, servers, nvram_change.StoreEditor(
        servers, stores, volumes,
        previous.PreviousContents(volumes, _patience(conf))),
        stores.host_side)


# What they do

def _list(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    stores = _volumes(conf).all_stores()
    print(nvram_show.stores_json(stores) if arguments.format == 'json' else
          nvram_show.stores_table(stores))
    return 0


def _show(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    found = _tools(conf).editor.look(arguments.server, running=True)
    print(nvram_show.variables_json(found.variables)
          if arguments.format == 'json' else
          nvram_show.variables_table(found.variables))
    return 0


def _key(arguments: argparse.Namespace) -> varstore.VariableKey:
    return varstore.VariableKey(arguments.guid, arguments.name)


def _present(found: varstore.VariableStore,
             key: varstore.VariableKey) -> varstore.Variable:
    variable = found.variables.get(key)
    if variable is None:
        raise exception.NoSuchVariable(name=text.printable(key.name),
                                       guid=key.guid)
    return variable


def _get(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    found = _tools(conf).editor.look(arguments.server).variables
    variable = _present(found, _key(arguments))
    if arguments.output:
        with nvram_files.new_file(arguments.output) as stream:
            stream.write(variable.content)
    else:
        print(variable.content.hex())
    return 0


def _set(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    content = arguments.hex
    if arguments.file:
        content = nvram_files.content_of(arguments.file)
    key = _key(arguments)

    def edit(flash: bytes) -> bytes:
        old = varstore.parse(flash).variables.get(key)
        bits = arguments.attributes
        if bits is None:
            bits = old.attributes if old else _DEFAULT_ATTRIBUTES
        return varwrite.edited(flash, {key: varstore.Variable(
            key, bits, content, old.timestamp if old else None)})
    return _change(arguments, conf, edit, f'set {key.name}')


def _unset(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    key = _key(arguments)

    def edit(flash: bytes) -> bytes:
        _present(varstore.parse(flash), key)
        return varwrite.edited(flash, {key: None})
    return _change(arguments, conf, edit, f'remove {key.name}')


def _boot_next(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    return _set_numbers(arguments, conf, 'BootNext', [arguments.option])


def _boot_order(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    return _set_numbers(arguments, conf, 'BootOrder', arguments.options)


def _set_numbers(arguments: argparse.Namespace, conf: cfg.ConfigOpts,
                 name: str, numbers: list[int]) -> int:
    key = varstore.VariableKey(boot_options.GLOBAL, name)

    def edit(flash: bytes) -> bytes:
        known = boot_options.boot_options(varstore.parse(flash))
        for number in numbers:
            if number not in known:
                raise exception.NoSuchBootOption(
                    option=f'Boot{number:04X}',
                    known=', '.join(f'Boot{each:04X}' for each in known)
                    or 'none')
        return varwrite.edited(flash, {key: varstore.Variable(
            key, _DEFAULT_ATTRIBUTES,
            struct.pack(f'<{len(numbers)}H', *numbers))})
    shown = ','.join(f'{number:04X}' for number in numbers)
    return _change(arguments, conf, edit, f'set {name} to {shown}')


def _diff(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    wanted = exchange.read(nvram_files.content_of(arguments.file))
    found = _tools(conf).editor.look(arguments.server).variables
    differences = nvram_show.differences(found, varstore.VariableStore(
        True, {variable.key: variable for variable in wanted}))
    if arguments.format == 'json':
        print(json.dumps(differences, indent=4))
    elif differences:
        print(nvram_show.differences_table(differences))
    else:
        print('No variable differs.')
    return FOUND if differences else 0


def _export(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    raw = arguments.format == 'raw'
    if raw and not arguments.output:
        raise exception.FileUnusable(
            path='standard output', reason='it takes no flash; give --output')
    found = _tools(conf).editor.look(arguments.server, whole=raw,
                                     running=True)
    if raw:
        content = found.flash
    else:
        variables = found.variables.variables.values()
        content = (exchange.to_json(variables) + '\n' if
                   arguments.format == 'json' else
                   exchange.to_aws(variables) + '\n').encode()
    if arguments.output:
        with nvram_files.new_file(arguments.output) as stream:
            nvram_files.write_sparse(stream, content)
    else:
        sys.stdout.write(content.decode())
    return 0


def _import(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    content = nvram_files.content_of(arguments.file)
    raw = exchange.kind_of(content) == 'raw'
    # Before the server is touched.
    wanted = exchange.read(content)

    def edit(flash: bytes) -> bytes:
        if raw:
            return nvram_change.flash_of_size(content, len(flash))
        return varwrite.edited(flash, varwrite.replacement(
            wanted, varstore.parse(flash).variables.values()))
    return _change(arguments, conf, edit,
                   f'replace all variables by the {len(wanted)} of '
                   f'{arguments.file}', whole=raw)


def _reset(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    return _agreed_change(
        arguments, conf, 'begin with the firmware\'s template at the next '
        'start', lambda tools: tools.editor.reset(arguments.server))


def _undo(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    return _agreed_change(
        arguments, conf, 'bring back what was there at the last start',
        lambda tools: tools.editor.undo(arguments.server))


def _migrate_type(arguments: argparse.Namespace,
                  conf: cfg.ConfigOpts) -> int:
    if not agreed(arguments, f'Server {arguments.server}: move the volume '
                  f'with its UEFI variables to type {arguments.type}?'):
        return 0
    tools = _tools(conf)
    moved = nvram_retype.Retyper(
        conf.host, tools.servers, tools.volumes,
        nvram_retype.hosted_stores(conf, tools.volumes, tools.host_side),
        arguments.limit, lambda line: print(line, file=sys.stderr)).retype(
            arguments.server, arguments.type)
    print(f'Volume {moved} is of type {arguments.type}.')
    return 0


def _change(arguments: argparse.Namespace, conf: cfg.ConfigOpts,
            edit: Callable[[bytes], bytes], what: str,
            whole: bool = False) -> int:
    return _agreed_change(
        arguments, conf, what, lambda tools: tools.editor.change(
            arguments.server, edit, whole))


def _agreed_change(arguments: argparse.Namespace, conf: cfg.ConfigOpts,
                   what: str,
                   work: Callable[[_Tools], nvram_change.Change]) -> int:
    what = text.printable(what)
    if not agreed(arguments, f'Server {arguments.server}: {what}?'):
        return 0
    done = work(_tools(conf))
    if not done.written and not done.snapshot:
        print(f'Server {done.server.uuid}: nothing to do, it is so already.')
        return 0
    kept = ('' if done.snapshot is None else
            f' Snapshot {done.snapshot} keeps the content before until the '
            'next start; "armvm-manage nvram undo" brings it back.')
    print(f'Server {done.server.uuid}: done: {what}.{kept}')
    return 0


def agreed(arguments: argparse.Namespace, question: str) -> bool:
    """Ask, unless --yes was given; say so when nothing is done."""
    if arguments.yes:
        return True
    print(f'{question} [y/N] ', end='', file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ('y', 'yes'):
        return True
    print('Nothing was changed.', file=sys.stderr)
    return False


# The parser

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
    every.set_defaults(work=_list)
    show = _action(actions, 'show', 'show the variables of a server, also '
                   'while it runs on this host', _show)
    _with_format(show)
    diff = _action(actions, 'diff', 'compare the variables of a server that '
                   'is off with a file', _diff)
    diff.add_argument('file', metavar='FILE',
                      help='as export writes it, of any format')
    _with_format(diff)
    export = _action(actions, 'export', 'write the variables of a server to '
                     'a file', _export)
    export.add_argument('-f', '--format', choices=exchange.FORMATS,
                        default='json',
                        help='the flash, variables as virt-fw-vars writes '
                        'them, or EC2\'s UefiData (default %(default)s)')
    export.add_argument('-o', '--output', metavar='FILE',
                        help='a new file, instead of standard output')


def _add_variables(actions: argparse._SubParsersAction) -> None:
    get = _action(actions, 'get', 'print the content of a variable of a '
                  'server that is off, hexadecimal', _get)
    _with_variable(get)
    get.add_argument('-o', '--output', metavar='FILE',
                     help='write the bytes to a new file instead')
    change = _action(actions, 'set', 'set a variable of a server that is off',
                     _set, changes=True)
    _with_variable(change)
    content = change.add_mutually_exclusive_group(required=True)
    content.add_argument('--hex', type=nvram_words.hexadecimal, metavar='HEX',
                         help='its content')
    content.add_argument('--file', metavar='FILE', help='with its content')
    change.add_argument('--attributes', type=nvram_words.attributes,
                        metavar='NUMBER',
                        help='default: those that it has, or 0x7')
    unset = _action(actions, 'unset', 'remove a variable of a server that is '
                    'off', _unset, changes=True)
    _with_variable(unset)
    following = _action(actions, 'set-boot-next', 'choose the boot option of '
                        'the next start alone', _boot_next, changes=True)
    following.add_argument('option', type=nvram_words.boot_number,
                           metavar='NNNN')
    order = _action(actions, 'set-boot-order', 'choose the order of the boot '
                    'options', _boot_order, changes=True)
    order.add_argument('options', type=nvram_words.boot_numbers,
                       metavar='NNNN,...')


def _add_whole(actions: argparse._SubParsersAction) -> None:
    replace = _action(actions, 'import', 'replace the variables of a server '
                      'that is off by those of a file', _import, changes=True)
    replace.add_argument('file', metavar='FILE',
                         help='as export writes it, of any format')
    _action(actions, 'reset', 'have a server that is off begin with the '
            'firmware\'s template again', _reset, changes=True)
    _action(actions, 'undo', 'take back the changes since the last start',
            _undo, changes=True)
    migrate = _action(actions, 'migrate-type', 'move the store of a server '
                      'that is off to another volume type (on the host of '
                      'the server)', _migrate_type, changes=True)
    migrate.add_argument('type', metavar='TYPE', help='its name')
    migrate.add_argument('--limit', type=int, default=600, metavar='SECONDS',
                         help='that Cinder may take (default %(default)s)')
