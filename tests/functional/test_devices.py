# SPDX-License-Identifier: Apache-2.0
"""Devices come and go; the store stays what it is."""
from nova.tests import fixtures as nova_fixtures

from tests.functional import base


class DevicesTestCase(base.ArmServersTestCase):
    """A server that runs, and whose boot order is its guest's."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()
        self.guest_writes(self.server, 'G')
        self.domain_before = self.domain(self.server)

    def assert_store_kept(self):
        self.assert_store_in_use(self.server)
        self.assertEqual('G', self.guest_reads(self.server))
        self.assertIs(self.domain_before, self.domain(self.server))

    def disks(self):
        return len(self.domain(self.server).live.findall(
            "devices/disk[@device='disk']"))


class VolumesOfTenantsTest(DevicesTestCase):

    def setUp(self):
        super().setUp()
        self.volume = self.make_volume('of the tenant')
        self.attach(self.volume)

    def attach(self, volume):
        self.api.post_server_volume(self.server['id'], {
            'volumeAttachment': {'volumeId': volume.id}})
        self._wait_for_assert(lambda: self.assertEqual(
            'in-use', volume.status))

    def detach(self, volume):
        self.api.delete_server_volume(self.server['id'], volume.id)
        self._wait_for_assert(lambda: self.assertEqual(
            'available', volume.status))

    def test_attached_to_the_running_guest(self):
        self.assertEqual(2, self.disks())
        self.assert_store_kept()

    def test_detached_from_the_running_guest(self):
        self.detach(self.volume)
        self.assertEqual(1, self.disks())
        self.assert_store_kept()

    def test_hard_reboot_with_both(self):
        self._reboot_server(self.server, hard=True)
        self.assertEqual(2, self.disks())
        self.assert_store_in_use(self.server)
        self.assertEqual('G', self.guest_reads(self.server))

    def test_detached_while_it_is_off(self):
        self._stop_server(self.server)
        self.detach(self.volume)
        self._start_server(self.server)
        self.assertEqual(1, self.disks())
        self.assert_store_in_use(self.server)

    def test_deletion_takes_the_store_and_leaves_the_other(self):
        self._delete_server(self.server)
        self.assertEqual([self.volume], self.cinder.volumes_left())
        self.assertEqual({}, self.cinder.store.attachments)

    def swap(self):
        """Let Cinder move the volume to another back end."""
        other = self.make_volume('another')
        self.volume.migration_status = 'migrating'
        self.admin_api.api_put(
            f'/servers/{self.server["id"]}/os-volume_attachments/'
            f'{self.volume.id}',
            {'volumeAttachment': {'volumeId': other.id}})
        self._wait_for_assert(lambda: self.assertIsNone(
            self.volume.migration_status))
        self.assertEqual((other.path, 'in-use'),
                         (self.volume.path, self.volume.status))

    def test_swapped_for_another(self):
        self.swap()
        self.assert_store_in_use(self.server)
        self.assertEqual('G', self.guest_reads(self.server))
        self.assertIsNotNone(self.domain(self.server).live.find(
            f"devices/disk/source[@dev='{self.volume.path}']"))

    def test_soft_reboot_after_a_swap_follows_the_guest(self):
        self.swap()
        self._reboot_server(self.server)
        self.assertEqual({}, self.domain(self.server).boots[-1])

    def test_swap_holds_when_the_boot_order_cannot_be_taken_out(self):
        connection = self.connection()
        # The first definition is Nova's own.
        connection.on('define', lambda: connection.on(
            'define', lambda: connection.refuse('define', 'no')))
        self.swap()
        connection.accept('define')
        self.assertIsNotNone(self.domain(self.server).live.find(
            f"devices/disk/source[@dev='{self.volume.path}']"))
        self.assertIn('Hard reboot the instance', self.stdlog.logger.output)


class PortsTest(DevicesTestCase):

    def setUp(self):
        super().setUp()
        self.port = self.neutron.create_port({'port': {
            **nova_fixtures.NeutronFixture.port_2,
            'network_id': self.neutron.network_1['id']}})['port']

    def test_attached_and_detached(self):
        self._attach_interface(self.server, self.port['id'])
        self.assertEqual(1, len(self.domain(self.server).live.findall(
            'devices/interface')))
        self.assert_store_kept()
        self._detach_interface(self.server, self.port['id'])
        self.assertEqual([], self.domain(self.server).live.findall(
            'devices/interface'))
        self.assert_store_kept()


class VolumeBackedServerTest(base.ArmServersTestCase):
    """The server's disk is a volume as well."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.disk = self.make_volume('disk', image_id=self.image,
                                     **base.ARM_IMAGE)
        body = self._build_server(image_uuid='', networks='none')
        body['block_device_mapping_v2'] = [{
            'boot_index': 0, 'uuid': self.disk.id, 'source_type': 'volume',
            'destination_type': 'volume'}]
        self.server = self._wait_for_state_change(
            self.api.post_server({'server': body}), 'ACTIVE')
        self.guest_writes(self.server, 'G')

    def test_server_has_a_store_beside_its_disk(self):
        self.assert_store_in_use(self.server)
        self.assertEqual('in-use', self.disk.status)

    def test_hard_reboot(self):
        self._reboot_server(self.server, hard=True)
        self.assert_store_in_use(self.server)
        self.assertEqual('G', self.guest_reads(self.server))

    def tell_nova(self, volume):
        """Do as Cinder does when a volume has its new image."""
        self.admin_api.create_server_external_events([{
            'name': 'volume-reimaged', 'tag': volume.id,
            'server_uuid': self.server['id']}])

    def test_rebuild_begins_with_an_empty_store(self):
        other = self.make_image(**base.ARM_IMAGE)
        self.cinder.store.behaviour.reimaged = self.tell_nova
        before = self.store_of(self.server).id
        self._rebuild_server(self.server, other)
        self.assertEqual(other, self.disk.image['image_id'])
        self.assertEqual(before, self.store_of(self.server).id)
        self.assert_store_in_use(self.server)
        self.assertEqual('', self.guest_reads(self.server))

    def test_deletion_leaves_the_disk(self):
        self._delete_server(self.server)
        self.assertEqual([self.disk], self.cinder.volumes_left())
        self.assertEqual({}, self.cinder.store.attachments)
