# SPDX-License-Identifier: Apache-2.0
"""Flash contents for tests: real ones, and ones made field by field.

What is made here is written from the published layouts and shares nothing
with the parser, so that both can be compared.
"""
import functools
import gzip
import os
import struct
import uuid
import zlib

BLOCK = 0x40000
GLOBAL = uuid.UUID('8be4df61-93ca-11d2-aa0d-00e098032b8c')
VENDOR = uuid.UUID('11111111-2222-3333-4444-555555555555')
AUTO_CREATED = uuid.UUID('8108ac4e-9f11-4d59-850e-e21a522c59b2')
UI_APP = uuid.UUID('462caa21-7614-4503-836e-8ab6f4662331')
SHELL = uuid.UUID('7c04a583-9e3e-4f1c-ad65-e05268d0b4d1')

ADDED, LEAVING, DELETED, HALF_WRITTEN = 0x3F, 0x3E, 0x3C, 0x7F

AUTHENTICATED = uuid.UUID('aaf32c78-947b-439a-a180-2e144ec37792')
PLAIN = uuid.UUID('ddcf3616-3275-4164-98b6-fe85707ffe7d')

REAL = ('natural', 'offered', 'after-reset', 'changed-devices', 'network',
        'interrupted', 'finished')


@functools.cache
def real(name):
    """Return a flash that the firmware wrote (see flash/README.rst)."""
    path = os.path.join(os.path.dirname(__file__), 'flash', name + '.gz')
    with gzip.open(path) as stream:
        return stream.read()


def ucs2(text):
    return text.encode('utf-16-le', 'surrogatepass') + b'\0\0'


def record(name='Name', content=b'content', guid=VENDOR, state=ADDED,
           attributes=7, time=bytes(16), name_size=None, content_size=None,
           raw_name=None):
    """Return a variable with its authenticated header."""
    raw = ucs2(name) if raw_name is None else raw_name
    return padded(struct.pack(
        '<HBBIQ16sIII16s', 0x55AA, state, 0, attributes, 0, time, 0,
        len(raw) if name_size is None else name_size,
        len(content) if content_size is None else content_size,
        guid.bytes_le) + raw + content)


def plain_record(name, content, guid=VENDOR, state=ADDED, attributes=7):
    """Return a variable with the header of stores without Secure Boot."""
    raw = ucs2(name)
    return padded(struct.pack('<HBBIII16s', 0x55AA, state, 0, attributes,
                              len(raw), len(content), guid.bytes_le) +
                  raw + content)


def padded(raw):
    return raw + b'\xff' * (-len(raw) % 4)


def volume_header(length=3 * BLOCK, header=72, blocks=(256, BLOCK),
                  signature=b'_FVH', revision=2):
    guid = uuid.UUID('fff12b8d-7696-4c8b-a985-2747075b4f50')

    def packed(checksum):
        return struct.pack(
            '<16x16sQ4sIHHHBBIIII', guid.bytes_le, length, signature, 0xE36,
            header, checksum, 0, 0, revision, *blocks, 0, 0)

    words = struct.unpack('<36H', packed(0))
    return packed(-sum(words) & 0xFFFF)


def store_header(size=BLOCK - 72, guid=AUTHENTICATED, form=0x5A, state=0xFE):
    return struct.pack('<16sIBBHI', guid.bytes_le, size, form, state, 0, 0)


def working_header(flags=0xFE, queue=BLOCK - 32):
    guid = uuid.UUID('9e58292b-7c68-497d-a0ce-6500fd9f1b95')
    blank = struct.pack('<16sIIQ', guid.bytes_le, 0xFFFFFFFF, 0xFFFFFFFF,
                        queue)
    return struct.pack('<16sIB3sQ', guid.bytes_le, zlib.crc32(blank), flags,
                       b'\xff' * 3, queue)


def write(*records, flags=0xF8, private=0, number=None):
    """Return a fault-tolerant write; flags are bits that became zero."""
    header = struct.pack(
        '<B3s16s4sQQ', flags, b'\xff' * 3, VENDOR.bytes_le, b'\xff' * 4,
        len(records) if number is None else number, private)
    return header + b''.join(each + bytes(private) for each in records)


def write_record(flags, block=0, start=0x48, length=BLOCK - 0x48,
                 relative=-2 * BLOCK):
    return struct.pack('<B7sQQQq', flags, b'\xff' * 7, block, start, length,
                       relative)


def area(*parts, size=BLOCK):
    return b''.join(parts).ljust(size, b'\xff')


def flash(*records, volume=None, store=None, queue=(), spare=b''):
    """Return the three areas of a flash with these variables."""
    return b''.join((
        area(volume_header() if volume is None else volume,
             store_header() if store is None else store, *records),
        area(working_header(), *queue),
        area(spare)))


def node(kind, subtype, content=b''):
    return struct.pack('<BBH', kind, subtype, 4 + len(content)) + content


END = node(0x7F, 0xFF)


def pci(*path):
    """Return the nodes of a PCI path of (device, function) pairs."""
    return node(2, 1, struct.pack('<II', 0x0A0341D0, 0)) + b''.join(
        node(1, 1, bytes((function, device))) for device, function in path)


def firmware_file(guid):
    volume = uuid.UUID('64074afe-340a-4be6-94ba-91b5b4d0f71e')
    return node(4, 7, volume.bytes_le) + node(4, 6, guid.bytes_le)


def load_option(description, path, optional=b'', attributes=1):
    path += END
    return (struct.pack('<IH', attributes, len(path)) + ucs2(description) +
            path + optional)


def boot_records(order=None, following=None, **options):
    """Return records of Boot#### (as ``Boot0001=...``) and BootOrder."""
    records = [record(name, content, GLOBAL)
               for name, content in options.items()]
    if order is not None:
        records.append(record(
            'BootOrder', struct.pack(f'<{len(order)}H', *order), GLOBAL))
    if following is not None:
        records.append(record('BootNext', struct.pack('<H', following),
                              GLOBAL))
    return records
