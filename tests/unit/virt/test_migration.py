# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree
from nova import objects

from nova_armvm.profile import guest_xml
from nova_armvm.virt import migration

objects.register_all()

DESTINATION = guest_xml.NvramSource('block', '<source dev="/dev/sdz"/>')

GUEST = """\
<domain type='qemu'>
  <name>instance-1</name>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/CODE.fd</loader>
    <nvram type='block' format='qcow2'><source dev='/dev/sda'/></nvram>
    <boot dev='hd'/>
  </os>
  <devices>
    <disk type='file' device='disk'><boot order='1'/></disk>
  </devices>
</domain>
"""


class Guest:
    """Stands for Nova's guest: keeps how it was sent away."""

    uuid = 'its uuid'

    def __init__(self):
        self.sent = None

    def get_xml_desc(self, dump_migratable=False):
        assert dump_migratable
        return GUEST

    def migrate(self, destination, destination_xml=None, flags=0):
        self.sent = (destination, etree.fromstring(destination_xml), flags)


class MovingGuestTest(unittest.TestCase):

    def send(self, **kwargs):
        guest = Guest()
        migration.MovingGuest(guest, DESTINATION).migrate(
            'qemu+tcp://other', **kwargs)
        return guest.sent

    def test_store_has_the_name_that_it_has_at_the_destination(self):
        for given in ({}, {'destination_xml': GUEST}):
            with self.subTest(given):
                _destination, xml, _flags = self.send(**given)
                self.assertEqual(['/dev/sdz'], [
                    source.get('dev')
                    for source in xml.findall('os/nvram/source')])

    def test_boot_order_of_nova_does_not_come_back(self):
        _destination, xml, _flags = self.send()
        self.assertEqual([guest_xml.NO_BOOT_DEVICE], [
            boot.get('dev') for boot in xml.iter('boot')])

    def test_everything_else_is_as_nova_asked(self):
        destination, _xml, flags = self.send(flags=3)
        self.assertEqual(('qemu+tcp://other', 3), (destination, flags))

    def test_everything_else_is_the_guest(self):
        self.assertEqual('its uuid', migration.MovingGuest(
            Guest(), DESTINATION).uuid)


class MigrateDataTest(unittest.TestCase):

    def setUp(self):
        self.known = objects.LibvirtLiveMigrateData(bdms=[
            objects.LibvirtLiveMigrateBDMInfo(
                serial='data', bus='virtio', dev='vdb', type='disk',
                connection_info_json='{"data": {}}')])

    def sent(self):
        """Return it as it comes out of a message to another service."""
        serialized = self.known.obj_to_primitive()
        return objects.LibvirtLiveMigrateData.obj_from_primitive(serialized)

    def test_source_learns_where_the_store_is(self):
        migration.add_store(self.known, 'volume', DESTINATION)
        self.assertEqual(DESTINATION, migration.store_in(self.sent()))

    def test_volumes_of_nova_are_not_taken_for_it(self):
        self.assertIsNone(migration.store_in(self.sent()))

    def test_driver_of_the_destination_is_known(self):
        self.assertFalse(migration.is_announced(self.sent()))
        migration.announce(self.known)
        self.assertTrue(migration.is_announced(self.sent()))

    def test_mediated_devices_of_nova_stay(self):
        self.known.target_mdevs = {'a': 'b'}
        migration.announce(self.known)
        self.assertEqual({'a': 'b'}, self.known.target_mdevs)
