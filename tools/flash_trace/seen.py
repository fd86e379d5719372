# SPDX-License-Identifier: Apache-2.0
"""What a guest sees of its variables, against what it was told is written."""
from collections.abc import Mapping
import dataclasses
import uuid

from nova_armvm.uefi import varstore
from tools.flash_trace import machine

#: FNV-1a, 64 bits.
_BASIS, _PRIME, _MASK = 0xcbf29ce484222325, 0x100000001b3, (1 << 64) - 1
_GUID_LENGTH = 36


@dataclasses.dataclass(frozen=True)
class Content:
    """What is known of a variable's content."""

    attributes: int
    length: int
    checksum: int


Contents = Mapping[varstore.VariableKey, Content]


def content_of(attributes: int, content: bytes) -> Content:
    """Return what a guest that sees this content says of it."""
    checksum = _BASIS
    for byte in content:
        checksum = (checksum ^ byte) * _PRIME & _MASK
    return Content(attributes, len(content), checksum)


def by_guest(running: machine.Machine, sequence: int = 0) -> Contents:
    """Ask a guest for its variables."""
    running.lines.clear()
    running.send('list', sequence)
    answer = f'end {sequence} '.encode()
    running.wait(lambda: any(line.startswith(answer)
                             for line in running.lines),
                 machine.ANSWER_SECONDS, 'the list of variables')
    found = {}
    for line in running.lines:
        if line.startswith(b'var '):
            _word, file, attributes, length, checksum = line.decode().split()
            key = varstore.VariableKey(uuid.UUID(file[-_GUID_LENGTH:]),
                                       file[:-_GUID_LENGTH - 1])
            found[key] = Content(int(attributes, 16), int(length),
                                 int(checksum, 16))
    running.lines.clear()
    return found
