# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm.uefi import text
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images


class PrintableTest(unittest.TestCase):

    def test_ordinary_text_is_unchanged(self):
        for words in 'UEFI Misc Device 2', 'Gr\xfc\xdfe', '\u65e5\u672c':
            self.assertEqual(words, text.printable(words))

    def test_nothing_steers_a_terminal(self):
        for raw, shown in (('\x1b[2J', '\\x1b[2J'), ('a\nb', 'a\\x0ab'),
                           ('\r', '\\x0d'), ('\x9b31m', '\\x9b31m'),
                           ('\x00', '\\x00'), ('\x7f', '\\x7f'),
                           ('\u202egnp', '\\u202egnp'),
                           ('\u2028', '\\u2028'), ('\ud800', '\\ud800')):
            self.assertEqual(shown, text.printable(raw))
            self.assertTrue(text.printable(raw).isprintable())

    def test_endless_text_is_cut(self):
        self.assertEqual('a' * 300 + '...', text.printable('a' * 100000))


class BootLinesTest(unittest.TestCase):

    def lines(self, *records):
        return list(text.boot_lines(varstore.parse(images.flash(*records))))

    def test_boot_order_and_options_in_words(self):
        volume = 'Fv(64074afe-340a-4be6-94ba-91b5b4d0f71e)'
        self.assertEqual([
            'BootOrder: 0001,0002,0000,0003',
            f'Boot0000* UiApp {volume}/FvFile({images.UI_APP}) (firmware)',
            'Boot0001* UEFI Misc Device '
            'PciRoot(0x0)/Pci(0x1,0x1)/Pci(0x0,0x0) (firmware)',
            'Boot0002* UEFI Misc Device 2 '
            'PciRoot(0x0)/Pci(0x1,0x0)/Pci(0x0,0x0) (firmware)',
            f'Boot0003* EFI Internal Shell {volume}/FvFile({images.SHELL})'
            ' (firmware)',
        ], list(text.boot_lines(varstore.parse(images.real('offered')))))

    def test_guests_own_option_next_boot_and_unreadable_one(self):
        self.assertEqual([
            'BootNext: 0002', 'BootOrder: 0002',
            'Boot0001 (unreadable)',
            'Boot0002  debian File(\\EFI\\debian\\grubaa64.efi)',
        ], self.lines(*images.boot_records(
            order=(2,), following=2, Boot0001=b'?',
            Boot0002=images.load_option(
                'debian', images.node(4, 4, images.ucs2(
                    '\\EFI\\debian\\grubaa64.efi')), attributes=0))))

    def test_store_without_an_order(self):
        self.assertEqual(['BootOrder: not set'], self.lines())

    def test_no_line_steers_a_terminal_or_is_endless(self):
        evil = '\x1b]0;x\x07\n\u202e' * 1000
        for line in self.lines(*images.boot_records(
                order=(1,) * 1000, Boot0001=images.load_option(
                    evil, images.node(4, 4, images.ucs2(evil)) +
                    images.node(3, 0x18, evil.encode())))):
            self.assertTrue(line.isprintable())
            self.assertLess(len(line), 5000)


class VariableLinesTest(unittest.TestCase):

    def lines(self, flash):
        return list(text.variable_lines(varstore.parse(flash)))

    def test_each_variable_is_a_line(self):
        self.assertEqual([
            f'A {images.VENDOR} non-volatile+boot+runtime 2 bytes 0102',
            f'B {images.VENDOR} 0x100 17 bytes {"00" * 16}...',
            f'C {images.VENDOR} none 0 bytes ',
        ], self.lines(images.flash(
            images.record('B', bytes(17), attributes=0x100),
            images.record('C', b'', attributes=0),
            images.record('A', b'\1\2'))))

    def test_store_that_no_firmware_has_used(self):
        self.assertEqual(1, len(self.lines(b'')))

    def test_interrupted_rewrite_is_said(self):
        self.assertIn('interrupted',
                      self.lines(images.real('interrupted'))[0])

    def test_no_name_steers_a_terminal(self):
        for line in self.lines(images.flash(
                images.record('\x1b[2J\n\ud800'), images.record('\u202e'))):
            self.assertTrue(line.isprintable())
