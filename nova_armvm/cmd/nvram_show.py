# SPDX-License-Identifier: Apache-2.0
"""Variables and stores as a person or a program wants to see them."""
from collections.abc import Iterable
import json
import typing as ty

import prettytable

from nova_armvm.store import cinder
from nova_armvm.uefi import boot
from nova_armvm.uefi import device_path
from nova_armvm.uefi import text
from nova_armvm.uefi import varstore

_SHOWN_BYTES = 16


def table(columns: Iterable[str], rows: Iterable[Iterable[ty.Any]]) -> str:
    """Return a table in which nothing steers a terminal."""
    made = prettytable.PrettyTable(list(columns))
    made.align = 'l'
    for row in rows:
        made.add_row([text.printable(str(each)) for each in row])
    return made.get_string()


def beginning(content: bytes) -> str:
    """Return the first bytes of a variable's content, hexadecimal."""
    return content[:_SHOWN_BYTES].hex() + (
        '...' if len(content) > _SHOWN_BYTES else '')


def waiting_line(found: cinder.StoreVolume) -> str:
    """Return what the next start will do or find; empty for nothing."""
    waiting = _waiting(found)
    return f'At the next start: {waiting}.' if waiting else ''


def variables_table(found: varstore.VariableStore) -> str:
    """Show every variable in a line, and what is booted in words."""
    if not found.formatted:
        return 'No firmware has used this store yet; it is empty.'
    rows = [(key.name, key.guid, text.attributes(variable.attributes),
             len(variable.content), beginning(variable.content))
            for key, variable in sorted(found.variables.items())]
    parts = [table(('Variable', 'Vendor', 'Attributes', 'Bytes', 'Content'),
                   rows), *text.boot_lines(found)]
    if found.write_pending:
        parts.append('The last rewrite of the store was interrupted; these '
                     'are the variables of its complete copy.')
    return '\n'.join(parts)


def variables_json(found: varstore.VariableStore) -> str:
    """Show the same to a program."""
    return json.dumps({
        'formatted': found.formatted, 'write_pending': found.write_pending,
        'boot_next': boot.boot_next(found),
        'boot_order': list(boot.boot_order(found)),
        'boot_options': [
            {'number': number, 'readable': option is not None,
             **(_option(option) if option is not None else {})}
            for number, option in boot.boot_options(found).items()],
        'variables': [
            {'name': key.name, 'guid': str(key.guid), **variable(each)}
            for key, each in sorted(found.variables.items())],
    }, indent=4)


def variable(found: varstore.Variable) -> dict[str, ty.Any]:
    """Return all of a variable but what tells it from others."""
    return {'attributes': found.attributes,
            'timestamp': (found.timestamp.isoformat()
                          if found.timestamp else None),
            'content': found.content.hex()}


def _option(option: boot.BootOption) -> dict[str, ty.Any]:
    return {'active': option.active, 'description': option.description,
            'path': device_path.to_text(option.path),
            'made_by_firmware': option.made_by_firmware}


_STORES = ('Server', 'Volume', 'Status', 'Attached to', 'Type', 'Firmware',
           'Flash', 'Secure Boot', 'Waiting')


def _waiting(found: cinder.StoreVolume) -> str:
    """Return what the next start will do or find."""
    facts, words = found.facts, []
    if facts.old_change:
        words.append('unfinished change')
    if facts.reset_pending:
        words.append('reset')
    if facts.flash_size is not None and not facts.has_log:
        words.append('conversion')
    if facts.old_snapshot is not None:
        words.append('snapshot of an earlier release')
    return ', '.join(words)


def stores_table(stores: Iterable[cinder.StoreVolume]) -> str:
    """Show each server's store in a line."""
    rows = [(each['server'], each['volume'], each['status'],
             ', '.join(each['hosts']) or '-', each['type'] or '-',
             each['firmware'] or '-', each['flash_size'] or '-',
             each['secure_boot'] or '-', each['waiting'] or '-')
            for each in _stores(stores)]
    return table(_STORES, rows)


def stores_json(stores: Iterable[cinder.StoreVolume]) -> str:
    """Show the same to a program."""
    return json.dumps(_stores(stores), indent=4)


def _stores(stores: Iterable[cinder.StoreVolume]
            ) -> list[dict[str, ty.Any]]:
    return [{
        'server': each.instance, 'volume': each.id, 'status': each.status,
        'hosts': sorted(host or '?' for host in each.hosts.values()),
        'type': each.volume_type,
        'firmware': each.facts.firmware,
        'flash_size': _text(each.facts.flash_size),
        'secure_boot': _text(each.facts.secure_boot),
        'waiting': _waiting(each),
    } for each in sorted(stores, key=lambda volume: volume.instance)]


def _text(value: int | bool | None) -> str | None:
    return None if value is None else str(value)
