# SPDX-License-Identifier: Apache-2.0
"""Variables and stores as a person or a program wants to see them."""
from collections.abc import Iterable
import json
import typing as ty

import prettytable

from nova_armvm.nvram import boot_options
from nova_armvm.nvram import device_path
from nova_armvm.nvram import previous
from nova_armvm.nvram import store
from nova_armvm.nvram import text
from nova_armvm.nvram import varstore
from nova_armvm.nvram import volume as cinder_volume

_SHOWN_BYTES = 16


def _table(columns: Iterable[str], rows: Iterable[Iterable[ty.Any]]) -> str:
    table = prettytable.PrettyTable(list(columns))
    table.align = 'l'
    for row in rows:
        table.add_row([text.printable(str(each)) for each in row])
    return table.get_string()


def variables_table(found: varstore.VariableStore) -> str:
    """Show every variable in a line, and what is booted in words."""
    if not found.formatted:
        return 'No firmware has used this store yet; it is empty.'
    rows = []
    for key, variable in sorted(found.variables.items()):
        content = variable.content
        more = '...' if len(content) > _SHOWN_BYTES else ''
        rows.append((key.name, key.guid, text.attributes(variable.attributes),
                     len(content), content[:_SHOWN_BYTES].hex() + more))
    parts = [_table(('Variable', 'Vendor', 'Attributes', 'Bytes', 'Content'),
                    rows), *text.boot_lines(found)]
    if found.write_pending:
        parts.append('The last rewrite of the store was interrupted; these '
                     'are the variables of its complete copy.')
    return '\n'.join(parts)


def variables_json(found: varstore.VariableStore) -> str:
    """Show the same to a program."""
    return json.dumps({
        'formatted': found.formatted, 'write_pending': found.write_pending,
        'boot_next': boot_options.boot_next(found),
        'boot_order': list(boot_options.boot_order(found)),
        'boot_options': [
            {'number': number, 'readable': option is not None,
             **(_option(option) if option is not None else {})}
            for number, option in boot_options.boot_options(found).items()],
        'variables': [
            {'name': key.name, 'guid': str(key.guid),
             'attributes': variable.attributes,
             'timestamp': (variable.timestamp.isoformat()
                           if variable.timestamp else None),
             'content': variable.content.hex()}
            for key, variable in sorted(found.variables.items())],
    }, indent=4)


def _option(option: boot_options.BootOption) -> dict[str, ty.Any]:
    return {'active': option.active, 'description': option.description,
            'path': device_path.to_text(option.path),
            'made_by_firmware': option.made_by_firmware}


_STORES = ('Server', 'Volume', 'Status', 'Attached to', 'Type', 'Firmware',
           'Flash', 'Secure Boot', 'Waiting')


def _waiting(found: cinder_volume.Volume) -> str:
    """Tell what the next start will do or find."""
    metadata = found.metadata
    words = []
    if metadata.get(previous.CHANGING_KEY) == str(True):
        words.append('unfinished change')
    if metadata.get(store.RESET_KEY) == str(True):
        words.append('reset')
    if previous.snapshot_of(found):
        words.append('previous content kept')
    return ', '.join(words)


def stores_table(stores: Iterable[cinder_volume.Volume]) -> str:
    """Show each server's store in a line."""
    rows = [(each['server'], each['volume'], each['status'],
             ', '.join(each['hosts']) or '-', each['type'] or '-',
             each['firmware'] or '-', each['flash_size'] or '-',
             each['secure_boot'] or '-', each['waiting'] or '-')
            for each in _stores(stores)]
    return _table(_STORES, rows)


def stores_json(stores: Iterable[cinder_volume.Volume]) -> str:
    """Show the same to a program."""
    return json.dumps(_stores(stores), indent=4)


def _stores(stores: Iterable[cinder_volume.Volume]
            ) -> list[dict[str, ty.Any]]:
    return [{
        'server': each.instance, 'volume': each.id, 'status': each.status,
        'hosts': sorted(host or '?' for host in each.hosts.values()),
        'type': each.volume_type,
        'firmware': each.metadata.get(store.DESCRIPTOR_KEY),
        'flash_size': each.metadata.get(store.FLASH_SIZE_KEY),
        'secure_boot': each.metadata.get(store.SECURE_BOOT_KEY),
        'waiting': _waiting(each),
    } for each in sorted(stores, key=lambda volume: volume.instance)]


def differences(before: varstore.VariableStore,
                after: varstore.VariableStore) -> list[dict[str, ty.Any]]:
    """Compare two stores, variable by variable.

    :returns: name, guid and what is different, in order; nothing for equal
        stores.
    """
    found = []
    for key in sorted({*before.variables, *after.variables}):
        old, new = before.variables.get(key), after.variables.get(key)
        if old == new:
            continue
        what = ('only in the file' if old is None else
                'only in the server\'s store' if new is None else 'differs')
        found.append({'name': key.name, 'guid': str(key.guid),
                      'difference': what,
                      'in_store': old.content.hex() if old else None,
                      'in_file': new.content.hex() if new else None})
    return found


def differences_table(found: list[dict[str, ty.Any]]) -> str:
    """Show differences to a person."""
    def shown(content: str | None) -> str:
        if content is None:
            return '-'
        more = '...' if len(content) > 2 * _SHOWN_BYTES else ''
        return content[:2 * _SHOWN_BYTES] + more
    return _table(
        ('Variable', 'Vendor', 'Difference', 'In the store', 'In the file'),
        [(each['name'], each['guid'], each['difference'],
          shown(each['in_store']), shown(each['in_file']))
         for each in found])
