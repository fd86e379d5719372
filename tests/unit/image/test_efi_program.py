# SPDX-License-Identifier: Apache-2.0
import unittest

import hypothesis
from hypothesis import strategies

from nova_armvm import exception
from nova_armvm.image import efi_program
from tests.unit.image import disks


class ParseTest(unittest.TestCase):

    def test_programs_of_both_states(self):
        for machine, plus, state, other in (
                (0xaa64, True, 'aarch64', 'aarch32'),
                (0x01c2, False, 'aarch32', 'aarch64')):
            program = efi_program.parse(disks.program(machine, plus))
            self.assertTrue(program.starts_in(state))
            self.assertFalse(program.starts_in(other))

    def test_kernels_with_a_stub_are_programs(self):
        for mark in (b'ARM\x64', b'zimg'):
            program = efi_program.parse(disks.program(linux=mark))
            self.assertTrue(program.starts_in('aarch64'))
            self.assertIn('Linux kernel', program.words)

    def test_other_machines_are_named(self):
        for machine, word in ((0x8664, 'x86-64'), (0x14c, 'i386'),
                              (0x5064, 'RISC-V'), (0x1c4, 'Thumb-2'),
                              (0x1234, '0x1234')):
            program = efi_program.parse(disks.program(machine))
            self.assertFalse(program.starts_in('aarch64'))
            self.assertIn(word, program.words)

    def test_format_has_to_fit_the_machine(self):
        self.assertFalse(efi_program.parse(
            disks.program(0xaa64, plus=False)).starts_in('aarch64'))
        self.assertFalse(efi_program.parse(
            disks.program(0x01c2, plus=True)).starts_in('aarch32'))

    def test_drivers_are_no_applications(self):
        for subsystem, word in ((11, 'boot service driver'),
                                (12, 'runtime driver'), (99, '99')):
            program = efi_program.parse(disks.program(subsystem=subsystem))
            self.assertFalse(program.starts_in('aarch64'))
            self.assertIn(word, program.words)


class BrokenTest(unittest.TestCase):

    def test_what_is_no_program(self):
        whole = disks.program()
        for content in (b'', b'MZ', b'#!/bin/sh\n', bytes(4096),
                        whole[:64], whole[:130], whole[:150],
                        whole[:60] + b'\xff\xff\xff\xff' + whole[64:]):
            with self.subTest(content[:8]):
                self.assertRaises(exception.ImageInvalid, efi_program.parse,
                                  content)

    @hypothesis.given(strategies.binary(max_size=600))
    def test_any_bytes_are_a_program_or_none(self, content):
        try:
            efi_program.parse(content)
        except exception.ImageInvalid:
            pass

    @hypothesis.given(strategies.lists(strategies.tuples(
        strategies.integers(0, 500), strategies.integers(0, 255)),
        max_size=12))
    def test_any_change_makes_a_program_or_none(self, changes):
        content = bytearray(disks.program().ljust(1024, b'\0'))
        for place, value in changes:
            content[place] = value
        try:
            efi_program.parse(bytes(content))
        except exception.ImageInvalid:
            pass
