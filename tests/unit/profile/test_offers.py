# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm.profile import machine
from nova_armvm.profile import offers

CAPABILITIES = """\
<capabilities>
  <guest><os_type>hvm</os_type>
    <arch name="aarch64"><domain type="qemu"/><domain type="kvm"/></arch>
  </guest>
  <guest><os_type>hvm</os_type>
    <arch name="armv7l"><domain type="qemu"/></arch>
  </guest>
  <guest><os_type>hvm</os_type>
    <arch name="x86_64"><domain type="qemu"/></arch>
  </guest>
</capabilities>
"""


def domain_capabilities(emulator='/usr/bin/qemu-system-aarch64',
                        firmware='<value>efi</value>',
                        gic='<gic supported="yes"><enum name="version">'
                            '<value>3</value><value>2</value></enum></gic>'):
    return f"""\
<domainCapabilities>
  <path>{emulator}</path>
  <domain>kvm</domain>
  <arch>aarch64</arch>
  <os supported="yes"><enum name="firmware">{firmware}</enum>
    <loader supported="yes"><value>/AAVMF_CODE.fd</value></loader></os>
  <features>{gic}</features>
</domainCapabilities>
"""


class OfferTest(unittest.TestCase):

    def test_architectures_of_arm_are_found_with_what_runs_them(self):
        self.assertEqual({'aarch64': 'kvm', 'armv7l': 'qemu'},
                         offers.virt_types(CAPABILITIES))

    def test_domain_capabilities_are_read(self):
        self.assertEqual(
            machine.Offer(('2', '3'), uefi=True, virt_type='kvm'),
            offers.offer(domain_capabilities()))

    def test_emulator_of_armv7_has_one_controller_whatever_libvirt_says(self):
        self.assertEqual(('2',), offers.offer(domain_capabilities(
            emulator='/usr/bin/qemu-system-arm')).gic_versions)

    def test_loader_without_a_descriptor_is_no_firmware(self):
        # libvirt 11.3 lists AAVMF_CODE.fd for armv7l without any firmware.
        self.assertFalse(offers.offer(domain_capabilities(firmware='')).uefi)

    def test_controllers_that_are_not_supported_are_not_offered(self):
        self.assertEqual((), offers.offer(domain_capabilities(
            gic='<gic supported="no"/>')).gic_versions)


class TraitsTest(unittest.TestCase):

    def traits(self, **offered):
        return {name for name, has in offers.traits(offered).items() if has}

    def test_whole_host(self):
        both = machine.Offer(('2', '3'), True, 'kvm')
        self.assertEqual(
            {'CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V2', 'CUSTOM_ARMVM_GIC_V3',
             'CUSTOM_ARMVM_AARCH32'},
            self.traits(aarch64=both, armv7l=both))

    def test_only_controllers_that_libvirt_names(self):
        self.assertEqual(
            {'CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V3'},
            self.traits(aarch64=machine.Offer(('3',), True, 'kvm')))

    def test_without_firmware_nothing_works(self):
        none = machine.Offer(('2', '3'), False, 'kvm')
        self.assertEqual(set(), self.traits(aarch64=none, armv7l=none))

    def test_every_trait_is_named_so_that_it_can_be_removed(self):
        self.assertEqual(
            {'CUSTOM_ARMVM', 'CUSTOM_ARMVM_GIC_V2', 'CUSTOM_ARMVM_GIC_V3',
             'CUSTOM_ARMVM_AARCH32'}, set(offers.traits({})))
