# SPDX-License-Identifier: Apache-2.0
import os
import stat
import tempfile
import unittest

from nova_armvm.host import record

INFO = {'driver_volume_type': 'iscsi', 'data': {'auth_password': 'secret'}}


class HostRecordsTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = os.path.join(scratch.name, 'stores')
        self.records = record.HostRecords(self.directory)

    def test_record_is_found_again(self):
        kept = record.HostRecord('i-1', 'p-1', INFO, to_delete=True)
        self.records.put(kept)
        self.assertEqual(
            kept, record.HostRecords(self.directory).get('i-1'))

    def test_nobody_else_can_read_it(self):
        self.records.put(record.HostRecord('i-1', 'p-1', INFO))
        path = os.path.join(self.directory, 'i-1.json')
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        self.assertEqual(0o700, stat.S_IMODE(os.stat(self.directory).st_mode))

    def test_later_record_replaces_the_earlier(self):
        self.records.put(record.HostRecord('i-1', 'p-1'))
        self.records.put(record.HostRecord('i-1', 'p-1', INFO))
        self.assertEqual([INFO],
                         [known.connection_info for known in self.records])

    def test_dropped_record_is_gone(self):
        self.records.put(record.HostRecord('i-1', 'p-1'))
        self.records.drop('i-1')
        self.assertIsNone(self.records.get('i-1'))
        self.assertEqual([], os.listdir(self.directory))

    def test_dropping_what_is_not_there_is_no_error(self):
        self.records.drop('i-1')

    def test_unreadable_record_is_passed_over(self):
        self.records.put(record.HostRecord('i-1', 'p-1'))
        with open(os.path.join(self.directory, 'i-2.json'), 'w') as stream:
            stream.write('{"instance":')
        self.assertEqual(['i-1'], [known.instance for known in self.records])

    def test_no_records_before_the_first(self):
        self.assertEqual([], list(self.records))
