# SPDX-License-Identifier: Apache-2.0
"""Device paths of UEFI: nodes, PCI addresses and words.

As in the UEFI specification 2.10, sections 10.3 and 10.6 (text).
"""
from collections.abc import Callable
import dataclasses
import ipaddress
import struct
import uuid

#: (device, function) pairs from the root bridge downwards.
PciPath = tuple[tuple[int, int], ...]

_HARDWARE, _ACPI, _MESSAGING, _MEDIA, _END = 0x01, 0x02, 0x03, 0x04, 0x7F
_HEADER = struct.Struct('<BBH')

_PCI = (_HARDWARE, 0x01)
_MEMORY_MAPPED = (_HARDWARE, 0x03)
_ACPI_DEVICE = (_ACPI, 0x01)
_FIRMWARE_FILE = (_MEDIA, 0x06)
_FIRMWARE_VOLUME = (_MEDIA, 0x07)
#: PNP0A03 and PNP0A08, PCI and PCI Express, as compressed EISA names.
_PCI_ROOTS = (0x0A0341D0, 0x0A0841D0)

_SHOWN_BYTES = 32
_SHOWN_NODES = 32


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a device path.

    :ivar kind: type and subtype.
    :ivar content: what follows its header.
    """

    kind: tuple[int, int]
    content: bytes


def decode(path: bytes) -> tuple[Node, ...] | None:
    """Return the nodes of the first device path in ``path``.

    :returns: without the node that ends it; None for a path that firmware
        would refuse: one that does not end, or with an impossible length.
    """
    nodes: list[Node] = []
    offset = 0
    while offset + _HEADER.size <= len(path):
        kind, subtype, length = _HEADER.unpack_from(path, offset)
        if kind == _END:
            return tuple(nodes)
        if length < _HEADER.size or offset + length > len(path):
            return None
        nodes.append(Node((kind, subtype),
                          path[offset + _HEADER.size:offset + length]))
        offset += length
    return None


def pci_path(nodes: tuple[Node, ...]) -> PciPath:
    """Return where on PCI a path leads; empty for a path that does not."""
    if not nodes or not _is_pci_root(nodes[0]):
        return ()
    found = []
    for node in nodes[1:]:
        if node.kind != _PCI or len(node.content) != 2:
            break
        function, device = node.content
        found.append((device, function))
    return tuple(found)


def _is_pci_root(node: Node) -> bool:
    return (node.kind == _ACPI_DEVICE and len(node.content) >= 8 and
            struct.unpack_from('<I', node.content)[0] in _PCI_ROOTS)


def is_firmware_file(nodes: tuple[Node, ...]) -> bool:
    """Tell whether a path names a program in the firmware itself."""
    return len(nodes) == 2 and (
        nodes[0].kind in (_FIRMWARE_VOLUME, _MEMORY_MAPPED) and
        nodes[1].kind == _FIRMWARE_FILE)


def to_text(nodes: tuple[Node, ...]) -> str:
    """Write a path in the specification's words.

    What a guest put into names is in the result as it is: see
    nova_armvm.uefi.text.printable() before it goes to a terminal.
    """
    shown = [_node_text(node) for node in nodes[:_SHOWN_NODES]]
    if len(nodes) > _SHOWN_NODES:
        shown.append('...')
    return '/'.join(shown)


def _node_text(node: Node) -> str:
    words = _WORDS.get(node.kind)
    if words is not None:
        try:
            return words(node.content)
        except (struct.error, ValueError):
            # Shorter than its kind demands; shown as it is.
            pass
    kind, subtype = node.kind
    shown = node.content[:_SHOWN_BYTES].hex()
    more = '...' if len(node.content) > _SHOWN_BYTES else ''
    return f'Path({kind},{subtype},{shown}{more})'


def _numbers(name: str, layout: str) -> Callable[[bytes], str]:
    """Return a writer of nodes that consist of numbers."""
    def words(content: bytes) -> str:
        values = struct.unpack_from(layout, content)
        return f'{name}({",".join(f"{value:#x}" for value in values)})'
    return words


def _guid(name: str) -> Callable[[bytes], str]:
    def words(content: bytes) -> str:
        return f'{name}({uuid.UUID(bytes_le=content[:16])})'
    return words


def _pci(content: bytes) -> str:
    function, device = struct.unpack_from('<BB', content)
    return f'Pci({device:#x},{function:#x})'


def _acpi(content: bytes) -> str:
    hid, uid = struct.unpack_from('<II', content)
    if hid in _PCI_ROOTS:
        return f'PciRoot({uid:#x})'
    if hid & 0xFFFF == 0x41D0:
        return f'Acpi(PNP{hid >> 16:04X},{uid:#x})'
    return f'Acpi({hid:#010x},{uid:#x})'


def _mac(content: bytes) -> str:
    address, kind = struct.unpack_from('<32sB', content)
    # Ethernet's have six bytes, whatever the field could hold.
    shown = address[:6] if kind in (0, 1) else address
    return f'MAC({shown.hex()},{kind:#x})'


def _ipv4(content: bytes) -> str:
    _local, remote = struct.unpack_from('<4s4s', content)
    return f'IPv4({ipaddress.IPv4Address(remote)})'


def _ipv6(content: bytes) -> str:
    _local, remote = struct.unpack_from('<16s16s', content)
    return f'IPv6({ipaddress.IPv6Address(remote)})'


def _nvme(content: bytes) -> str:
    namespace, identifier = struct.unpack_from('<I8s', content)
    return f'NVMe({namespace:#x},{identifier[::-1].hex("-").upper()})'


def _uri(content: bytes) -> str:
    return f'Uri({content.decode("utf-8", "backslashreplace")})'


def _hard_drive(content: bytes) -> str:
    number, start, size, signature, _form, kind = struct.unpack_from(
        '<IQQ16sBB', content)
    if kind == 2:
        disk = f'GPT,{uuid.UUID(bytes_le=signature)}'
    elif kind == 1:
        disk = f'MBR,{struct.unpack_from("<I", signature)[0]:#010x}'
    else:
        disk = f'{kind},{signature.hex()}'
    return f'HD({number},{disk},{start:#x},{size:#x})'


def _file(content: bytes) -> str:
    even = content[:len(content) // 2 * 2]
    name = even.decode('utf-16-le', 'backslashreplace')
    return f'File({name.partition(chr(0))[0]})'


_WORDS: dict[tuple[int, int], Callable[[bytes], str]] = {
    _PCI: _pci,
    _MEMORY_MAPPED: _numbers('MemoryMapped', '<IQQ'),
    (_HARDWARE, 0x04): _guid('VenHw'),
    _ACPI_DEVICE: _acpi,
    (_MESSAGING, 0x02): _numbers('Scsi', '<HH'),
    (_MESSAGING, 0x05): _numbers('USB', '<BB'),
    (_MESSAGING, 0x0A): _guid('VenMsg'),
    (_MESSAGING, 0x0B): _mac,
    (_MESSAGING, 0x0C): _ipv4,
    (_MESSAGING, 0x0D): _ipv6,
    (_MESSAGING, 0x0E): _numbers('Uart', '<4xQBBB'),
    (_MESSAGING, 0x12): _numbers('Sata', '<HHH'),
    (_MESSAGING, 0x17): _nvme,
    (_MESSAGING, 0x18): _uri,
    (_MEDIA, 0x01): _hard_drive,
    (_MEDIA, 0x02): _numbers('CDROM', '<IQQ'),
    (_MEDIA, 0x03): _guid('VenMedia'),
    (_MEDIA, 0x04): _file,
    _FIRMWARE_FILE: _guid('FvFile'),
    _FIRMWARE_VOLUME: _guid('Fv'),
}
