# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage nvram``: what its actions do.

Each takes the words of the command line (nova_armvm.cmd.nvram_parser) and
nova.conf, and returns the exit status.
"""
import argparse
from collections.abc import Callable
import dataclasses
import struct
import sys

from oslo_config import cfg

from nova_armvm.cmd import compute
from nova_armvm.cmd import dialogue
from nova_armvm.cmd import held_server
from nova_armvm.cmd import nvram_diff
from nova_armvm.cmd import nvram_files
from nova_armvm.cmd import nvram_history
from nova_armvm.cmd import nvram_retype
from nova_armvm.cmd import nvram_show
from nova_armvm.cmd import nvram_verify
from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.store import change as store_change
from nova_armvm.store import cinder
from nova_armvm.uefi import boot
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import text
from nova_armvm.uefi import varstore
from nova_armvm.virt import preflight

#: Non-volatile, at boot and at run time: what an operating system writes.
_DEFAULT_ATTRIBUTES = 0x07


@dataclasses.dataclass(frozen=True)
class _Tools:
    servers: held_server.Servers
    access: store_access.StoreAccess
    editor: store_change.StoreEditor


def _volumes(conf: cfg.ConfigOpts) -> cinder.StoreVolumes:
    return cinder.StoreVolumes(
        conf.host, conf.armvm.nvram_volume_type,
        cinder.Patience(
            limit=(conf.block_device_allocate_retries *
                   conf.block_device_allocate_retries_interval),
            interval=5))


def _tools(conf: cfg.ConfigOpts) -> _Tools:
    servers = held_server.Servers(compute.nova_adapter(
        conf, compute.session_from_conf(conf)))
    access = store_access.StoreAccess.from_conf(conf, _volumes(conf))
    return _Tools(servers, access,
                  store_change.StoreEditor(servers, access))


def list_stores(arguments: argparse.Namespace,
                conf: cfg.ConfigOpts) -> int:
    """Show the stores of all servers."""
    stores = _volumes(conf).all_stores()
    print(nvram_show.stores_json(stores) if arguments.format == 'json' else
          nvram_show.stores_table(stores))
    return dialogue.DONE


def show(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Show the variables of a server."""
    found = _tools(conf).editor.look(arguments.server, running=True)
    if arguments.format == 'json':
        print(nvram_show.variables_json(found.variables))
        return dialogue.DONE
    print(nvram_show.variables_table(found.variables))
    waiting = nvram_show.waiting_line(found.volume)
    if waiting:
        print(waiting)
    return dialogue.DONE


def _key(arguments: argparse.Namespace) -> varstore.VariableKey:
    return varstore.VariableKey(arguments.guid, arguments.name)


def _present(found: varstore.VariableStore,
             key: varstore.VariableKey) -> varstore.Variable:
    variable = found.variables.get(key)
    if variable is None:
        raise exception.NoSuchVariable(name=text.printable(key.name),
                                       guid=key.guid)
    return variable


def get(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Print the content of a variable, or write it to a file."""
    found = _tools(conf).editor.look(arguments.server).variables
    variable = _present(found, _key(arguments))
    if arguments.output:
        with nvram_files.new_file(arguments.output) as stream:
            stream.write(variable.content)
    else:
        print(variable.content.hex())
    return dialogue.DONE


def set_variable(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Set a variable."""
    content = arguments.hex
    if arguments.file:
        content = nvram_files.content_of(arguments.file)
    key = _key(arguments)

    def changed(flash: bytes) -> bytes:
        old = varstore.parse(flash).variables.get(key)
        bits = arguments.attributes
        if bits is None:
            bits = old.attributes if old else _DEFAULT_ATTRIBUTES
        return edit.edited(flash, {key: varstore.Variable(
            key, bits, content, old.timestamp if old else None)})
    return _change(arguments, conf, changed, f'set {key.name}')


def unset(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Remove a variable."""
    key = _key(arguments)

    def changed(flash: bytes) -> bytes:
        _present(varstore.parse(flash), key)
        return edit.edited(flash, {key: None})
    return _change(arguments, conf, changed, f'remove {key.name}')


def boot_next(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Choose the boot option of the next start alone."""
    return _set_numbers(arguments, conf, 'BootNext', [arguments.option])


def boot_order(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Choose the order of the boot options."""
    return _set_numbers(arguments, conf, 'BootOrder', arguments.options)


def _set_numbers(arguments: argparse.Namespace, conf: cfg.ConfigOpts,
                 name: str, numbers: list[int]) -> int:
    key = varstore.VariableKey(boot.GLOBAL, name)

    def changed(flash: bytes) -> bytes:
        known = boot.boot_options(varstore.parse(flash))
        for number in numbers:
            if number not in known:
                raise exception.NoSuchBootOption(
                    option=f'Boot{number:04X}',
                    known=', '.join(f'Boot{each:04X}' for each in known)
                    or 'none')
        return edit.edited(flash, {key: varstore.Variable(
            key, _DEFAULT_ATTRIBUTES,
            struct.pack(f'<{len(numbers)}H', *numbers))})
    shown = ','.join(f'{number:04X}' for number in numbers)
    return _change(arguments, conf, changed, f'set {name} to {shown}')


def history(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Show the versions of a server's store."""
    entries = _tools(conf).editor.history(arguments.server, arguments.limit)
    print(nvram_history.as_json(entries) if arguments.format == 'json' else
          nvram_history.as_table(entries))
    return dialogue.DONE


_Side = tuple[str, nvram_diff.Variables]


def diff(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Compare the variables of a server with others, or with earlier ones."""
    compared = _versions if arguments.version else _with_others
    (name, first), (other, second) = compared(arguments, conf)
    differences = nvram_diff.compare(first, second)
    if arguments.format == 'json':
        print(nvram_diff.as_json(differences))
    elif differences:
        print(nvram_diff.as_table(differences, name, other))
    else:
        print('No variable differs.')
    return dialogue.FOUND if differences else dialogue.DONE


def _versions(arguments: argparse.Namespace,
              conf: cfg.ConfigOpts) -> list[_Side]:
    """Return two versions, or the newest and another one."""
    numbers = ([None] + arguments.version)[-2:]
    looks = _tools(conf).editor.looks(arguments.server, numbers,
                                      running=True)
    return [(arguments.server if number is None else f'version {number}',
             look.variables.variables)
            for number, look in zip(numbers, looks)]


def _with_others(arguments: argparse.Namespace,
                 conf: cfg.ConfigOpts) -> list[_Side]:
    """Return the newest version, and a file or that of another server."""
    name = arguments.file
    if name:
        # Before the servers are touched.
        second = {variable.key: variable for variable in formats.read(
            nvram_files.content_of(name))}
    editor = _tools(conf).editor
    first = _newest(editor, arguments.server)
    if not name:
        name = arguments.with_server
        second = _newest(editor, name)
    return [(arguments.server, first), (name, second)]


def _newest(editor: store_change.StoreEditor,
            server: str) -> nvram_diff.Variables:
    return editor.look(server, running=True).variables.variables


def export(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Write all variables to a file or to standard output."""
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
        content = (formats.to_json(variables) + '\n' if
                   arguments.format == 'json' else
                   formats.to_aws(variables) + '\n').encode()
    if arguments.output:
        with nvram_files.new_file(arguments.output) as stream:
            nvram_files.write_sparse(stream, content)
    else:
        sys.stdout.write(content.decode())
    return dialogue.DONE


def import_file(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Replace all variables by those of a file."""
    content = nvram_files.content_of(arguments.file)
    raw = formats.kind_of(content) == 'raw'
    # Before the server is touched.
    wanted = formats.read(content)

    def changed(flash: bytes) -> bytes:
        if raw:
            return store_change.flash_of_size(content, len(flash))
        return edit.edited(flash, edit.replacement(
            wanted, varstore.parse(flash).variables.values()))
    return _change(arguments, conf, changed,
                   f'replace all variables by the {len(wanted)} of '
                   f'{arguments.file}', whole=raw)


def reset(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Have the next start begin with the server's template."""
    return _agreed_change(
        arguments, conf, 'begin with its template at the next start',
        lambda tools: tools.editor.reset(arguments.server))


def undo(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Take back the changes since the guest last wrote."""
    return _agreed_change(
        arguments, conf, 'take back the changes since its guest last wrote',
        lambda tools: tools.editor.undo(arguments.server), final=True)


def restore(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Bring an earlier version back."""
    return _agreed_change(
        arguments, conf, f'bring version {arguments.version} back',
        lambda tools: tools.editor.restore(arguments.server,
                                           arguments.version))


def verify(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    """Compare what QEMU has in memory with what the flash service has."""
    if arguments.adopt and not dialogue.agreed(
            arguments, f'Server {arguments.server}: commit what QEMU holds, '
            'if that differs?'):
        return dialogue.FAILED
    tools = _tools(conf)
    verified = nvram_verify.verify(conf, tools.servers, tools.access,
                                   arguments.server, arguments.adopt)
    print(verified)
    return dialogue.DONE if verified.settled else dialogue.FOUND


def migrate_type(arguments: argparse.Namespace,
                 conf: cfg.ConfigOpts) -> int:
    """Move a store to another volume type."""
    if not dialogue.agreed(
            arguments, f'Server {arguments.server}: move the volume with its '
            f'UEFI variables to type {arguments.type}?'):
        return dialogue.FAILED
    tools = _tools(conf)
    moved = nvram_retype.Retyper(
        conf.host, tools.servers, tools.access.volumes,
        tools.access.stores.attachments, arguments.limit,
        lambda: preflight.has_rbd(conf.armvm.nvramd_directory),
        dialogue.say).retype(arguments.server, arguments.type)
    print(f'Volume {moved} is of type {arguments.type}.')
    return dialogue.DONE


def _change(arguments: argparse.Namespace, conf: cfg.ConfigOpts,
            edit: Callable[[bytes], bytes], what: str,
            whole: bool = False) -> int:
    return _agreed_change(
        arguments, conf, what, lambda tools: tools.editor.change(
            arguments.server, edit, whole))


def _agreed_change(arguments: argparse.Namespace, conf: cfg.ConfigOpts,
                   what: str,
                   work: Callable[[_Tools], store_change.Change],
                   final: bool = False) -> int:
    """Do what was agreed to and tell what came of it.

    :param what: in words.
    :param final: "undo" would not take it back.
    """
    what = text.printable(what)
    if not dialogue.agreed(arguments, f'Server {arguments.server}: {what}?'):
        return dialogue.FAILED
    done = work(_tools(conf))
    if done.nothing:
        print(f'Server {done.server.uuid}: nothing to do, it is so already.')
        return dialogue.DONE
    parts = [f'Server {done.server.uuid}: done: {what}.']
    if done.copied is not None:
        parts.append(f'Version {done.version} is a copy of version '
                     f'{done.copied}.')
    elif done.version is not None:
        parts.append(f'That is version {done.version}.')
    if not final:
        parts.append('"armvm-manage nvram undo" takes it back.')
    print(' '.join(parts))
    return dialogue.DONE
