# SPDX-License-Identifier: Apache-2.0
import datetime
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import hypothesis
from hypothesis import strategies

from nova_armvm import exception
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images

_VIRT_FW_VARS = os.path.join(os.path.dirname(sys.executable), 'virt-fw-vars')
KEY = varstore.VariableKey(images.VENDOR, 'Name')


def variable(content=b'content', name='Name', attributes=7, timestamp=None):
    return varstore.Variable(varstore.VariableKey(images.VENDOR, name),
                             attributes, content, timestamp)


def differing(before, after):
    return [place for place, (old, new) in enumerate(zip(before, after))
            if old != new]


class EditedTest(unittest.TestCase):

    def assert_changed(self, flash, changes, wanted):
        after = edit.edited(flash, changes)
        self.assertEqual(len(flash), len(after))
        self.assertEqual(wanted, dict(varstore.parse(after).variables))
        return after

    def test_new_variable_is_appended_and_nothing_else_touched(self):
        for name in set(images.REAL) - {'interrupted'}:
            with self.subTest(name):
                flash = images.real(name)
                present = dict(varstore.parse(flash).variables)
                after = self.assert_changed(
                    flash, {KEY: variable()}, {**present, KEY: variable()})
                places = differing(flash, after)
                self.assertLess(places[-1] - places[0], 100)

    def test_variable_that_is_replaced_is_marked_as_deleted(self):
        flash = images.flash(images.record(content=b'old'),
                             images.record('Other'))
        after = self.assert_changed(
            flash, {KEY: variable(b'new')},
            {KEY: variable(b'new'),
             varstore.VariableKey(images.VENDOR, 'Other'):
             variable(name='Other')})
        volume = varstore.volume_of(after)
        self.assertEqual(0x3d, after[volume.store_start + 28 + 2])

    def test_variable_that_is_removed_leaves_a_bit(self):
        flash = images.flash(images.record(), images.record('Other'))
        after = edit.edited(flash, {KEY: None})
        self.assertEqual(1, len(differing(flash, after)))
        self.assertNotIn(KEY, varstore.parse(after).variables)

    def test_removing_what_is_not_there_changes_nothing(self):
        flash = images.flash(images.record('Other'))
        self.assertEqual(flash, edit.edited(flash, {KEY: None}))

    def test_setting_what_is_there_changes_nothing(self):
        flash = images.flash(images.record())
        self.assertEqual(flash, edit.edited(flash, {KEY: variable()}))

    def test_old_one_that_was_half_replaced_does_not_come_back(self):
        flash = images.flash(
            images.record(content=b'older', state=images.LEAVING),
            images.record(content=b'newer'))
        self.assertNotIn(KEY, varstore.parse(
            edit.edited(flash, {KEY: None})).variables)
        self.assertEqual(b'new', varstore.parse(edit.edited(
            flash, {KEY: variable(b'new')})).variables[KEY].content)

    def test_flash_without_any_store_is_formatted(self):
        for blank in (bytes(varstore.READ_SIZE),
                      b'\xff' * varstore.READ_SIZE):
            self.assert_changed(blank, {KEY: variable()}, {KEY: variable()})

    def test_interrupted_rewrite_is_finished_first(self):
        flash = images.real('interrupted')
        self.assertTrue(varstore.parse(flash).write_pending)
        present = dict(varstore.parse(flash).variables)
        # Or the firmware would bring the old ones back.
        after = self.assert_changed(flash, {KEY: variable()},
                                    {**present, KEY: variable()})
        self.assertFalse(varstore.parse(after).write_pending)

    def test_store_that_is_full_of_old_variables_is_compacted(self):
        flash, wanted = images.flash(images.record('Other')), {}
        for number in range(40):
            changed = variable(bytes([number]) * 30_000)
            flash = edit.edited(flash, {KEY: changed})
            wanted = varstore.parse(flash).variables
            self.assertEqual(changed, wanted[KEY])
            self.assertEqual(2, len(wanted))

    def test_variable_for_which_there_is_no_room(self):
        flash = images.flash()
        for number in range(3):
            flash = edit.edited(flash, {
                varstore.VariableKey(images.VENDOR, str(number)):
                variable(bytes(60_000), str(number))})
        before = bytes(flash)
        with self.assertRaises(exception.VariableStoreFull) as caught:
            for number in range(3, 6):
                flash = edit.edited(flash, {
                    varstore.VariableKey(images.VENDOR, str(number)):
                    variable(bytes(60_000), str(number))})
        self.assertIn('60', str(caught.exception))
        self.assertEqual(3, len(varstore.parse(before).variables))

    def test_time_of_an_authenticated_write_is_kept(self):
        written = datetime.datetime(2026, 11, 24, 12, 30, 15, 5000,
                                    tzinfo=datetime.timezone.utc)
        signed = variable(attributes=0x27, timestamp=written)
        self.assert_changed(images.flash(), {KEY: signed}, {KEY: signed})

    def test_store_without_authentication(self):
        flash = images.flash(
            images.plain_record('Other', b'content'),
            store=images.store_header(guid=images.PLAIN))
        other = varstore.VariableKey(images.VENDOR, 'Other')
        self.assert_changed(flash, {KEY: variable()}, {
            KEY: variable(), other: variable(name='Other')})

    def test_what_firmware_would_not_take(self):
        for wrong in (variable(name=''), variable(name='a\0b'),
                      variable(name='n' * 513), variable(b''),
                      variable(bytes(64 * 1024 + 1)), variable(attributes=6),
                      variable(attributes=0x87)):
            with self.subTest(wrong.key.name[:5]):
                self.assertRaises(exception.VariableInvalid, edit.edited,
                                  images.flash(), {wrong.key: wrong})


class ManyTest(unittest.TestCase):

    def test_thousands_are_replaced_without_looking_for_each_in_all(self):
        flash = images.flash(*(images.record(f'V{number:04}', b'x')
                               for number in range(2900)))
        present = varstore.parse(flash).variables
        wanted = [varstore.Variable(key, 7, b'y')
                  for key in list(present)[:200]]
        with mock.patch.object(varstore, 'entries',
                               wraps=varstore.entries) as passes:
            made = edit.edited(flash, edit.replacement(
                wanted, present.values()))
        self.assertLess(passes.call_count, 20)
        self.assertEqual(set(wanted),
                         set(varstore.parse(made).variables.values()))


class StoreOfTest(unittest.TestCase):

    def test_header_is_that_which_firmware_makes(self):
        made = edit.formatted(varstore.READ_SIZE)
        self.assertEqual(images.real('natural')[:100], made[:100])

    def test_every_real_store_can_be_made_anew(self):
        for name in images.REAL:
            with self.subTest(name):
                wanted = varstore.parse(images.real(name)).variables
                made = edit.store_of(wanted.values(), 1024 * 1024)
                self.assertEqual(wanted, varstore.parse(made).variables)

    def test_two_of_a_name_are_refused(self):
        self.assertRaises(exception.VariableInvalid, edit.store_of,
                          [variable(), variable(b'other')],
                          varstore.READ_SIZE)

    def test_virt_firmware_finds_the_same(self):
        wanted = [variable(bytes([number]) * number, f'Name{number}')
                  for number in range(1, 50)]
        with tempfile.TemporaryDirectory() as directory:
            flash = os.path.join(directory, 'flash')
            with open(flash, 'wb') as stream:
                stream.write(edit.store_of(wanted, 64 * 1024 * 1024))
            said = subprocess.run([_VIRT_FW_VARS, '-i', flash, '--print'],
                                  check=True, text=True,
                                  capture_output=True).stdout
        for each in wanted:
            self.assertIn(each.key.name, said)


class ReplacementTest(unittest.TestCase):

    def test_what_is_not_wanted_goes(self):
        present = varstore.parse(images.real('natural'))
        flash = edit.edited(images.real('natural'), edit.replacement(
            [variable()], present.variables.values()))
        self.assertEqual({KEY: variable()},
                         dict(varstore.parse(flash).variables))


class AnyChangesTest(unittest.TestCase):

    @hypothesis.settings(deadline=None, max_examples=60)
    @hypothesis.given(strategies.sampled_from(images.REAL),
                      strategies.lists(strategies.tuples(
                          strategies.sampled_from('abcdef'),
                          strategies.none() | strategies.binary(
                              min_size=1, max_size=20_000)), max_size=25))
    def test_store_holds_what_was_set_last(self, name, changes):
        flash = images.real(name)
        wanted = dict(varstore.parse(flash).variables)
        for word, content in changes:
            key = varstore.VariableKey(images.VENDOR, word)
            new = content and variable(content, word)
            flash = edit.edited(flash, {key: new})
            wanted.pop(key, None)
            if new:
                wanted[key] = new
        self.assertEqual(wanted, dict(varstore.parse(flash).variables))
