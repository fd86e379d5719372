# SPDX-License-Identifier: Apache-2.0
"""Two hosts and a server that goes from one to the other."""
import contextlib

import fixtures
from nova.tests.functional.api import client

from tests.functional import base


def power_off_and_copy_nothing(driver, context, instance, *_args, **_kwargs):
    """Do for a cold migration what Nova does, but for the disks.

    The hosts of these tests share one directory and one address.
    """
    driver.power_off(instance)
    return '[]'


class TwoHostsTestCase(base.ArmServersTestCase):
    """A server on compute1 whose guest has left the letter G in its flash."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.driver.LibvirtDriver.'
            'migrate_disk_and_power_off', power_off_and_copy_nothing))
        self.flags(allow_resize_to_same_host=False)
        # As for guests that are emulated: the imitation cannot compare CPUs.
        self.flags(skip_cpu_compare_on_dest=True, group='workarounds')
        if base.NOVA_32:
            # It asks the database in a thread beside, with the context of
            # the first; here both use the database, which nova-compute does
            # not.
            self.useFixture(fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver.'
                '_sorted_migrating_resources', lambda *_arguments: None))
        self.start_compute('compute1')
        self.start_compute('compute2')
        self.server = self.boot()
        self.guest_writes(self.server, 'G')

    def ask(self, body):
        """Ask for what will fail.

        In this process Nova's casts are calls, so the tenant is told at once
        what the server's state tells otherwise.
        """
        with contextlib.suppress(client.OpenStackApiException):
            self.admin_api.post_server_action(self.server['id'], body)

    # Helpers of Nova's tests that cannot ask as an administrator in Nova 32.

    def cold_migrate(self):
        """Have the server migrated; to be confirmed or reverted."""
        self.admin_api.post_server_action(self.server['id'],
                                          {'migrate': None})
        self._wait_for_state_change(self.server, 'VERIFY_RESIZE')

    def live_migrate(self, ends='completed'):
        """Have the server migrated while its guest runs.

        :param ends: the status in which the migration ends.
        """
        self.admin_api.post_server_action(self.server['id'], {
            'os-migrateLive': {'host': None, 'block_migration': 'auto'}})
        self._wait_for_migration_status(self.server, [ends])
        self._wait_for_state_change(self.server, 'ACTIVE')

    def work_for_source_of_migration(self):
        """Let Nova's code find the name of the host that it works for.

        It reads it from the configuration, which is that of the host that
        was started last.
        """
        migrations = self.admin_api.api_get('os-migrations').body
        self.flags(host=migrations['migrations'][0]['source_compute'])

    def _confirm_resize(self, server, **kwargs):
        self.work_for_source_of_migration()
        return super()._confirm_resize(server, **kwargs)

    def assert_store_at(self, hostname, note='G'):
        """Only this host has the store, and the guest finds its note."""
        self.assertEqual(hostname, self.host_of(self.server))
        self.assert_store_in_use(self.server, hostname)
        self.assertEqual(note, self.guest_reads(self.server))
        for other in self.computes:
            if other != hostname:
                self.assertEqual([], self.own_stores(other))

    def own_stores(self, hostname):
        return [path for path in self.own_files(hostname)
                if path.endswith('.json')]
