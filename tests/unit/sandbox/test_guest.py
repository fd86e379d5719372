# SPDX-License-Identifier: Apache-2.0
import pathlib
import tempfile
import unittest
import uuid

from nova_armvm.uefi import boot
from nova_armvm.uefi import device_path
from tools.sandbox.guest import console
from tools.sandbox.guest import load_option

PARTITION = uuid.UUID('11111111-2222-3333-4444-555555555555')


class LoadOptionTest(unittest.TestCase):
    """Written by the sandbox, read by the driver's own decoder."""

    def test_program_on_a_partition(self):
        option = boot.decode(0x40, load_option.for_file(
            'disk B', PARTITION, 2048, 4096, r'\EFI\BOOT\BOOTAA64.EFI'))
        self.assertEqual('disk B', option.description)
        words = device_path.to_text(option.path)
        self.assertIn(str(PARTITION), words.lower())
        self.assertIn('BOOTAA64.EFI', words)

    def test_network(self):
        option = boot.decode(0x41, load_option.for_network(
            'network', bytes.fromhex('525400aabbcc')))
        self.assertIn('525400aabbcc', device_path.to_text(
            option.path).lower().replace(':', ''))

    def test_order_is_read_as_it_was_written(self):
        content = load_option.order(0x50, 0x1, 0xFFFF)
        self.assertEqual((0x50, 0x1, 0xFFFF),
                         console.numbers(content.hex()))


class ConsoleTest(unittest.TestCase):

    def test_event_is_found_behind_what_the_kernel_says(self):
        self.assertEqual(
            {'event': 'boot', 'sequence': 0},
            console.parse(b'[ 0.1] ARMVM {"event":"boot","sequence":0}\n'))

    def test_other_lines_say_nothing(self):
        for line in (b'Welcome to GRUB!\n', b'ARMVM {"event":\n',
                     b'ARMVM 3\n', b'\xff\xfe\n'):
            with self.subTest(line):
                self.assertIsNone(console.parse(line))


class SecureBootTest(unittest.TestCase):

    def words(self, secure_boot, setup_mode):
        return console.secure_boot({'disk': 'S', 'secure_boot': secure_boot,
                                    'setup_mode': setup_mode})

    def test_state_is_put_into_words(self):
        self.assertEqual('disk S, Secure Boot on, keys enrolled',
                         self.words('01', '00'))
        self.assertEqual('disk S, Secure Boot off, no keys',
                         self.words('00', '01'))
        self.assertEqual('disk S, Secure Boot unknown, mode unknown',
                         self.words('', ''))

    def test_refusal_of_an_option_is_found(self):
        said = ('BdsDxe: loading Boot0060 "not signed" from HD(1)\n'
                'BdsDxe: failed to load Boot0060 "not signed" from HD(1): '
                'Access Denied\nBdsDxe: starting Boot0001 "disk"\n')
        self.assertEqual('Boot0060 Access Denied',
                         console.refusal(said, r'Boot\w{4}'))
        self.assertIsNone(console.refusal(said, 'Boot0001'))
        self.assertIsNone(console.refusal(
            said.replace('Access Denied', 'Not Found'), 'Boot0060'))


class MovedConsoleTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)

    def log(self, name, *lines):
        path = self.top / name
        path.write_bytes(b''.join(lines))
        return path

    def test_new_host_is_read_from_the_start(self):
        here = self.log('here', b'x' * 500 + b'\n')
        there = self.log('there',
                         b'ARMVM {"event":"boot","sequence":0}\n')
        talk = console.Console(here, lambda: '')
        talk.skip()
        talk.move(there, lambda: '')
        self.assertEqual('boot', talk.wait('boot', 1)['event'])
