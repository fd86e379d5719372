# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree

from nova_armvm.profile import guest_xml

INSTANCE = '5f0c3f0e-54b7-4ab0-a3a5-0d0b8b6ccf0a'
SERVICE = guest_xml.NvramSource(INSTANCE, '/run/service/nbd.sock', 300)

DESCRIBED = """
<domain type="qemu">
  <os firmware="efi">
    <type arch="aarch64" machine="virt">hvm</type>
    <loader secure="no"/>
    <boot dev="hd"/>
  </os>
  <devices>
    <disk type="file" device="disk"><target dev="vda" bus="virtio"/></disk>
  </devices>
</domain>
"""

# As libvirt 11.3 shows a domain whose store is a plain file.
SELECTED = """
<domain type="qemu">
  <os firmware="efi">
    <type arch="aarch64" machine="virt-10.0">hvm</type>
    <firmware><feature enabled="no" name="secure-boot"/></firmware>
    <loader readonly="yes" secure="no" type="pflash"
      format="raw">/fw/CODE.fd</loader>
    <nvram template="/fw/VARS.fd" templateFormat="raw"
      format="raw">/var/lib/libvirt/qemu/nvram/i_VARS.fd</nvram>
    <boot dev="hd"/>
  </os>
</domain>
"""

ADDRESSED = """
<domain type="qemu">
  <os><type arch="aarch64">hvm</type>%s</os>
  <devices>
    <disk device="cdrom"><target dev="sda" bus="scsi"/>
      <address type="drive" controller="0" bus="0" target="0" unit="0"/>
    </disk>
    <disk device="disk"><target dev="vda" bus="virtio"/>%s
      <address type="pci" domain="0x0000" bus="0x02" slot="0x00"
        function="0x0"/>
      <alias name="virtio-disk0"/>
    </disk>
    <disk device="disk"><target dev="vdb" bus="virtio"/>%s
      <address type="pci" domain="0x0000" bus="0x03" slot="0x00"
        function="0x0"/>
      <alias name="virtio-disk1"/>
    </disk>
    <controller type="scsi" index="0">
      <address type="pci" domain="0x0000" bus="0x04" slot="0x00"
        function="0x0"/>
    </controller>
    <controller type="pci" index="0" model="pcie-root"/>
    <controller type="pci" index="1" model="pcie-root-port">
      <address type="pci" domain="0x0000" bus="0x00" slot="0x01"
        function="0x0"/>
    </controller>
    <controller type="pci" index="2" model="pcie-root-port">
      <address type="pci" domain="0x0000" bus="0x00" slot="0x01"
        function="0x1"/>
    </controller>
    <controller type="pci" index="3" model="pcie-root-port">
      <address type="pci" domain="0x0000" bus="0x00" slot="0x01"
        function="0x2"/>
    </controller>
    <controller type="pci" index="4" model="pcie-root-port">
      <address type="pci" domain="0x0000" bus="0x00" slot="0x01"
        function="0x3"/>
    </controller>
    <interface type="bridge">
      <address type="pci" domain="0x0000" bus="0x01" slot="0x00"
        function="0x0"/>
      <alias name="net0"/>
    </interface>
  </devices>
</domain>
"""

DISK_A = ((1, 1), (0, 0))
DISK_B = ((1, 2), (0, 0))
NIC = ((1, 0), (0, 0))
SCSI = ((1, 3), (0, 0))


def element(xml, path):
    return etree.fromstring(xml).find(path)


class KindOfGuestTest(unittest.TestCase):

    def test_aarch64_is_arm_and_x86_is_not(self):
        self.assertTrue(guest_xml.is_arm(DESCRIBED))
        self.assertFalse(guest_xml.is_arm(
            DESCRIBED.replace('aarch64', 'x86_64')))

    def test_guest_with_uefi_has_a_variable_flash(self):
        self.assertTrue(guest_xml.has_variable_flash(DESCRIBED))

    def test_guest_with_a_pinned_loader_has_a_variable_flash(self):
        pinned = SELECTED.replace(' firmware="efi"', '')
        self.assertTrue(guest_xml.has_variable_flash(pinned))

    def test_stateless_firmware_has_no_variable_flash(self):
        self.assertFalse(guest_xml.has_variable_flash(
            DESCRIBED.replace('secure="no"', 'stateless="yes"')))

    def test_guest_without_firmware_has_no_variable_flash(self):
        bare = DESCRIBED.replace(' firmware="efi"', '').replace(
            '<loader secure="no"/>', '')
        self.assertFalse(guest_xml.has_variable_flash(bare))


class NvramTest(unittest.TestCase):

    def test_flash_service_replaces_a_file(self):
        xml = guest_xml.with_nvram(SELECTED, SERVICE)
        nvram = etree.fromstring(xml).findall('os/nvram')
        self.assertEqual(1, len(nvram))
        self.assertEqual({'type': 'network', 'format': 'raw'},
                         dict(nvram[0].attrib))
        source = nvram[0].find('source')
        self.assertEqual(('nbd', INSTANCE),
                         (source.get('protocol'), source.get('name')))
        self.assertEqual({'transport': 'unix',
                          'socket': '/run/service/nbd.sock'},
                         dict(source.find('host').attrib))
        self.assertEqual('300', source.find('reconnect').get('delay'))
        self.assertFalse((nvram[0].text or '').strip())

    def test_volume_that_qemu_has_itself_is_the_old_form(self):
        old = guest_xml.with_nvram(DESCRIBED, SERVICE).replace('nbd"', 'rbd"')
        self.assertTrue(guest_xml.is_of_old_form(old))
        for xml in (DESCRIBED, SELECTED,
                    guest_xml.with_nvram(DESCRIBED, SERVICE)):
            self.assertFalse(guest_xml.is_of_old_form(xml))

    def test_store_comes_right_after_the_loader(self):
        os = element(guest_xml.with_nvram(DESCRIBED, SERVICE), 'os')
        self.assertEqual(['type', 'loader', 'nvram', 'boot'],
                         [child.tag for child in os])

    def test_store_on_a_volume_is_recognised(self):
        self.assertTrue(guest_xml.has_store_of_ours(
            guest_xml.with_nvram(DESCRIBED, SERVICE)))

    def test_file_of_the_stock_driver_is_not_ours(self):
        self.assertFalse(guest_xml.has_store_of_ours(SELECTED))
        self.assertFalse(guest_xml.has_store_of_ours(DESCRIBED))

    def test_without_nvram_keeps_the_rest(self):
        xml = guest_xml.without_nvram(guest_xml.with_nvram(DESCRIBED, SERVICE))
        self.assertIsNone(element(xml, 'os/nvram'))
        self.assertEqual('no', element(xml, 'os/loader').get('secure'))


class FirmwareTest(unittest.TestCase):

    def test_libvirts_choice_is_read_with_its_template(self):
        self.assertEqual(
            guest_xml.SelectedFirmware('/fw/CODE.fd', '/fw/VARS.fd', 'raw',
                                       False),
            guest_xml.selected_firmware(SELECTED))

    def test_template_format_falls_back_to_the_stores_format(self):
        older = SELECTED.replace('templateFormat="raw"', '').replace(
            'format="raw">/var', 'format="qcow2">/var')
        self.assertEqual('qcow2', guest_xml.selected_firmware(
            older).template_format)

    def test_template_is_unknown_for_a_store_on_a_volume(self):
        chosen = guest_xml.selected_firmware(
            guest_xml.with_nvram(SELECTED, SERVICE))
        self.assertEqual('/fw/CODE.fd', chosen.loader)
        self.assertIsNone(chosen.template)

    def test_no_choice_before_libvirt_made_one(self):
        self.assertIsNone(guest_xml.selected_firmware(DESCRIBED))

    def test_choice_is_pinned_in_the_described_guest(self):
        xml = guest_xml.with_firmware_of(DESCRIBED, SELECTED)
        self.assertEqual('/fw/CODE.fd', element(xml, 'os/loader').text)
        self.assertEqual('no', element(
            xml, 'os/firmware/feature').get('enabled'))
        self.assertEqual('efi', element(xml, 'os').get('firmware'))
        self.assertIsNone(element(xml, 'os/nvram'))

    def test_features_come_with_the_attribute_that_allows_them(self):
        described = DESCRIBED.replace(" firmware='efi'", '').replace(
            ' firmware="efi"', '')
        self.assertIsNone(element(described, 'os').get('firmware'))
        xml = guest_xml.with_firmware_of(described, SELECTED)
        self.assertEqual('efi', element(xml, 'os').get('firmware'))


class BootOrderTest(unittest.TestCase):

    def addressed(self, os='', first='', second=''):
        return ADDRESSED % (os, first, second)

    def test_guests_own_order_leaves_no_order_of_the_machines(self):
        xml = guest_xml.with_guest_boot_order(self.addressed(
            '<boot dev="hd"/><boot dev="network"/>'))
        self.assertEqual(['fd'], [
            boot.get('dev') for boot in etree.fromstring(xml).iter('boot')])

    def test_orders_of_single_devices_go_too(self):
        xml = guest_xml.with_guest_boot_order(self.addressed(
            first='<boot order="2"/>', second='<boot order="1"/>'))
        self.assertEqual(['fd'], [
            boot.get('dev') for boot in etree.fromstring(xml).iter('boot')])

    def test_first_device_of_each_class_is_offered_in_order(self):
        self.assertEqual(
            (NIC, DISK_A), guest_xml.offered_boot_paths(self.addressed(
                '<boot dev="network"/><boot dev="hd"/>')))

    def test_orders_of_devices_are_followed(self):
        self.assertEqual(
            (DISK_B, DISK_A), guest_xml.offered_boot_paths(self.addressed(
                first='<boot order="2"/>', second='<boot order="1"/>')))

    def test_drive_is_offered_by_its_controller(self):
        self.assertEqual((SCSI,), guest_xml.offered_boot_paths(
            self.addressed('<boot dev="cdrom"/>')))

    def test_nothing_is_offered_without_a_boot_device(self):
        self.assertEqual((), guest_xml.offered_boot_paths(self.addressed(
            '<boot dev="fd"/>')))

    def test_devices_that_could_have_an_index_are_named(self):
        self.assertEqual(
            ('virtio-disk0', 'virtio-disk1', 'net0'),
            guest_xml.boot_device_aliases(self.addressed()))
