# SPDX-License-Identifier: Apache-2.0
"""Facts on a volume, sealed with their own checksum.

A volume may hold anything: what was torn by a crash, what others have left
there, what was made to do harm. So nothing is believed that is not whole, of
the expected type and within bounds.
"""
from collections.abc import Mapping
import hashlib
import json
import struct
import typing as ty

from nova_armvm.nvramd import errors

Facts: ty.TypeAlias = dict[str, ty.Any]

#: Numbers are less than this.
_NUMBER_END = 2 ** 63
_SEAL = struct.Struct('<8sI32s')


def seal(magic: bytes, facts: Facts, size: int) -> bytes:
    """Return facts in a block with a checksum.

    :param magic: 8 bytes that say what the facts are of.
    :param size: of the block in bytes.
    :raises Invalid: if they are too long for it, or a number out of bounds,
        so that unseal() would refuse them.
    """
    if not all(is_of(type(value), value) for value in facts.values()):
        raise errors.Invalid('a number is out of bounds')
    text = json.dumps(facts, separators=(',', ':')).encode('ascii')
    block = _SEAL.pack(magic, len(text), hashlib.sha256(text).digest()) + text
    if len(block) > size:
        raise errors.Invalid(f'{len(block)} bytes of facts do not fit into '
                             f'a block of {size}')
    return block.ljust(size, b'\0')


def unseal(magic: bytes, block: bytes,
           fields: Mapping[str, type]) -> Facts | None:
    """Return the facts in a block.

    :param fields: those that there must be, int (not negative) or str.
    :returns: these fields and no others; None if the block is not whole or
        holds something else.
    """
    if len(block) < _SEAL.size or not block.startswith(magic):
        return None
    _magic, length, digest = _SEAL.unpack_from(block)
    text = block[_SEAL.size:_SEAL.size + length]
    if len(text) != length or hashlib.sha256(text).digest() != digest:
        return None
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or not all(
            is_of(kind, facts.get(name)) for name, kind in fields.items()):
        return None
    return {name: facts[name] for name in fields}


def is_of(kind: type, value: ty.Any) -> bool:
    """Return whether a value is of a kind, and a number within bounds."""
    # True is an int, but no number.
    if type(value) is not kind:
        return False
    return kind is not int or 0 <= value < _NUMBER_END
