# SPDX-License-Identifier: Apache-2.0
"""The checksum of RFC 3720, appendix B.4 (Castagnoli)."""
import functools


def _of(byte: int) -> int:
    for _bit in range(8):
        byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
    return byte


@functools.cache
def _table() -> tuple[int, ...]:
    return tuple(_of(byte) for byte in range(256))


def crc32c(content: bytes) -> int:
    """Return the checksum of some bytes."""
    table, register = _table(), 0xffffffff
    for byte in content:
        register = register >> 8 ^ table[(register ^ byte) & 0xff]
    return register ^ 0xffffffff
