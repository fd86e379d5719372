# SPDX-License-Identifier: Apache-2.0
"""When the content before a change still is what came before."""
import testtools

from nova_armvm import exception
from nova_armvm.nvram import previous
from nova_armvm.nvram import volume
from nova_armvm.uefi import varstore

FLASH = b'content'.ljust(varstore.READ_SIZE, b'\xff')


def store(**metadata):
    return volume.Volume('volume', 'in-use', metadata, {})


class MarkTest(testtools.TestCase):

    def test_any_mark_keeps_a_store_from_being_started(self):
        for mark in ('True', 'c5f5b7f2'):
            self.assertRaises(exception.StoreChangeUnfinished,
                              previous.check_whole,
                              store(armvm_changing=mark))

    def test_no_mark_lets_it_start(self):
        for metadata in ({}, {'armvm_changing': 'False'},
                         {'armvm_changing': ''}):
            previous.check_whole(store(**metadata))


class HasRunTest(testtools.TestCase):

    def has_run(self, flash=FLASH, **metadata):
        return previous.has_run_since(
            store(armvm_changed_to=previous.checksum(FLASH), **metadata),
            flash)

    def test_store_is_as_the_change_has_left_it(self):
        self.assertFalse(self.has_run())
        self.assertFalse(self.has_run(FLASH + b'rest of the flash'))

    def test_guest_has_written(self):
        self.assertTrue(self.has_run(b'x' + FLASH[1:]))

    def test_change_that_was_cut_short_says_nothing_of_the_content(self):
        self.assertFalse(self.has_run(b'half', armvm_changing='mark'))

    def test_reset_that_waits_was_not_started(self):
        self.assertFalse(self.has_run(b'x', armvm_reset='True'))

    def test_content_that_nobody_noted_is_not_believed(self):
        self.assertTrue(previous.has_run_since(store(), FLASH))
