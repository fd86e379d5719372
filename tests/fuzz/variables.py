# SPDX-License-Identifier: Apache-2.0
"""What guests and operators' files can say of variables, as fuzz targets."""
import struct

import atheris

with atheris.instrument_imports(include=['nova_armvm']):
    from nova_armvm.cmd import nvram_show
    from nova_armvm.uefi import edit
    from nova_armvm.uefi import formats
    from nova_armvm.uefi import text
    from nova_armvm.uefi import varstore

from tests.unit.uefi import flash_images as images

#: An input has the head of the store, its first variables, the head of the
#: notes on interrupted rewrites, and the head of the copy.
_PIECES = ((0, 2048), (images.BLOCK, 1024), (2 * images.BLOCK, 1024))
_HEADER = len(images.volume_header())
#: Half a store of variables of one byte each, as a hostile guest has it.
_TEXT_LIMIT = 16 * 1024 * 1024


def _flash(content: bytes) -> bytes:
    """Put the pieces in their places, with the checksum made right."""
    whole = bytearray(b'\xff' * varstore.READ_SIZE)
    taken = 0
    for place, length in _PIECES:
        piece = content[taken:taken + length]
        whole[place:place + len(piece)] = piece
        taken += length
    whole[50:52] = bytes(2)
    words = struct.unpack_from(f'<{_HEADER // 2}H', whole)
    whole[50:52] = struct.pack('<H', -sum(words) & 0xFFFF)
    return bytes(whole)


def variables(content: bytes) -> None:
    """Parse a store, show it in every way, and change it."""
    flash = _flash(content)
    found = varstore.parse(flash)
    shown = nvram_show.variables_table(found)
    assert all(char.isprintable() or char == '\n' for char in shown)
    assert len(shown) < _TEXT_LIMIT and nvram_show.variables_json(found)
    assert list(text.boot_lines(found)) and formats.to_aws(
        found.variables.values())
    key = varstore.VariableKey(images.VENDOR, 'Fuzz')
    wanted = varstore.Variable(key, 7, b'content')
    changed = varstore.parse(edit.edited(flash, {key: wanted}))
    assert changed.variables == {**found.variables, key: wanted}


def exchanged(content: bytes) -> None:
    """Read a file of an operator's; what it gives can be stored."""
    edit.store_of(formats.read(content), varstore.READ_SIZE)


def seeds() -> dict[str, list[bytes]]:
    """Return small inputs that are good, for each target."""
    flashes = [images.flash(images.record(), images.record('Other')),
               images.flash(images.plain_record('Name', b'content'),
                            store=images.store_header(guid=images.PLAIN)),
               images.real('natural'), images.real('interrupted')]
    stored = varstore.parse(images.real('offered')).variables.values()
    return {
        'variables': [b''.join(flash[place:place + length]
                               for place, length in _PIECES)
                      for flash in flashes],
        'exchange': [formats.to_json(stored).encode(),
                     formats.to_aws(stored).encode()],
    }
