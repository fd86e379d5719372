# SPDX-License-Identifier: Apache-2.0
import types
import unittest
from unittest import mock

from nova.virt.libvirt import host as libvirt_host

from nova_armvm.virt import reboots

UUID = '5f0c6d1c-3b7e-4a55-8f43-0d7f2c1f0b11'


class LibvirtError(Exception):
    """libvirt's, where libvirt-python is not installed."""


class Connection:
    """A connection to libvirt that has one guest."""

    def __init__(self, refuses=False):
        self._refuses = refuses
        self._told = {}

    def domainEventRegisterAny(self, domain, event, callback, opaque):
        if self._refuses:
            raise LibvirtError('not supported')
        self._told[event] = (callback, opaque)

    def reset_guest(self):
        callback, opaque = self._told[reboots.EVENT]
        callback(self, types.SimpleNamespace(UUIDString=lambda: UUID), opaque)


class Host:
    """Nova's host; Nova 32 has no handler and queues by itself."""

    def __init__(self, connection):
        self._connection = connection
        self.events = []

    def get_connection(self):
        return self._connection

    def _queue_event(self, event):
        self.events.append(event)


class HostSinceNova33(Host):

    def __init__(self, connection):
        super().__init__(connection)
        self._event_handler = types.SimpleNamespace(
            _queue_event=self.events.append)

    _queue_event = None


class RebootsTest(unittest.TestCase):

    def setUp(self):
        patcher = mock.patch.object(
            libvirt_host, 'libvirt',
            types.SimpleNamespace(libvirtError=LibvirtError))
        patcher.start()
        self.addCleanup(patcher.stop)

    def test_reboot_comes_to_novas_queue(self):
        for kind in (Host, HostSinceNova33):
            connection = Connection()
            host = kind(connection)
            reboots.listen(host)
            connection.reset_guest()
            event, = host.events
            self.assertIsInstance(event, reboots.GuestRebooted)
            self.assertEqual(UUID, event.get_instance_uuid())

    def test_libvirt_that_tells_of_none_is_no_failure(self):
        with self.assertLogs(level='WARNING') as logs:
            reboots.listen(Host(Connection(refuses=True)))
        self.assertIn('not supported', logs.output[0])
