# SPDX-License-Identifier: Apache-2.0
import struct
import unittest

from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images


def contents(store):
    return {key.name: variable.content
            for key, variable in store.variables.items()}


class InterruptedWriteTest(unittest.TestCase):
    """What firmware left when it was stopped while rewriting the store."""

    def setUp(self):
        self.old = (images.record('Old', b'o'),)
        self.new = images.area(images.volume_header(), images.store_header(),
                               images.record('New', b'n'))

    def flash(self, *queue):
        return images.flash(*self.old, queue=queue, spare=self.new)

    def test_complete_copy_counts(self):
        flash = self.flash(images.write(images.write_record(0xFD),
                                        flags=0xFC))
        store = varstore.parse(flash)
        self.assertEqual({'New': b'n'}, contents(store))
        self.assertTrue(store.write_pending)
        self.assertFalse(store.erased)

    def test_settling_changes_the_store_and_nothing_else(self):
        flash = self.flash(images.write(images.write_record(0xFD),
                                        flags=0xFC))
        settled = varstore.settled(flash)
        self.assertEqual(self.new + flash[len(self.new):], settled)
        self.assertEqual(settled, varstore.settled(settled))

    def test_copy_counts_also_when_the_store_is_erased(self):
        flash = b'\xff' * images.BLOCK + self.flash(images.write(
            images.write_record(0xFD), flags=0xFC))[images.BLOCK:]
        store = varstore.parse(flash)
        self.assertEqual({'New': b'n'}, contents(store))
        self.assertTrue(store.erased)
        self.assertEqual(self.new, varstore.settled(flash)[:images.BLOCK])

    def test_erased_store_without_a_copy_is_not_formatted(self):
        flash = b'\xff' * images.BLOCK + self.flash()[images.BLOCK:]
        self.assertFalse(varstore.parse(flash).formatted)

    def test_copy_of_nothing_does_not_bring_an_erased_store_back(self):
        flash = b'\xff' * images.BLOCK + images.flash(queue=(images.write(
            images.write_record(0xFD), flags=0xFC),))[images.BLOCK:]
        self.assertFalse(varstore.parse(flash).formatted)

    def test_copy_does_not_count_before_it_is_complete(self):
        for write in (images.write(images.write_record(0xFF), flags=0xFC),
                      images.write(images.write_record(0xFF), flags=0xFE),
                      images.write(flags=0xFF)):
            self.assertEqual({'Old': b'o'},
                             contents(varstore.parse(self.flash(write))))

    def test_copy_does_not_count_after_it_was_written(self):
        for write in (images.write(images.write_record(0xF9), flags=0xFC),
                      images.write(images.write_record(0xF9), flags=0xF8),
                      images.write(images.write_record(0xFD), flags=0xF8)):
            self.assertEqual({'Old': b'o'},
                             contents(varstore.parse(self.flash(write))))

    def test_only_the_last_write_can_be_unfinished(self):
        done = images.write(images.write_record(0xF9), flags=0xF8)
        unfinished = images.write(images.write_record(0xFD), flags=0xFC)
        self.assertEqual({'New': b'n'}, contents(varstore.parse(
            self.flash(done, done, unfinished))))
        self.assertEqual({'Old': b'o'}, contents(varstore.parse(
            self.flash(images.write(flags=0xFC), unfinished))))

    def test_records_with_private_contents_are_stepped_over(self):
        write = images.write(images.write_record(0xF9),
                             images.write_record(0xFD), flags=0xFC,
                             private=24)
        self.assertEqual({'New': b'n'},
                         contents(varstore.parse(self.flash(write))))

    def test_working_area_that_firmware_would_not_trust_is_ignored(self):
        flash = self.flash(images.write(images.write_record(0xFD),
                                        flags=0xFC))
        for header in (images.working_header(flags=0xFF),
                       images.working_header(flags=0xFC),
                       images.working_header(queue=0x1FFE0),
                       images.working_header(queue=0x7FFE0),
                       images.working_header(queue=(1 << 64) - 1),
                       images.working_header()[:16] + bytes(4) +
                       images.working_header()[20:], b'\xff' * 32):
            changed = (flash[:images.BLOCK] + header +
                       flash[images.BLOCK + len(header):])
            self.assertEqual({'Old': b'o'},
                             contents(varstore.parse(changed)))

    def test_hostile_queues_end_and_change_nothing(self):
        record = images.write_record
        huge = (1 << 64) - 1
        for write in (
                images.write(record(0xF9), number=huge),
                images.write(record(0xFD, block=huge), flags=0xFC),
                images.write(record(0xFD, block=1), flags=0xFC),
                images.write(record(0xFD, length=huge), flags=0xFC),
                images.write(record(0xFD, start=0, length=0), flags=0xFC),
                images.write(record(0xFD, relative=-(1 << 63)), flags=0xFC),
                images.write(record(0xFD, relative=(1 << 63) - 1),
                             flags=0xFC),
                images.write(number=0) * 6000):
            flash = images.flash(*self.old, queue=(write[:0x3FFE0],),
                                 spare=self.new)
            self.assertEqual({'Old': b'o'}, contents(varstore.parse(flash)))
        hidden = struct.pack('<B3x16s4xQQ', 0xF8, bytes(16), 1, huge)
        self.assertEqual({'Old': b'o'}, contents(varstore.parse(
            self.flash(hidden, images.write(record(0xFD), flags=0xFC)))))
