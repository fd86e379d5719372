# SPDX-License-Identifier: Apache-2.0
"""Boot#### variables as a guest's boot loader installer writes them."""
import struct
import uuid

_ACTIVE = 1
_END = b'\x7f\xff\x04\x00'

#: Non-volatile, boot service and runtime access.
ATTRIBUTES = 7


def _node(kind: int, subtype: int, content: bytes) -> bytes:
    return struct.pack('<BBH', kind, subtype, 4 + len(content)) + content


def _option(description: str, path: bytes) -> bytes:
    path += _END
    return (struct.pack('<IH', _ACTIVE, len(path)) +
            description.encode('utf-16-le') + b'\0\0' + path)


def for_file(description: str, partition: uuid.UUID, start: int,
             sectors: int, file: str) -> bytes:
    r"""Return an option that starts a program on a GPT partition.

    :param start: first sector of the partition.
    :param file: path with backslashes, as ``\EFI\BOOT\BOOTAA64.EFI``.
    """
    disk = struct.pack('<IQQ16sBB', 1, start, sectors, partition.bytes_le,
                       2, 2)
    name = file.encode('utf-16-le') + b'\0\0'
    return _option(description, _node(4, 1, disk) + _node(4, 4, name))


def for_network(description: str, mac: bytes) -> bytes:
    """Return an option that boots from the network (IPv4)."""
    hardware = mac.ljust(32, b'\0') + b'\x01'
    return _option(description, _node(3, 11, hardware) +
                   _node(3, 12, bytes(23)))


def order(*numbers: int) -> bytes:
    """Return the content of BootOrder."""
    return struct.pack(f'<{len(numbers)}H', *numbers)
