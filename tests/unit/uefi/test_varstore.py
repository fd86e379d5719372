# SPDX-License-Identifier: Apache-2.0
import datetime
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from nova_armvm import exception
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images

VIRT_FW_VARS = shutil.which(
    'virt-fw-vars',
    path=os.pathsep.join((os.path.dirname(sys.executable),
                          os.environ.get('PATH', ''))))


def contents(store):
    return {key.name: variable.content
            for key, variable in store.variables.items()}


def parsed(*records, **parts):
    return contents(varstore.parse(images.flash(*records, **parts)))


class FreshFlashTest(unittest.TestCase):

    def assert_unformatted(self, flash):
        store = varstore.parse(flash)
        self.assertFalse(store.formatted)
        self.assertFalse(store.write_pending)
        self.assertEqual({}, store.variables)

    def test_flash_of_zeros_is_not_formatted_yet(self):
        self.assert_unformatted(bytes(varstore.READ_SIZE))

    def test_erased_flash_is_not_formatted_yet(self):
        self.assert_unformatted(b'\xff' * varstore.READ_SIZE)

    def test_nothing_at_all_is_not_formatted_yet(self):
        self.assert_unformatted(b'')

    def test_formatted_store_without_variables_is_formatted(self):
        store = varstore.parse(images.flash())
        self.assertTrue(store.formatted)
        self.assertEqual({}, store.variables)

    def test_fresh_flash_has_nothing_to_settle(self):
        for fill in b'\0', b'\xff':
            flash = fill * varstore.READ_SIZE
            self.assertEqual(flash, varstore.settled(flash))


class ReadSizeTest(unittest.TestCase):

    def test_aavmf_needs_three_blocks(self):
        self.assertEqual(0xC0000, varstore.READ_SIZE)
        for head in (b'', bytes(4096), images.real('natural')[:4096],
                     b'\xff' * 4096):
            self.assertEqual(0xC0000, varstore.read_size(head))

    def test_larger_volume_needs_its_own_length(self):
        self.assertEqual(0x100000, varstore.read_size(
            images.volume_header(length=0x100000)))

    def test_lie_about_the_length_is_bounded_by_the_largest_flash(self):
        self.assertEqual(64 * 1024 * 1024, varstore.read_size(
            images.volume_header(length=1 << 63)))


class VariablesTest(unittest.TestCase):

    def test_variable_has_its_attributes_and_content(self):
        store = varstore.parse(images.flash(images.record(
            'Boot0001', b'\1\2\3', images.GLOBAL, attributes=7)))
        key = varstore.VariableKey(images.GLOBAL, 'Boot0001')
        self.assertEqual(varstore.Variable(key, 7, b'\1\2\3'),
                         store.variables[key])

    def test_same_name_of_two_vendors_is_two_variables(self):
        store = varstore.parse(images.flash(
            images.record('Name', b'a', images.VENDOR),
            images.record('Name', b'b', images.GLOBAL)))
        self.assertEqual(
            {images.VENDOR: b'a', images.GLOBAL: b'b'},
            {key.guid: variable.content
             for key, variable in store.variables.items()})

    def test_names_and_contents_of_any_length_stay_aligned(self):
        records = [images.record('N' * size, b'c' * size)
                   for size in range(1, 9)]
        self.assertEqual({'N' * size: b'c' * size for size in range(1, 9)},
                         parsed(*records))

    def test_time_of_an_authenticated_write_is_read(self):
        time = struct.pack('<HBBBBBBIhBB', 2024, 2, 29, 23, 59, 58, 0, 0, 0,
                           0, 0)
        store = varstore.parse(images.flash(images.record(time=time)))
        self.assertEqual(
            [datetime.datetime(2024, 2, 29, 23, 59, 58,
                               tzinfo=datetime.timezone.utc)],
            [each.timestamp for each in store.variables.values()])

    def test_impossible_time_counts_as_none(self):
        store = varstore.parse(images.flash(images.record(
            time=b'\xff' * 16)))
        self.assertEqual([None], [each.timestamp
                                  for each in store.variables.values()])

    def test_store_without_authenticated_variables_is_read(self):
        self.assertEqual({'Name': b'content'}, parsed(
            images.plain_record('Name', b'content'),
            store=images.store_header(guid=images.PLAIN)))

    def test_unpaired_surrogate_in_a_name_is_kept(self):
        self.assertEqual({'\ud800x': b'content'},
                         parsed(images.record('\ud800x')))


class StatesTest(unittest.TestCase):

    def test_deleted_variable_is_gone(self):
        self.assertEqual({'Kept': b'k'}, parsed(
            images.record('Gone', state=images.DELETED),
            images.record('Gone', state=images.ADDED & 0xFD),
            images.record('Kept', b'k')))

    def test_half_written_variable_is_not_there_yet(self):
        self.assertEqual({'Name': b'old'}, parsed(
            images.record('Name', b'old', state=images.LEAVING),
            images.record('Name', b'new', state=images.HALF_WRITTEN)))

    def test_new_value_counts_as_soon_as_it_is_written(self):
        for records in ((b'old', images.LEAVING), (b'new', images.ADDED)), (
                (b'new', images.ADDED), (b'old', images.LEAVING)):
            self.assertEqual({'Name': b'new'}, parsed(*(
                images.record('Name', content, state=state)
                for content, state in records)))

    def test_old_value_counts_until_the_new_one_is_written(self):
        self.assertEqual({'Name': b'later'}, parsed(
            images.record('Name', b'earlier', state=images.LEAVING),
            images.record('Name', b'later', state=images.LEAVING)))

    def test_first_of_two_added_variables_counts(self):
        self.assertEqual({'Name': b'first'}, parsed(
            images.record('Name', b'first'),
            images.record('Name', b'second')))

    def test_variables_behind_an_unwritten_header_are_found(self):
        unfinished = struct.pack('<HBB', 0x55AA, 0xFF, 0) + b'\xff' * 56
        self.assertEqual({'Name': b'content'},
                         parsed(unfinished, images.record()))

    def test_what_follows_the_last_variable_is_not_read(self):
        self.assertEqual({'Name': b'content'}, parsed(
            images.record(), b'\xff' * 4, images.record('Beyond')))


class HostileStoreTest(unittest.TestCase):

    def assert_invalid(self, flash, reason):
        with self.assertRaisesRegex(exception.VariableStoreInvalid, reason):
            varstore.parse(flash)

    def test_garbage_is_no_store(self):
        garbage = random.Random(1).randbytes(varstore.READ_SIZE)
        self.assert_invalid(garbage, 'does not begin with')

    def test_store_is_cut_short_anywhere(self):
        flash = images.real('natural')
        for size in (1, 20, 55, 56, 71, 72, 99, 100, 4096, 0x40000, 0xBFFFF):
            try:
                store = varstore.parse(flash[:size])
            except exception.VariableStoreInvalid:
                continue
            self.assertFalse(store.formatted)

    def test_volume_header_lies(self):
        for reason, volume in (
                ('does not begin', images.volume_header(signature=b'_FVh')),
                ('does not begin', images.volume_header(revision=1)),
                ('longer', images.volume_header(length=1 << 63)),
                ('longer', images.volume_header(length=0xC0001)),
                ('longer', images.volume_header(length=0)),
                ('header has an impossible', images.volume_header(header=70)),
                ('header has an impossible', images.volume_header(header=73)),
                ('header has an impossible',
                 images.volume_header(header=0xFFFE)),
                ('block map', images.volume_header(blocks=(0, 0))),
                ('block map', images.volume_header(blocks=(1, 0x40000))),
                ('block map', images.volume_header(blocks=(1 << 31, 0))),
                ('block map', images.volume_header(
                    blocks=(1, 0xFFFFFFFF)))):
            with self.subTest(reason):
                self.assert_invalid(images.flash(volume=volume), reason)

    def test_checksum_of_the_volume_header_is_wrong(self):
        volume = bytearray(images.volume_header())
        volume[0] ^= 1
        self.assert_invalid(images.flash(volume=bytes(volume)), 'checksum')

    def test_store_header_lies(self):
        for reason, store in (
                ('unknown format', images.store_header(guid=images.VENDOR)),
                ('unformatted or broken', images.store_header(form=0xFF)),
                ('unformatted or broken', images.store_header(state=0xFF)),
                ('impossible size', images.store_header(size=27)),
                ('impossible size', images.store_header(size=0xFFFFFFFF)),
                ('impossible size', images.store_header(size=0xC0000))):
            with self.subTest(reason):
                self.assert_invalid(images.flash(store=store), reason)

    def test_sizes_reach_beyond_the_store(self):
        for sizes in ({'name_size': 0xFFFFFFFE}, {'content_size': 0x40000},
                      {'content_size': 0xFFFFFFFE},
                      {'name_size': 0x80000000, 'content_size': 0x80000000}):
            with self.subTest(sizes):
                self.assert_invalid(images.flash(images.record(**sizes)),
                                    'beyond the store')

    def test_variable_may_fill_the_store_and_not_a_byte_more(self):
        room = images.BLOCK - 72 - 28 - 60 - len(images.ucs2('Name'))
        self.assertEqual({'Name': bytes(room)},
                         parsed(images.record('Name', bytes(room))))
        self.assert_invalid(
            images.flash(images.record('Name', b'', content_size=room + 1)),
            'beyond the store')

    def test_name_does_not_end(self):
        for raw in b'', b'\0\0', b'N', b'N\0', b'N\0a\0', b'N\0\0':
            with self.subTest(raw):
                self.assert_invalid(
                    images.flash(images.record(raw_name=raw)), 'name')

    def test_name_of_a_deleted_variable_does_not_matter(self):
        self.assertEqual({}, parsed(images.record(
            raw_name=b'N\0', state=images.DELETED)))

    def test_store_full_of_the_smallest_records_is_read(self):
        small = images.record('N', b'')
        count = (images.BLOCK - 100) // len(small)
        self.assertEqual({'N': b''}, parsed(*[small] * count))

    def test_no_mutation_ends_in_anything_but_a_store_or_its_error(self):
        chance = random.Random(2)
        for name in 'natural', 'interrupted':
            flash = images.real(name)
            places = [start + offset for offset in range(4096)
                      for start in range(0, len(flash), images.BLOCK)
                      if flash[start + offset] != 0xFF]
            for _each in range(150):
                mutated = bytearray(flash)
                for _change in range(chance.randint(1, 8)):
                    mutated[chance.choice(places)] = chance.choice(
                        (0, 1, 0x7F, 0x80, 0xFE, 0xFF,
                         chance.randrange(256)))
                try:
                    store = varstore.parse(bytes(mutated))
                except exception.VariableStoreInvalid:
                    continue
                self.assertLess(len(store.variables), 4096)


class RealFirmwareTest(unittest.TestCase):
    """Stores that AAVMF wrote, see flash/README.rst."""

    def test_interrupted_rewrite_reads_as_firmware_finished_it(self):
        before = varstore.parse(images.real('interrupted'))
        after = varstore.parse(images.real('finished'))
        self.assertTrue(before.write_pending)
        self.assertFalse(after.write_pending)
        fill = varstore.VariableKey(images.VENDOR, 'Fill')
        self.assertEqual(after.variables[fill], before.variables[fill])
        # What the start itself changes on top.
        expected = {'BootOrder', 'Boot0001', 'MTC'}
        self.assertEqual(before.variables.keys(), after.variables.keys())
        self.assertEqual(expected, {
            key.name for key, variable in after.variables.items()
            if variable != before.variables[key]})

    def test_settled_store_begins_as_firmware_left_it(self):
        settled = varstore.settled(images.real('interrupted'))
        after = images.real('finished')
        # Firmware only appends and clears bits of states.
        used = 3328
        differing = [offset for offset in range(used)
                     if settled[offset] != after[offset]]
        for offset in differing:
            self.assertEqual(after[offset], settled[offset] & after[offset])
        self.assertLess(len(differing), 10)

    def test_every_store_is_formatted_and_has_a_boot_order(self):
        for name in images.REAL:
            store = varstore.parse(images.real(name))
            self.assertTrue(store.formatted)
            self.assertIn(varstore.VariableKey(images.GLOBAL, 'BootOrder'),
                          store.variables)

    def test_settled_store_without_interruption_is_unchanged(self):
        for name in set(images.REAL) - {'interrupted'}:
            flash = images.real(name)
            self.assertEqual(flash, varstore.settled(flash))


@unittest.skipUnless(VIRT_FW_VARS, 'virt-fw-vars is not installed')
class OtherReaderTest(unittest.TestCase):
    """The same flash, read by other people's software."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.flash = os.path.join(scratch.name, 'flash')
        self.found = os.path.join(scratch.name, 'found.json')

    def virt_fw_vars(self, *arguments):
        subprocess.run([VIRT_FW_VARS, *arguments], check=True,
                       capture_output=True)

    def by_virt_firmware(self):
        self.virt_fw_vars('-i', self.flash, '--output-json', self.found)
        with open(self.found) as stream:
            document = json.load(stream)
        return {(each['guid'], each['name']): (each['attr'], each['data'])
                for each in document['variables']}

    def by_us(self):
        with open(self.flash, 'rb') as stream:
            store = varstore.parse(stream.read(varstore.READ_SIZE))
        return {(str(key.guid), key.name):
                (variable.attributes, variable.content.hex())
                for key, variable in store.variables.items()}

    def put(self, flash):
        with open(self.flash, 'wb') as stream:
            stream.write(flash)

    def assert_both_find_the_same(self):
        theirs, ours = self.by_virt_firmware(), self.by_us()
        # It keeps one of several variables with the same name only.
        self.assertEqual({}, {key: value for key, value in theirs.items()
                              if ours.get(key) != value})
        self.assertEqual({name for _guid, name in theirs},
                         {name for _guid, name in ours})

    def test_both_find_the_same_in_what_firmware_wrote(self):
        for name in 'natural', 'changed-devices', 'interrupted':
            with self.subTest(name):
                self.put(varstore.settled(images.real(name)))
                self.assert_both_find_the_same()

    def test_we_find_what_the_other_wrote(self):
        self.put(images.real('natural'))
        self.virt_fw_vars('--inplace', self.flash,
                          '--append-boot-filepath', r'\EFI\debian\grub.efi',
                          '--set-false', 'CustomMode',
                          '--add-dbx-hash', str(images.VENDOR), '00' * 32)
        self.assert_both_find_the_same()
        self.assertLess({'Boot000A', 'dbx'},
                        {name for _guid, name in self.by_us()})
