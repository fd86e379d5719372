# SPDX-License-Identifier: Apache-2.0
"""A server has its store, whatever Nova's record of it has lost."""
import contextlib

from nova import context as nova_context
from nova.tests.functional.api import client
from nova.virt.libvirt import driver as libvirt_driver

from tests.functional import base
from tests.functional import two_hosts


def lose_properties(instance) -> None:
    """Do to an instance what Nova's API does at a rebuild request."""
    for key in list(instance.system_metadata):
        if key.startswith('image_hw_armvm_'):
            del instance.system_metadata[key]
    instance.save()


class FailedRebuildTest(base.ArmServersTestCase):
    """A rebuild that ended before it came to anything."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot(self.make_image(
            **base.ARM_IMAGE, hw_armvm_spec='2.0'))
        self.guest_writes(self.server, 'G')
        self.before = self.properties()

    def properties(self):
        return {key: value for key, value in self.instance(
            self.server).system_metadata.items()
            if key.startswith('image_hw_armvm_')}

    def rebuild(self, image):
        with contextlib.suppress(client.OpenStackApiException):
            self.api.post_server_action(self.server['id'], {'rebuild': {
                'imageRef': image, 'preserve_ephemeral': True}})
        self._wait_for_state_change(self.server, 'ERROR')
        self.admin_api.post_server_action(
            self.server['id'], {'os-resetState': {'state': 'active'}})

    def assert_goes_on_with_its_store(self):
        for _time in range(2):
            self._reboot_server(self.server, hard=True)
            self.assert_store_in_use(self.server)
            self.assertEqual('G', self.guest_reads(self.server))
        self.assertEqual(self.before, self.properties())

    def test_the_same_image(self):
        self.rebuild(self.image)
        self.assertNotEqual(self.before, self.properties())
        self.assert_goes_on_with_its_store()

    def test_an_image_that_asks_for_volatile_variables(self):
        self.rebuild(self.make_image(**base.ARM_IMAGE,
                                     hw_armvm_nvram='volatile'))
        self.assert_goes_on_with_its_store()

    def test_without_what_the_host_remembers(self):
        lose_properties(self.instance(self.server))
        driver = self.computes['compute1'].driver
        records = driver._armvm_guests._stores.records
        with records.updating(self.server['id'], '') as known:
            known.hardware = {}
        self.assert_goes_on_with_its_store()

    def test_deletion_leaves_nothing(self):
        lose_properties(self.instance(self.server))
        self._delete_server(self.server)
        self.assert_nothing_left()


class MovesTest(two_hosts.TwoHostsTestCase):

    def test_live_migration(self):
        self.introduce('compute1', 'compute2')
        lose_properties(self.instance(self.server))
        self.live_migrate()
        self.assert_store_at('compute2')
        self._reboot_server(self.server, hard=True)
        self.assert_store_at('compute2')

    def test_cold_migration(self):
        lose_properties(self.instance(self.server))
        self.cold_migrate()
        self._confirm_resize(self.server)
        self.assert_store_at('compute2')


class InterruptedRescueTest(base.ArmServersTestCase):
    """nova-compute died in a rescue, and the host comes back."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()
        self.guest_writes(self.server, 'G')

    def test_own_disk_starts_with_its_own_store(self):
        instance = self.instance(self.server)
        instance.task_state = 'rescuing'
        instance.save()
        self.connection().lose_power()
        driver = self.computes['compute1'].driver
        libvirt_driver.LibvirtDriver._hard_reboot(
            driver, nova_context.get_admin_context(), instance, [], None)
        self.assert_domain_uses(self.server, 'compute1')
        self.guest_writes(self.server, 'H')
        self.assertEqual('H', self.guest_reads(self.server))
