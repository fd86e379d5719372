# SPDX-License-Identifier: Apache-2.0
import struct
import unittest
import uuid

from nova_armvm.uefi import device_path
from tests.unit.uefi import flash_images as images

DISK = uuid.UUID('e7b1a2c3-0000-4000-8000-123456789abc')


class DecodeTest(unittest.TestCase):

    def test_path_ends_at_its_end_node(self):
        nodes = device_path.decode(images.node(1, 1, b'\1\2') + images.END +
                                   images.node(1, 1, b'\3\4') + images.END)
        self.assertEqual((device_path.Node((1, 1), b'\1\2'),), nodes)

    def test_empty_path_has_no_nodes(self):
        self.assertEqual((), device_path.decode(images.END))

    def test_path_without_an_end_is_refused(self):
        for path in b'', b'\1\1\6', images.node(1, 1, b'\1\2'):
            self.assertIsNone(device_path.decode(path))

    def test_impossible_lengths_are_refused(self):
        for length in 0, 3, 7, 0xFFFF:
            path = struct.pack('<BBH', 1, 1, length) + b'\0\0' + images.END
            if length == 7:
                path = path[:6]
            self.assertIsNone(device_path.decode(path), length)

    def test_longest_possible_path_is_decoded(self):
        nodes = device_path.decode(images.node(9, 9) * 16383 + images.END)
        self.assertEqual(16383, len(nodes))


class PciPathTest(unittest.TestCase):

    def pci_path(self, path):
        return device_path.pci_path(device_path.decode(path + images.END))

    def test_path_leads_through_bridges(self):
        self.assertEqual(((1, 3), (0, 0)), self.pci_path(
            images.pci((1, 3), (0, 0)) + images.node(3, 2, bytes(4))))

    def test_path_without_a_pci_root_leads_nowhere_on_pci(self):
        pci = images.node(1, 1, bytes(2))
        serial = images.node(2, 1, struct.pack('<II', 0x050141D0, 0))
        for path in b'', pci, serial + pci, images.node(2, 1, b'') + pci:
            self.assertEqual((), self.pci_path(path))

    def test_nodes_of_another_length_are_no_pci_nodes(self):
        root = images.pci()
        for content in b'', b'\0', b'\0\0\0':
            self.assertEqual((), self.pci_path(
                root + images.node(1, 1, content)))


class FirmwareFileTest(unittest.TestCase):

    def is_firmware_file(self, path):
        return device_path.is_firmware_file(
            device_path.decode(path + images.END))

    def test_file_in_a_firmware_volume_or_in_memory(self):
        file = images.node(4, 6, images.SHELL.bytes_le)
        memory = images.node(1, 3, bytes(20))
        self.assertTrue(self.is_firmware_file(
            images.firmware_file(images.SHELL)))
        self.assertTrue(self.is_firmware_file(memory + file))
        self.assertFalse(self.is_firmware_file(file))
        self.assertFalse(self.is_firmware_file(images.pci((1, 0)) + file))


class TextTest(unittest.TestCase):

    def text(self, path):
        return device_path.to_text(device_path.decode(path + images.END))

    def test_paths_of_usual_boot_options(self):
        guid = DISK.bytes_le
        mac = bytes.fromhex('525400123456') + bytes(26)
        for expected, path in (
                ('PciRoot(0x0)/Pci(0x1,0x3)/Pci(0x0,0x0)/Scsi(0x0,0x1)',
                 images.pci((1, 3), (0, 0)) +
                 images.node(3, 2, struct.pack('<HH', 0, 1))),
                (f'HD(1,GPT,{DISK},0x800,0x1000)/File(\\EFI\\BOOTAA64.EFI)',
                 images.node(4, 1, struct.pack(
                     '<IQQ16sBB', 1, 0x800, 0x1000, guid, 2, 2)) +
                 images.node(4, 4, images.ucs2('\\EFI\\BOOTAA64.EFI'))),
                ('HD(2,MBR,0x12345678,0x1,0x2)',
                 images.node(4, 1, struct.pack(
                     '<IQQI12xBB', 2, 1, 2, 0x12345678, 1, 1))),
                ('MAC(525400123456,0x1)/IPv4(192.0.2.7)/Uri(http://boot/)',
                 images.node(3, 0xB, mac + b'\1') +
                 images.node(3, 0xC, bytes(4) + b'\xc0\0\2\7' + bytes(11)) +
                 images.node(3, 0x18, b'http://boot/')),
                ('IPv6(2001:db8::1)',
                 images.node(3, 0xD, bytes(16) + bytes.fromhex(
                     '20010db8000000000000000000000001') + bytes(24))),
                ('USB(0x1,0x0)', images.node(3, 5, b'\1\0')),
                ('NVMe(0x1,00-11-22-33-44-55-66-77)',
                 images.node(3, 0x17, struct.pack('<I', 1) +
                             bytes.fromhex('7766554433221100'))),
                (f'Fv(64074afe-340a-4be6-94ba-91b5b4d0f71e)/'
                 f'FvFile({images.UI_APP})',
                 images.firmware_file(images.UI_APP)),
                ('MemoryMapped(0xb,0x1000,0x1fff)',
                 images.node(1, 3, struct.pack('<IQQ', 11, 0x1000, 0x1FFF))),
                ('Acpi(PNP0501,0x0)',
                 images.node(2, 1, struct.pack('<II', 0x050141D0, 0))),
                ('Acpi(0x00001234,0x2)',
                 images.node(2, 1, struct.pack('<II', 0x1234, 2))),
                (f'VenHw({DISK})', images.node(1, 4, guid + b'more')),
                ('Sata(0x0,0xffff,0x0)',
                 images.node(3, 0x12, struct.pack('<HHH', 0, 0xFFFF, 0))),
                ('CDROM(0x0,0x1,0x2)',
                 images.node(4, 2, struct.pack('<IQQ', 0, 1, 2)))):
            self.assertEqual(expected, self.text(path))

    def test_unknown_node_is_shown_as_it_is(self):
        self.assertEqual('Path(3,99,0102)',
                         self.text(images.node(3, 99, b'\1\2')))
        self.assertEqual(f'Path(3,99,{"00" * 32}...)',
                         self.text(images.node(3, 99, bytes(1000))))

    def test_node_that_is_too_short_for_its_kind_is_shown_as_it_is(self):
        for kind in ((1, 1), (1, 3), (1, 4), (2, 1), (3, 2), (3, 5),
                     (3, 0xB), (3, 0xC), (3, 0xD), (3, 0x12), (3, 0x17),
                     (4, 1), (4, 2), (4, 6), (4, 7)):
            self.assertEqual(f'Path({kind[0]},{kind[1]},07)',
                             self.text(images.node(*kind, b'\7')))

    def test_endless_path_is_cut(self):
        text = self.text(images.node(3, 5, b'\0\0') * 1000)
        self.assertTrue(text.endswith('/...'))
        self.assertLess(len(text), 500)

    def test_names_that_are_no_text_do_not_fail(self):
        self.assertEqual('File(\\x00\\xd8)',
                         self.text(images.node(4, 4, b'\0\xd8\0\0')))
        self.assertEqual('Uri(\\xff)', self.text(images.node(3, 0x18,
                                                             b'\xff')))
