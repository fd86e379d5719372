# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree
from nova import objects

from nova_armvm.profile import guest_xml
from nova_armvm.virt import migration

objects.register_all()

GUEST = """\
<domain type='qemu'>
  <name>instance-1</name>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/CODE.fd</loader>
    <nvram type='network' format='raw'>
      <source protocol='nbd' name='uuid'>
        <host transport='unix' socket='/run/nbd.sock'/>
      </source>
    </nvram>
    <boot dev='hd'/>
  </os>
  <devices>
    <disk type='file' device='disk'><boot order='1'/></disk>
  </devices>
</domain>
"""


class Domain:
    """Stands for libvirt's, which nobody has to look after."""

    def jobInfo(self):
        return [0] * 12

    def isActive(self):
        return False


class Guest:
    """Stands for Nova's guest: keeps how it was sent away."""

    uuid = 'its uuid'

    def __init__(self):
        self.sent = None
        self._domain = Domain()

    def get_xml_desc(self, dump_migratable=False):
        assert dump_migratable
        return GUEST

    def migrate(self, destination, destination_xml=None, flags=0):
        self.sent = (destination, etree.fromstring(destination_xml), flags)


class MovingGuestTest(unittest.TestCase):

    def send(self, **kwargs):
        guest = Guest()
        migration.MovingGuest(guest, lambda: 0).migrate('qemu+tcp://other',
                                                        **kwargs)
        return guest.sent

    def test_flash_is_found_under_the_same_name_at_the_destination(self):
        for given in ({}, {'destination_xml': GUEST}):
            with self.subTest(given):
                _destination, xml, _flags = self.send(**given)
                self.assertEqual(
                    [('uuid', '/run/nbd.sock')],
                    [(source.get('name'), source.find('host').get('socket'))
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
            Guest(), lambda: 0).uuid)


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

    def test_driver_of_the_destination_is_known(self):
        self.assertFalse(migration.is_announced(self.sent()))
        migration.announce(self.known)
        self.assertTrue(migration.is_announced(self.sent()))

    def test_mediated_devices_of_nova_stay(self):
        self.known.target_mdevs = {'a': 'b'}
        migration.announce(self.known)
        self.assertEqual({'a': 'b'}, self.known.target_mdevs)
