# SPDX-License-Identifier: Apache-2.0
"""Variables in words, fit for a terminal whatever a guest wrote."""
from collections.abc import Iterator
import struct
import uuid

from nova_armvm.nvram import boot_options
from nova_armvm.nvram import varstore

_MAX_TEXT = 200


def printable(text: str) -> str:
    """Replace what could steer a terminal, and shorten what is too long."""
    clean = ''.join(char if char.isprintable() else '\N{REPLACEMENT CHARACTER}'
                    for char in text[:_MAX_TEXT])
    return clean + ('...' if len(text) > _MAX_TEXT else '')


def device_path(path: tuple[boot_options.Node, ...]) -> str:
    """Write a device path as firmware would show it."""
    return '/'.join(_node(node) for node in path) or '(none)'


def _node(node: boot_options.Node) -> str:
    try:
        return _WORDS[node.kind](node.content)
    except (KeyError, struct.error, IndexError):
        kind, subtype = node.kind
        return f'Path({kind},{subtype},{node.content[:32].hex()})'


def _acpi(content: bytes) -> str:
    hid, uid = struct.unpack_from('<II', content)
    name = {0x0A0341D0: 'PciRoot', 0x0A0841D0: 'PciRoot'}.get(
        hid, f'Acpi({hid:#x})')
    return f'{name}({uid:#x})'


def _disk(content: bytes) -> str:
    number, _start, _size, signature, _form, kind = struct.unpack_from(
        '<IQQ16sBB', content)
    if kind == 2:
        return f'HD({number},GPT,{uuid.UUID(bytes_le=signature)})'
    return f'HD({number},{signature[:4].hex()})'


def _file(content: bytes) -> str:
    return printable(content.decode('utf-16-le', 'replace').rstrip('\0'))


_WORDS = {
    (0x01, 0x01): lambda raw: f'Pci({raw[1]:#x},{raw[0]:#x})',
    (0x02, 0x01): _acpi,
    (0x03, 0x02): lambda raw: 'Scsi({:#x},{:#x})'.format(
        *struct.unpack_from('<HH', raw)),
    (0x03, 0x0B): lambda raw: f'MAC({raw[:6].hex()})',
    (0x03, 0x0C): lambda raw: 'IPv4()',
    (0x03, 0x0D): lambda raw: 'IPv6()',
    (0x03, 0x18): lambda raw: f'Uri({printable(raw.decode("ascii", "replace"))})',
    (0x04, 0x01): _disk,
    (0x04, 0x04): _file,
    (0x04, 0x06): lambda raw: f'FvFile({uuid.UUID(bytes_le=raw[:16])})',
    (0x04, 0x07): lambda raw: f'Fv({uuid.UUID(bytes_le=raw[:16])})',
}


def boot_lines(store: varstore.VariableStore) -> Iterator[str]:
    """Yield the boot order and the boot options, one a line."""
    order = boot_options.boot_order(store)
    if order is None:
        yield 'BootOrder: not set'
    else:
        yield 'BootOrder: ' + ','.join(f'{number:04X}' for number in order)
    for number, option in boot_options.boot_options(store).items():
        yield (f'Boot{number:04X}: {printable(option.description)} '
               f'{device_path(option.path)}')
