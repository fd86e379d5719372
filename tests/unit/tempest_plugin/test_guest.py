# SPDX-License-Identifier: Apache-2.0
import dataclasses
import unittest

from nova_armvm_tempest_plugin import guest
from tests.unit.tempest_plugin import reports


def _store(text: str) -> guest.Store:
    return guest.Store.of(guest.parse(text))


class ParseTest(unittest.TestCase):

    def test_an_event_is_found_behind_what_the_firmware_says(self):
        self.assertEqual(
            {'event': 'boot', 'sequence': 3},
            guest.parse('\x1b[0mARMVM {"event":"boot","sequence":3}'))

    def test_other_lines_say_nothing(self):
        for line in ('Welcome to GRUB!', '', 'ARMVM', 'ARMVM {"event":',
                     'ARMVM 3', 'ARMVM []', 'ARMVM {"sequence":0}',
                     'ARMVM {"event":1,"sequence":0}',
                     'ARMVM {"event":"boot","sequence":"0"}',
                     'ARMVM ' + '[' * 60000):
            with self.subTest(line[:40]):
                self.assertIsNone(guest.parse(line))

    def test_a_line_that_no_guest_of_ours_writes_is_not_even_read(self):
        self.assertIsNone(guest.parse(
            reports.line('boot', disk='U' * 70000)))

    def test_numbers_are_little_endian_words(self):
        self.assertEqual((0x40, 0x1, 0xffff), guest.numbers('40000100ffff'))
        self.assertEqual((), guest.numbers(''))

    def test_half_a_number_is_an_error(self):
        for content in ('400001', 'x'):
            with self.subTest(content), self.assertRaises(ValueError):
                guest.numbers(content)


class StoreTest(unittest.TestCase):

    def test_a_store_that_only_the_firmware_knows_is_empty(self):
        found = _store(reports.store('boot'))
        self.assertTrue(found.is_empty)
        self.assertEqual((1, 2), found.order)
        self.assertEqual(1, found.current)

    def test_a_store_with_any_trace_of_a_guest_is_not_empty(self):
        for trace in ({'probe': '00'}, {'boots': '00000001'},
                      {'beat': '00000001'}):
            with self.subTest(trace):
                self.assertFalse(
                    _store(reports.store('boot', **trace)).is_empty)

    def test_firmware_need_not_say_what_it_booted(self):
        self.assertIsNone(_store(reports.store('boot', current='')).current)

    def test_nothing_is_lost_when_everything_is_found(self):
        left = _store(reports.written())
        found = _store(reports.written('second', 'boot', beat='00000005',
                                       order='4000010002000300'))
        self.assertEqual([], left.lost(found))

    def test_whatever_is_lost_is_named(self):
        left = _store(reports.written())
        for lost, change in {
                'the probe variable': {'probe': ''},
                'the count of boots': {'boots': '00000002'},
                'the last beats': {'beat': '00000002'},
                'Boot0040': {'options': {}},
                'BootOrder': {'order': '010040000200'},
                'the boot from Boot0040': {'current': '0100'}}.items():
            with self.subTest(lost):
                self.assertEqual([lost], left.lost(_store(
                    reports.written('second', 'boot', **change))))


class ReadTest(unittest.TestCase):

    def test_a_console_that_says_nothing_reads_as_nothing(self):
        self.assertEqual(guest.Transcript(), guest.read('EDK II\nGRUB\n'))

    def test_a_boot_is_read_with_all_that_follows(self):
        said = guest.read(reports.first_boot('first', beat=2))
        self.assertTrue(said.found.is_empty)
        self.assertEqual(reports.PROBE, said.left.probe)
        self.assertEqual((), said.failed)
        self.assertEqual(2, said.beat)
        self.assertEqual('first', said.boot_id)
        self.assertEqual(4, said.hardware['free_ports'])

    def test_what_an_earlier_boot_has_said_does_not_count(self):
        said = guest.read('\n'.join((
            reports.first_boot('first'),
            reports.written('second', 'boot'))))
        self.assertEqual('second', said.found.boot_id)
        self.assertEqual(
            guest.Transcript(found=said.found), said)

    def test_a_console_that_begins_after_the_boot_tells_the_time(self):
        said = guest.read('\n'.join((reports.alive(7), reports.alive(8))))
        self.assertIsNone(said.found)
        self.assertEqual((8, 'first'), (said.beat, said.boot_id))

    def test_a_time_that_could_not_be_written_is_not_told(self):
        said = guest.read('\n'.join((
            reports.alive(7), reports.alive(8, result='failed'))))
        self.assertEqual(7, said.beat)

    def test_variables_that_could_not_be_written_are_named(self):
        said = guest.read('\n'.join((
            reports.store('boot'),
            reports.line('written', variable='Boot0040-g', result='failed'),
            reports.line('written', variable='ArmvmProbe-o', result='ok'))))
        self.assertEqual(('Boot0040-g',), said.failed)

    def test_a_disturbed_report_is_passed_over(self):
        for disturbed in (reports.line('boot'),
                          reports.store('boot', order='4'),
                          reports.store('boot', boots='many'),
                          reports.store('boot', options=3),
                          reports.line('alive'), reports.line('written')):
            with self.subTest(disturbed):
                said = guest.read('\n'.join((reports.alive(7), disturbed)))
                self.assertEqual(guest.Transcript(beat=7, boot_id='first'),
                                 said)

    def test_the_latest_machine_counts(self):
        said = guest.read('\n'.join((
            reports.first_boot(), reports.hardware(free_ports=3))))
        self.assertEqual(3, said.hardware['free_ports'])
        self.assertEqual(
            said, dataclasses.replace(guest.read(reports.first_boot()),
                                      hardware=said.hardware))
