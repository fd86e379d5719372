# SPDX-License-Identifier: Apache-2.0
"""Variables in words, fit for a terminal whatever a guest wrote."""
from collections.abc import Iterator

from nova_armvm.uefi import boot
from nova_armvm.uefi import device_path
from nova_armvm.uefi import varstore

_MAX_TEXT = 300
_SHOWN_BYTES = 16

_ATTRIBUTES = (
    (0x01, 'non-volatile'),
    (0x02, 'boot'),
    (0x04, 'runtime'),
    (0x08, 'hardware-error'),
    (0x10, 'authenticated'),
    (0x20, 'time-authenticated'),
    (0x40, 'append'),
)


def printable(text: str, limit: int = _MAX_TEXT) -> str:
    """Write what could steer a terminal as ``\\xNN``; cut what is too long.

    That is control characters, escape sequences and line ends, but also
    characters that are invisible or change the direction of writing.

    :param limit: characters of the text that are shown.
    """
    clean = ''.join(
        char if char.isprintable() else
        char.encode('ascii', 'backslashreplace').decode()
        if ord(char) > 0x7F else f'\\x{ord(char):02x}'
        for char in text[:limit])
    return clean + ('...' if len(text) > limit else '')


def boot_lines(store: varstore.VariableStore) -> Iterator[str]:
    """Yield the boot order and the boot options, one a line.

    ``*`` marks an active option, as in efibootmgr, ``(firmware)`` one that
    the firmware made.
    """
    following = boot.boot_next(store)
    if following is not None:
        yield f'BootNext: {following:04X}'
    order = boot.boot_order(store)
    shown = ','.join(f'{number:04X}' for number in order)
    yield f'BootOrder: {printable(shown) or "not set"}'
    for number, option in boot.boot_options(store).items():
        yield f'Boot{number:04X}{_option_text(option)}'


def _option_text(option: boot.BootOption | None) -> str:
    if option is None:
        return ' (unreadable)'
    mark = '*' if option.active else ' '
    maker = ' (firmware)' if option.made_by_firmware else ''
    return (f'{mark} {printable(option.description)}'
            f' {printable(device_path.to_text(option.path))}{maker}')


def variable_lines(store: varstore.VariableStore) -> Iterator[str]:
    """Yield each variable: name, vendor, attributes, size and first bytes."""
    if not store.formatted:
        yield 'not formatted yet: no firmware has used this store'
        return
    if store.write_pending:
        yield 'the last rewrite of the store was interrupted'
    for key, variable in sorted(store.variables.items()):
        content = variable.content
        more = '...' if len(content) > _SHOWN_BYTES else ''
        yield (f'{printable(key.name)} {key.guid}'
               f' {attributes(variable.attributes)}'
               f' {len(content)} bytes'
               f' {content[:_SHOWN_BYTES].hex()}{more}')


def attributes(bits: int) -> str:
    """Write the attributes of a variable in words."""
    words = [word for bit, word in _ATTRIBUTES if bits & bit]
    rest = bits & ~sum(bit for bit, _word in _ATTRIBUTES)
    return '+'.join(words + ([f'{rest:#x}'] if rest else [])) or 'none'
