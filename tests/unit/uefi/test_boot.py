# SPDX-License-Identifier: Apache-2.0
import struct
import unittest

from nova_armvm.uefi import boot
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images

A, B = ((1, 0), (0, 0)), ((1, 1), (0, 0))
NETWORK, SCSI = ((1, 2), (0, 0)), ((1, 3), (0, 0))
MARK = images.AUTO_CREATED.bytes_le


def real(name):
    return varstore.parse(images.real(name))


def store(**parts):
    return varstore.parse(images.flash(*images.boot_records(**parts)))


def device(path, optional=MARK, beyond=b''):
    return images.load_option('UEFI Misc Device', images.pci(*path) + beyond,
                              optional)


MENU = images.load_option('UiApp', images.firmware_file(images.UI_APP),
                          attributes=0x109)
SHELL = images.load_option('EFI Internal Shell',
                           images.firmware_file(images.SHELL))
OWN = images.load_option(
    'debian', images.node(4, 4, images.ucs2('\\EFI\\debian\\grubaa64.efi')))


class DecodeTest(unittest.TestCase):

    def test_option_has_all_its_parts(self):
        option = boot.decode(0x12, images.load_option(
            'Gr\xfc\xdf', images.pci((1, 0)), b'arguments', attributes=9))
        self.assertEqual((0x12, 9, 'Gr\xfc\xdf', b'arguments', ((1, 0),)), (
            option.number, option.attributes, option.description,
            option.optional, option.pci_path))
        self.assertTrue(option.active)
        self.assertTrue(option.hidden)

    def test_option_that_firmware_would_ignore_is_none(self):
        whole = images.load_option('Name', images.pci((1, 0)))
        for content in (
                b'', whole[:5], whole[:6], whole[:10], whole[:15],
                whole[:16], whole[:-1],
                struct.pack('<IH', 1, 0xFFFF) + whole[6:],
                struct.pack('<IH', 1, 0) + whole[6:],
                struct.pack('<IH', 1, 4) + b'N\0' * 4096,
                struct.pack('<IH', 1, 8) + b'\0\0' +
                images.node(1, 1, b'\0\0\0\0')):
            self.assertIsNone(boot.decode(1, content))

    def test_paths_after_the_first_are_not_mixed_with_the_arguments(self):
        path = images.pci((1, 0)) + images.END + images.pci((2, 0))
        option = boot.decode(1, images.load_option('', path, b'x'))
        self.assertEqual(((1, 0),), option.pci_path)
        self.assertEqual(b'x', option.optional)


class ReadingTest(unittest.TestCase):

    def test_store_without_boot_variables(self):
        found = store()
        self.assertEqual((), boot.boot_order(found))
        self.assertIsNone(boot.boot_next(found))
        self.assertIsNone(boot.boot_current(found))
        self.assertEqual({}, boot.boot_options(found))

    def test_order_and_next(self):
        found = store(order=(2, 1, 0xFFFF), following=7)
        self.assertEqual((2, 1, 0xFFFF), boot.boot_order(found))
        self.assertEqual(7, boot.boot_next(found))

    def test_odd_byte_at_the_end_of_the_order_is_ignored(self):
        found = varstore.parse(images.flash(
            images.record('BootOrder', b'\1\0\2', images.GLOBAL)))
        self.assertEqual((1,), boot.boot_order(found))

    def test_only_options_of_the_global_vendor_count(self):
        found = varstore.parse(images.flash(
            images.record('Boot0001', OWN, images.VENDOR),
            images.record('BootOrder', b'\1\0', images.VENDOR)))
        self.assertEqual({}, boot.boot_options(found))
        self.assertEqual((), boot.boot_order(found))

    def test_only_upper_case_hexadecimal_names_an_option(self):
        found = store(Boot000A=OWN, Boot000b=OWN, Boot1=OWN, BootNextX=OWN,
                      BootOrde=OWN, Boot00011=OWN)
        self.assertEqual([10], list(boot.boot_options(found)))

    def test_unreadable_option_is_known_to_be_there(self):
        self.assertEqual({3: None},
                         boot.boot_options(store(Boot0003=b'?')))


class RealFirmwareTest(unittest.TestCase):
    """What AAVMF itself writes, see flash/README.rst."""

    def paths(self, found):
        options = boot.boot_options(found)
        return [options[number].pci_path
                for number in boot.boot_order(found)]

    def test_every_option_is_known_as_the_firmwares(self):
        for name in images.REAL:
            for option in boot.boot_options(real(name)).values():
                self.assertTrue(option.made_by_firmware, option.description)

    def test_without_an_offer_menu_comes_first_and_shell_last(self):
        self.assertEqual(
            [(), SCSI, A, B, SCSI, NETWORK, NETWORK, NETWORK, NETWORK, ()],
            self.paths(real('natural')))

    def test_offered_devices_come_first_and_alone(self):
        self.assertEqual([B, A, (), ()], self.paths(real('offered')))

    def test_reset_without_an_offer_moves_them_behind_the_shell(self):
        # For "UEFI Misc Device" is now the other disk's name.
        self.assertEqual(
            [(), (), SCSI, A, B, SCSI] + [NETWORK] * 4,
            self.paths(real('after-reset')))

    def test_order_of_the_firmwares_making_is_the_platforms(self):
        for name, offered in (
                ('natural', ()), ('offered', (B, A)), ('after-reset', (B, A)),
                ('changed-devices', (B, A)), ('changed-devices', (B,)),
                ('network', (NETWORK, A)), ('finished', (A,)),
                ('interrupted', (A,))):
            self.assertFalse(boot.guest_owns_boot_order(
                real(name), offered), name)

    def test_other_order_than_offered_is_the_guests(self):
        self.assertTrue(boot.guest_owns_boot_order(
            real('offered'), (A, B)))


class OwnerTest(unittest.TestCase):

    def owns(self, offered=(A, B), order=None, following=None, **options):
        return boot.guest_owns_boot_order(
            store(order=order, following=following, **options), offered)

    def test_nobody_owns_an_unformatted_store(self):
        self.assertFalse(boot.guest_owns_boot_order(
            varstore.parse(b''), (A,)))

    def test_platforms_order_counts_without_a_boot_order(self):
        self.assertFalse(self.owns())
        self.assertFalse(self.owns(Boot0001=OWN))

    def test_order_as_offered_is_the_platforms(self):
        self.assertFalse(self.owns(
            order=(1, 2, 0, 3), Boot0000=MENU, Boot0001=device(A),
            Boot0002=device(B), Boot0003=SHELL))

    def test_swapped_devices_are_the_guests(self):
        self.assertTrue(self.owns(
            order=(2, 1, 0, 3), Boot0000=MENU, Boot0001=device(A),
            Boot0002=device(B), Boot0003=SHELL))

    def test_device_not_offered_may_only_follow(self):
        options = {'Boot0001': device(A), 'Boot0002': device(B),
                   'Boot0003': device(NETWORK)}
        self.assertFalse(self.owns(order=(1, 2, 3), **options))
        self.assertTrue(self.owns(order=(3, 1, 2), **options))
        self.assertTrue(self.owns(order=(1, 3, 2), **options))

    def test_offered_device_may_be_missing(self):
        self.assertFalse(self.owns(order=(2,), Boot0002=device(B)))

    def test_device_may_have_several_options(self):
        address = images.node(3, 0xB, bytes(33))
        self.assertFalse(self.owns(
            offered=(NETWORK, A), order=(1, 2, 3),
            Boot0001=device(NETWORK, beyond=address),
            Boot0002=device(NETWORK, beyond=address * 2),
            Boot0003=device(A)))

    def test_devices_appended_behind_a_program_say_nothing(self):
        self.assertFalse(self.owns(
            order=(0, 3, 2, 1), Boot0000=MENU, Boot0001=device(A),
            Boot0002=device(B), Boot0003=SHELL))

    def test_order_without_an_offer_on_record_says_nothing(self):
        self.assertFalse(self.owns(
            offered=(), order=(2, 1), Boot0001=device(A),
            Boot0002=device(B)))

    def test_option_of_its_own_makes_the_order_the_guests(self):
        for order in (1, 2), (2, 1), (1,):
            self.assertTrue(self.owns(
                order=order, Boot0001=device(A), Boot0002=OWN), order)

    def test_mark_must_be_all_of_the_arguments(self):
        for optional in b'', MARK[:-1], MARK + b'x', bytes(16):
            self.assertTrue(self.owns(order=(1,),
                                      Boot0001=device(A, optional)))

    def test_firmware_program_with_arguments_is_the_guests(self):
        self.assertTrue(self.owns(order=(1,), Boot0001=images.load_option(
            'Shell', images.firmware_file(images.SHELL), b'-nostartup')))

    def test_unreadable_option_is_the_guests(self):
        self.assertTrue(self.owns(order=(1, 2), Boot0001=device(A),
                                  Boot0002=b'?'))

    def test_number_without_an_option_says_nothing(self):
        self.assertFalse(self.owns(order=(1, 5), Boot0001=device(A)))
        self.assertFalse(self.owns(order=(5,)))

    def test_next_boot_that_the_guest_chose_is_honoured(self):
        options = {'Boot0001': device(A), 'Boot0002': device(B)}
        self.assertTrue(self.owns(order=(1, 2), following=2, **options))
        self.assertFalse(self.owns(order=(1, 2), following=9, **options))

    def test_endless_order_is_read_to_its_end(self):
        self.assertFalse(self.owns(order=(1,) * 100000, Boot0001=device(A)))
