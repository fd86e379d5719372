# SPDX-License-Identifier: Apache-2.0
"""What is recorded is what is read."""
import pathlib
import random
import tempfile
import uuid

import testtools

from nova_armvm.uefi import varstore
from tests.unit.nvramd import trace_files
from tools.flash_trace import trace_format
from tools.flash_trace import workload

_BLOCK = 256 * 1024


class TraceTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name, 'one.trace.xz')

    def _read(self, trace: trace_format.Writer) -> list[trace_files.Event]:
        trace.save(self.path)
        return list(trace_files.Trace(self.path).events())

    def test_writes_are_read_with_all_their_bytes(self) -> None:
        chance = random.Random(1)
        flash = bytearray(chance.randbytes(trace_format.REGION))
        trace = trace_format.Writer('any', 'any', bytes(flash))
        expected = []
        for length in (512, 4096, 4096, 4096, _BLOCK, 4096):
            offset = chance.randrange(trace_format.REGION // length) * length
            new = bytearray(flash[offset:offset + length])
            for _change in range(9):
                place = chance.randrange(length - 40)
                new[place:place + 40] = chance.choice(
                    (b'\xff' * 40, chance.randbytes(40)))
            if length == _BLOCK:
                new = bytearray(b'\xff' * length)
            trace.write(offset, bytes(flash[offset:offset + length]),
                        bytes(new))
            flash[offset:offset + length] = new
            expected.append(trace_files.Write(offset, bytes(new)))
        self.assertEqual(expected, self._read(trace))

    def test_a_write_that_changes_nothing_is_one(self) -> None:
        trace = trace_format.Writer('any', 'any', bytes(trace_format.REGION))
        trace.write(4096, bytes(512), bytes(512))
        self.assertEqual([trace_files.Write(4096, bytes(512))],
                         self._read(trace))

    def test_a_write_beyond_the_variable_volume_is_refused(self) -> None:
        trace = trace_format.Writer('any', 'any', bytes(trace_format.REGION))
        self.assertRaises(ValueError, trace.write, trace_format.REGION - 1,
                          bytes(2), bytes(2))

    def test_operations_are_read(self) -> None:
        guid = workload.GUIDS[0]
        trace = trace_format.Writer('any', 'any', bytes(trace_format.REGION))
        trace.mark(*workload.Operation(1, 'One', guid, 5).mark)
        trace.mark('end', 1, 28)
        trace.mark(*workload.Operation(2, 'One', guid, None).mark)
        trace.mark('reset')
        trace.mark('up')
        key = varstore.VariableKey(uuid.UUID(guid), 'One')
        value = trace_files.Value(
            7, 5, workload.digest(b'\x01\0\0\0\x01'))
        self.assertEqual(
            [trace_files.Begin(1, key, value), trace_files.End(1, 28),
             trace_files.Begin(2, key, None), trace_files.Reset(),
             trace_files.Up()], self._read(trace))

    def test_a_start_finds_working_and_spare_area_erased(self) -> None:
        trace = trace_format.Writer('any', 'any', bytes(trace_format.REGION))
        trace.mark('power-on')
        trace.write(0, bytes(512), b'1' * 512)
        trace.mark('power-on')
        first, _write, second = self._read(trace)
        self.assertEqual(bytes(trace_format.REGION), first.region)
        self.assertEqual(b'1' * 512 + bytes(_BLOCK - 512) +
                         b'\xff' * 2 * _BLOCK, second.region)

    def test_another_format_is_refused(self) -> None:
        trace = trace_format.Writer('any', 'any', bytes(trace_format.REGION))
        trace._parts[0] = trace._parts[0].replace(b'"format": 1',
                                                  b'"format": 2')
        trace.save(self.path)
        self.assertRaises(ValueError, trace_files.Trace, self.path)
