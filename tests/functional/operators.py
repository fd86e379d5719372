# SPDX-License-Identifier: Apache-2.0
"""What an operator runs on a host, beside its nova-compute."""
import contextlib
import os
from unittest import mock

from nova_armvm.cmd import held_server
from nova_armvm.cmd import store_access
from nova_armvm.host import flash_service as flash_client
from nova_armvm.host import record
from nova_armvm.host import volumes as host_volumes
from nova_armvm.nvramd import bytes as volume_bytes
from nova_armvm.store import change
from nova_armvm.store import cinder
from nova_armvm.store import store as nvram_store
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore
from tests.fixtures import firmware
from tests.fixtures import flash_service
from tests.functional import base
from tests.unit.uefi import flash_images

KEY = varstore.VariableKey(flash_images.VENDOR, 'Name')


def variable(content=b'content'):
    return varstore.Variable(KEY, 7, content)


class _Answer:
    def __init__(self, body):
        self._body = body

    def json(self):
        return self._body


class NovaApi:
    """Nova's API as an adapter of keystoneauth, through Nova's own tests.

    :ivar before: called with each action before it is carried out.
    :ivar after: called with each action afterwards, once.
    """

    def __init__(self, client):
        self._client = client
        self.before = self.after = lambda action: None

    def get(self, path, microversion=None):
        return _Answer(self._client.api_get(path).body)

    def post(self, path, json=None, microversion=None):
        self.before(json)
        self._client.api_post(path, json, check_response_status=[202])
        after, self.after = self.after, lambda action: None
        after(json)


class NvramCommandTestCase(base.ArmServersTestCase):
    """With a server that is off."""

    def setUp(self):
        super().setUp()
        self.start_compute()
        self.server = self.boot()
        self.uuid = self.server['id']
        self.nova = NovaApi(self.admin_api)
        self.servers = held_server.Servers(self.nova)
        self.editor = self.editor_on('compute1')
        self._stop_server(self.server)

    def access_on(self, hostname):
        """Return a command's way to stores on a host."""
        service = flash_client.FlashService(
            self.flash_service(hostname).directory)
        host = host_volumes.LibvirtHostVolumes(
            self.computes[hostname].driver, service)
        return store_access.StoreAccess(nvram_store.Stores(
            hostname, cinder.StoreVolumes(
                hostname, None, cinder.Patience(limit=3, interval=1)), host,
            record.HostRecords(os.path.join(self._state_path(hostname),
                                            'armvm', 'stores')),
            service, None), host)

    def editor_on(self, hostname):
        return change.StoreEditor(self.servers, self.access_on(hostname))

    def set(self, content=b'content', editor=None):
        return (editor or self.editor).change(
            self.uuid, lambda flash: edit.edited(
                flash, {KEY: variable(content)}))

    def found(self):
        """Return the variables beside the template's own."""
        return {key: found for key, found in
                self.variables(self.server).items() if key != firmware.MARK}

    def is_locked(self):
        return self.admin_api.get_server(self.uuid)['locked']

    def reasons(self):
        """Return the reasons of the versions on the volume, newest first."""
        return [version.reason for version in flash_service.versions_on(
            self.store_of(self.server).path, self.uuid)]

    @contextlib.contextmanager
    def fails_after(self, writes):
        """The volume takes so many writes and then no more."""
        real = volume_bytes.PathVolume.write_at
        left = [writes]

        def write_at(this, offset, content):
            if not left[0]:
                raise OSError(5, 'Input/output error')
            left[0] -= 1
            real(this, offset, content)
        with mock.patch.object(volume_bytes.PathVolume, 'write_at', write_at):
            yield
