# SPDX-License-Identifier: Apache-2.0
"""VDI, VHD, VHDX and VMDK, and CDs; qcow2 is in test_container."""
import struct
import subprocess
import uuid

import hypothesis
from hypothesis import strategies

from nova_armvm import crc32c
from nova_armvm import exception
from nova_armvm.image import container
from nova_armvm.image import vhdx
from nova_armvm.image import vmdk
from tests.unit.image import disks
from tests.unit.image import test_container

_LIMIT = 64 * disks.MIB

#: What qemu-img makes, by the name that it has with Glance.
_MADE = (
    ('vdi', 'vdi'), ('vdi', 'vdi', '-o', 'static=on'),
    ('vhd', 'vpc'), ('vhd', 'vpc', '-o', 'force_size=on'),
    ('vhdx', 'vhdx'), ('vhdx', 'vhdx', '-o', 'subformat=fixed'),
    ('vhdx', 'vhdx', '-o', 'block_size=1M'),
    ('vmdk', 'vmdk'), ('vmdk', 'vmdk', '-o', 'subformat=streamOptimized'),
    ('vmdk', 'vmdk', '-o', 'zeroed_grain=on'))


class FormatTestCase(test_container.ContainerTestCase):

    def changed(self, to: str, *changes: tuple[int, bytes],
                options: tuple[str, ...] = ()) -> str:
        """Return a file with bytes changed; from the end if negative."""
        path = self.convert(*options, to=to)
        for place, content in changes:
            with open(path, 'r+b') as stream:
                stream.seek(place, 2 if place < 0 else 0)
                stream.write(content)
        return path

    def vhdx_metadata(self) -> int:
        """Return where the second region of a VHDX file is."""
        with open(self.convert(to='vhdx'), 'rb') as stream:
            stream.seek(192 * 1024 + 16 + 32 + 16)
            return struct.unpack('<Q', stream.read(8))[0]

    def read_all(self, path: str) -> bytes:
        with container.opened(path, _LIMIT) as image:
            return image.disk.read_at(0, min(image.disk.size,
                                             len(self.content)))

    def invalid(self, path: str) -> str:
        with self.assertRaises(exception.ImageInvalid) as caught:
            self.read_all(path)
        return str(caught.exception)


class ReadTest(FormatTestCase):

    def test_files_as_qemu_makes_them(self):
        for name, to, *options in _MADE:
            with self.subTest((to, *options)):
                path = self.convert(*options, to=to)
                with container.opened(path, _LIMIT) as image:
                    self.assertEqual(name, image.format)
                    # A VHD has whole cylinders.
                    self.assertLessEqual(len(self.content), image.disk.size)
                    self.assertEqual(self.content, image.disk.read_at(
                        0, len(self.content)))
                    self.assertEqual(self.content[99_990:300_001],
                                     image.disk.read_at(99_990, 200_011))
                    for offset, length in ((-1, 1), (image.disk.size, 1)):
                        self.assertRaises(exception.ImageInvalid,
                                          image.disk.read_at, offset, length)

    def test_beginning_of_a_large_disk_costs_little(self):
        with open(self.raw, 'r+b') as stream:
            stream.truncate(10 * 1024 * disks.MIB)
        for name, to, *options in _MADE:
            if 'fixed' in str(options) or 'static' in str(options):
                continue
            with self.subTest((to, *options)):
                path = self.convert(*options, to=to)
                with container.opened(path) as image:
                    image.disk.read_at(0, 64 * 1024)
                    image.disk.read_at(5 * 1024 * disks.MIB, 64 * 1024)
                    image.disk.read_at(image.disk.size - 512, 512)
                    self.assertLess(image.source.spent, 4 * disks.MIB)

    def test_cd_is_read_as_it_is(self):
        path = self.path('cd')
        with open(path, 'wb') as stream:
            stream.truncate(disks.MIB)
            stream.seek(32 * 1024)
            stream.write(b'\1CD001\1')
        with container.opened(path) as image:
            self.assertEqual('iso', image.format)
            self.assertEqual(b'CD001', image.disk.read_at(32769, 5))


class ParentTest(FormatTestCase):
    """What names another file is not followed."""

    def test_vmdk(self):
        path = self.path('overlay')
        base = self.convert(to='vmdk')
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'vmdk', '-b', base,
                        '-F', 'vmdk', path], check=True)
        self.assertIn('a parent', self.unsupported(path))

    def test_vdi(self):
        for place in (0x1a8, 0x1b8):
            with self.subTest(place):
                self.assertIn('a parent', self.unsupported(
                    self.changed('vdi', (place, b'x' * 16))))

    def test_vhd(self):
        self.assertIn('a parent', self.unsupported(
            self.changed('vpc', (60, struct.pack('>I', 4)))))

    def test_vhdx(self):
        self.assertIn('a parent', self.unsupported(self.changed(
            'vhdx', (self.vhdx_metadata() + 65536 + 4,
                     struct.pack('<I', 2)))))


class VdiTest(FormatTestCase):

    def test_headers_that_cannot_be(self):
        for place, content in ((0x44, b'\7'), (0x170, b'\xff' * 7),
                               (0x180, bytes(4))):
            with self.subTest(place):
                self.invalid(self.changed('vdi', (place, content)))

    def test_other_sizes_of_blocks(self):
        for place in (0x168, 0x178, 0x17c):
            with self.subTest(place):
                self.assertIn('1 MiB', self.unsupported(self.changed(
                    'vdi', (place, struct.pack('<I', 65536)))))

    def test_block_that_is_nowhere(self):
        path = self.convert(to='vdi')
        with open(path, 'rb') as stream:
            table, = struct.unpack_from('<I', stream.read(512), 0x154)
        self.assertIn('behind', self.invalid(self.changed(
            'vdi', (table, struct.pack('<I', 0x10000)))))


class VhdTest(FormatTestCase):

    def test_headers_that_cannot_be(self):
        for place, content in ((12, b'\0\2'), (60, bytes(4)), (16, b'\xff'),
                               (512, b'x'), (512 + 24, b'\0\2'),
                               (512 + 28, bytes(4)), (512 + 32, bytes(4)),
                               (512 + 35, b'\1')):
            with self.subTest(place):
                self.invalid(self.changed('vpc', (place, content)))

    def test_block_that_is_nowhere(self):
        self.invalid(self.changed('vpc', (1536, b'\x7f\xff\xff\xff')))


class VhdxTest(FormatTestCase):

    def made(self) -> bytearray:
        """Return a file, for the reader that trusts no check before it."""
        with open(self.convert(to='vhdx'), 'rb') as stream:
            return bytearray(stream.read())

    def failure(self, content: bytes) -> str:
        with self.assertRaises(exception.ImageError) as caught:
            vhdx.open_disk(disks.MemoryDisk(content)).read_at(0, 512)
        return str(caught.exception)

    def test_version_that_is_unknown(self):
        content = self.made()
        for place in (65536, 131072):
            header = content[place:place + 4096]
            header[66:68] = b'\2\0'
            header[4:8] = bytes(4)
            header[4:8] = struct.pack('<I', crc32c.crc32c(header))
            content[place:place + 4096] = header
        self.assertIn('unknown version', self.failure(content))

    def test_file_without_a_table_of_regions(self):
        content = self.made()
        content[192 * 1024] = content[256 * 1024] = 0
        self.assertIn('no table of regions', self.failure(content))

    def test_region_that_is_unknown(self):
        content, second = self.made(), 192 * 1024 + 16 + 32
        content[second:second + 16] = b'?' * 16
        content[second + 28] = 1
        self.assertIn('region that is unknown', self.failure(content))
        content[second + 28] = 0
        self.assertIn('region is missing', self.failure(content))

    def test_metadata_that_cannot_be(self):
        content, place = self.made(), self.vhdx_metadata()
        for offset, changed, told in ((0, b'x', 'metadata is missing'),
                                      (65536, b'\1', 'block size'),
                                      (65536 + 4, b'\2', 'parent')):
            with self.subTest(told):
                broken = bytearray(content)
                broken[place + offset:place + offset + 1] = changed
                self.assertIn(told, self.failure(broken))

    def test_sectors_of_another_size(self):
        content, place = self.made(), self.vhdx_metadata()
        for number in range(5):
            entry = place + 32 + 32 * number
            if uuid.UUID(bytes_le=bytes(content[entry:entry + 16])) == (
                    vhdx._SECTOR_SIZE):
                item, = struct.unpack_from('<I', content, entry + 16)
                content[place + item:place + item + 4] = b'\0\4\0\0'
        self.assertIn('size is impossible', self.failure(content))

    def test_block_of_which_a_parent_has_the_rest(self):
        content = self.made()
        table, = struct.unpack_from('<Q', content, 192 * 1024 + 16 + 16)
        content[table] |= 7
        self.assertIn('partly', self.failure(content))

    def header(self, place: int, **log: bytes) -> tuple[int, bytes]:
        """Return a header with another log and a right checksum."""
        with open(self.convert(to='vhdx'), 'rb') as stream:
            stream.seek(place)
            header = bytearray(stream.read(4096))
        header[4:8] = bytes(4)
        header[48:64] = log.get('log', bytes(16))
        header[8:16] = log.get('number', bytes(header[8:16]))
        header[4:8] = struct.pack('<I', crc32c.crc32c(header))
        return place, bytes(header)

    def test_file_that_was_not_closed(self):
        path = self.changed('vhdx', *(self.header(place, log=b'x' * 16)
                                      for place in (65536, 131072)))
        self.assertIn('not closed', self.unsupported(path))

    def test_newer_header_counts(self):
        path = self.changed('vhdx', self.header(
            65536, log=b'x' * 16, number=struct.pack('<Q', 2 ** 40)))
        self.assertIn('not closed', self.unsupported(path))

    def test_torn_header_does_not_count(self):
        place, header = self.header(65536, log=b'x' * 16,
                                    number=struct.pack('<Q', 2 ** 40))
        path = self.changed('vhdx', (place, header[:4] + b'torn' +
                                     header[8:]))
        self.assertEqual(self.content, self.read_all(path))

    def test_second_table_of_regions_is_used(self):
        path = self.changed('vhdx')
        with container.opened(path, _LIMIT) as image:
            content = bytearray(image.source.read_at(0, image.source.size))
        content[192 * 1024:192 * 1024 + 4] = b'torn'
        disk = vhdx.open_disk(disks.MemoryDisk(content))
        self.assertEqual(self.content[:disks.MIB],
                         disk.read_at(0, disks.MIB))

    def test_structures_that_cannot_be(self):
        metadata = self.vhdx_metadata()
        for changes in (((65536, b'x'), (131072, b'x')),
                        ((192 * 1024, b'x'), (256 * 1024, b'x')),
                        ((192 * 1024 + 16, b'x'),),
                        ((metadata, b'x'),), ((metadata + 32, b'x'),),
                        ((metadata + 65536, bytes(4)),)):
            with self.subTest(changes):
                self.assertRaises(
                    exception.ImageError, self.read_all,
                    self.changed('vhdx', *changes))


class VmdkTest(FormatTestCase):

    def failure(self, place: int, changed: bytes) -> str:
        """Change a file; what the reader says that trusts no check."""
        with open(self.convert(to='vmdk'), 'rb') as stream:
            content = bytearray(stream.read())
        content[place:place + len(changed)] = changed
        with self.assertRaises(exception.ImageError) as caught:
            vmdk.open_disk(disks.MemoryDisk(content)).read_at(
                len(self.content) - 4096, 512)
        return str(caught.exception)

    def test_header_that_is_another(self):
        for place, changed, told in ((0, b'XXXX', 'version'),
                                     (4, b'\7', 'version'),
                                     (36, b'\xff' * 4, 'too long')):
            with self.subTest(place):
                self.assertIn(told, self.failure(place, changed))

    def test_parent(self):
        with open(self.convert(to='vmdk'), 'rb') as stream:
            place = stream.read().index(b'parentCID=ffffffff')
        self.assertIn('a parent', self.failure(place, b'parentCID=12345678'))

    def test_grain_that_is_nowhere(self):
        with open(self.convert(to='vmdk'), 'rb') as stream:
            content = stream.read()
        directory, = struct.unpack_from('<Q', content, 56)
        table, = struct.unpack_from('<I', content, directory * 512)
        self.assertIn('behind its end', self.failure(
            table * 512, struct.pack('<I', 2 ** 30) * 512))

    def test_headers_that_cannot_be(self):
        for place, content in ((12, b'\xff' * 7), (20, bytes(8)),
                               (20, b'\3'), (44, bytes(4)),
                               (44, b'\xff' * 4), (56, b'\xff' * 7)):
            with self.subTest((place, content)):
                self.invalid(self.changed('vmdk', (place, content)))

    def test_unknown_compression(self):
        path = self.changed('vmdk', options=('-o',
                                             'subformat=streamOptimized'))
        with open(path, 'r+b') as stream:
            for end in (0, -1024):
                stream.seek(end, 2 if end else 0)
                stream.seek(77, 1)
                stream.write(b'\2')
        self.assertIn('unknown compression', self.unsupported(path))

    def test_footer_counts_where_the_header_says_so(self):
        path = self.convert('-o', 'subformat=streamOptimized', to='vmdk')
        with open(path, 'r+b') as stream:
            header = stream.read(512)
            stream.seek(0, 2)
            # A marker of one sector that tells of a footer, and of the end.
            stream.write(struct.pack('<QII496x', 1, 0, 3) + header +
                         bytes(512))
            stream.seek(56)
            stream.write(b'\xff' * 8)
        self.assertEqual(self.content, self.read_all(path))

    def test_grains_that_are_broken(self):
        path = self.changed('vmdk', options=('-o',
                                             'subformat=streamOptimized'))
        with open(path, 'rb') as stream:
            content = stream.read()
        # The first grain of noise lies behind the header and descriptor.
        grain = next(place for place in range(65536, len(content), 512)
                     if content[place + 12:place + 14] == b'\x78\xda'
                     or content[place + 12:place + 14] == b'\x78\x9c')
        for place, changed in ((grain, b'\xff'), (grain + 8, b'\2\0\0\0'),
                               (grain + 8, b'\xff' * 4),
                               (grain + 12, b'xx')):
            with self.subTest(place - grain):
                broken = bytearray(content)
                broken[place:place + len(changed)] = changed
                with open(path, 'wb') as stream:
                    stream.write(broken)
                self.invalid(path)


class AnyBytesTest(FormatTestCase):
    """Whatever is changed: an answer or an error, within the limit."""

    def setUp(self):
        super().setUp()
        with open(self.raw, 'wb') as stream:
            stream.write(b'content' * 1000 + bytes(10_000))
        self.small = {}
        for number, (_, to, *options) in enumerate(_MADE):
            with open(self.convert(*options, to=to), 'rb') as stream:
                self.small[number] = stream.read()

    def test_any_change_ends_with_content_or_an_error(self):
        @hypothesis.settings(deadline=None)
        @hypothesis.given(
            strategies.sampled_from(sorted(self.small)),
            strategies.lists(strategies.tuples(
                strategies.sampled_from((0, 65536, 131072, 196608, 2 ** 21,
                                         2 ** 21 + 65536, 3 * 2 ** 20)),
                strategies.integers(0, 2048),
                strategies.integers(0, 255)), min_size=1, max_size=8))
        def change(number, changes):
            content = bytearray(self.small[number])
            for base, place, value in changes:
                content[(base + place) % len(content)] = value
            source = disks.MemoryDisk(content)
            try:
                image = container.look_into(source, 8 * disks.MIB)
                length = min(image.disk.size, 20_000)
                self.assertEqual(length, len(image.disk.read_at(0, length)))
            except exception.ImageError:
                pass
            self.assertLessEqual(source.read, 8 * disks.MIB)
        change()
