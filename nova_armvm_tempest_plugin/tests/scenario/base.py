# SPDX-License-Identifier: Apache-2.0
"""A server whose guest says what it finds: what all scenarios begin with."""
import dataclasses
import io
import typing as ty

from tempest.common import waiters
from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.scenario import manager

from nova_armvm_tempest_plugin import console
from nova_armvm_tempest_plugin import guest

CONF = config.CONF


class Scenario(manager.ScenarioTest):
    """Boots servers of the conformance guest."""

    credentials = ['primary', 'admin']
    #: A live migration finds out by itself whether it has to copy disks.
    compute_min_microversion = '2.25'

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if not CONF.armvm.image_ref:
            raise cls.skipException('[armvm] image_ref is empty')
        if not CONF.compute_feature_enabled.console_output:
            raise cls.skipException('Nova shows no consoles here')

    @classmethod
    def setup_clients(cls) -> None:
        super().setup_clients()
        cls.admin_servers = cls.os_admin.servers_client

    def boot(self, image: str = '', **more: ty.Any) -> 'Guest':
        """Boot a server and wait for its guest, which finds an empty store.

        :param image: UUID, if not that of the conformance guest.
        :param more: of Tempest's create_server().
        """
        server = self.create_server(
            image_id=image or CONF.armvm.image_ref, **more)
        started = Guest(self, server['id'])
        started.boots_with_an_empty_store()
        return started

    def host_of(self, server_id: str) -> str:
        """Return the name of the host that a server is on."""
        server = self.admin_servers.show_server(server_id)['server']
        return server['OS-EXT-SRV-ATTR:host']


class TaggingScenario(Scenario):
    """Scenarios with images that say more than the cloud's own."""

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if not CONF.armvm.image_tags:
            raise cls.skipException('[armvm] image_tags is not allowed')

    def tagged_image(self, properties: dict[str, str],
                     content: bytes | None = None) -> str:
        """Upload an image that says what the guest's says, and more.

        :param properties: in addition.
        :param content: of the disk; that of the guest if None.
        :returns: its UUID.
        """
        model = self.image_client.show_image(CONF.armvm.image_ref)
        if content is None:
            content = self.image_client.show_image_file(model['id']).data
        asked = {name: value for name, value in model.items()
                 if name.startswith(('hw_', 'trait:'))}
        made = self.image_client.create_image(
            name=data_utils.rand_name(prefix=CONF.resource_name_prefix,
                                      name='armvm'),
            container_format='bare', disk_format=model['disk_format'],
            visibility='private', **{**asked, **properties})
        self.addCleanup(self.image_client.delete_image, made['id'])
        self.image_client.store_image_file(made['id'], io.BytesIO(content))
        return made['id']


class MovingScenario(Scenario):
    """Scenarios in which a server goes to another host."""

    @classmethod
    def skip_checks(cls) -> None:
        super().skip_checks()
        if CONF.armvm.hosts < 2:
            raise cls.skipException('[armvm] hosts is less than 2')


class Guest:
    """A server's guest, and what it left in its store when last heard."""

    def __init__(self, scenario: Scenario, server_id: str) -> None:
        self.id = server_id
        self._test = scenario
        self._client = scenario.servers_client
        self.console = console.Console(
            self._client, server_id,
            boot_seconds=CONF.armvm.boot_timeout,
            interval=CONF.armvm.console_interval,
            lines=CONF.armvm.console_lines)
        self.left: guest.Store | None = None

    def boots_with_an_empty_store(self) -> guest.Transcript:
        """Wait for a boot that finds nothing that a guest has written."""
        said = self._booted()
        self._test.assertTrue(
            said.found.is_empty, f'the store is not empty: {said.found}')
        self._remember(said)
        return said

    def boots_with_everything(self) -> guest.Transcript:
        """Wait for a boot that finds all that the guest has left."""
        said = self._booted()
        self._test.assertEqual(
            [], self.left.lost(said.found),
            f'lost; left: {self.left}; found: {said.found}')
        self._remember(said)
        return said

    def goes_on(self) -> None:
        """Wait until the guest, which is not booted again, has written on."""
        self.left = dataclasses.replace(self.left,
                                        beat=self.console.goes_on().beat)

    def _remember(self, said: guest.Transcript) -> None:
        self.left = dataclasses.replace(said.left, beat=said.beat)

    def _booted(self) -> guest.Transcript:
        said = self.console.booted()
        self._test.assertEqual((), said.failed, 'not written')
        return said

    def wait_for(self, status: str) -> None:
        """Wait until Nova says so and has nothing more to do."""
        waiters.wait_for_server_status(self._client, self.id, status)

    def host(self) -> str:
        """Return the name of the host that it is on."""
        return self._test.host_of(self.id)
