# SPDX-License-Identifier: Apache-2.0
import contextlib

import testtools

from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.nvram import volume
from tests.unit.cmd import stage


class Volumes:
    """Cinder with one store.

    :ivar attached: by this host.
    :ivar events: what was done to the volume, in order.
    """

    def __init__(self, attached, events):
        self.attached, self.events = attached, events

    def find(self, owner):
        return None

    def own_attachment(self, found):
        return self._attachment(True) if self.attached else None

    def _attachment(self, completed):
        return volume.Attachment('attachment', {'data': {}}, completed)

    def attach(self, found, owner, connector):
        self.events.append('attach')
        return self._attachment(False)

    def complete(self, attachment):
        self.events.append('complete')

    def detach(self, attachment_id):
        self.events.append('detach')


class HostSide:
    """This host; breaks where it is told to."""

    def __init__(self, events, breaks=None):
        self.events, self.breaks = events, breaks

    def _do(self, event):
        self.events.append(event)
        if event == self.breaks:
            raise OSError(5, 'Input/output error')

    def connector(self, owner):
        return {}

    def connect(self, owner, info):
        self._do('connect')

    def disconnect(self, owner, info):
        self._do('disconnect')

    @contextlib.contextmanager
    def open(self, info):
        self._do('open')
        yield 'bytes'


class OpenedTest(testtools.TestCase):

    def open(self, attached=False, by_nova=False, breaks=None, **server):
        self.events = []
        access = store_access.StoreAccess(
            Volumes(attached, self.events), HostSide(self.events, breaks),
            lambda owner: by_nova)
        with access.opened(stage.server(**server),
                           stage.store_volume()) as opened:
            self.events.append(opened)

    def test_store_of_a_server_here_stays_connected(self):
        self.open(attached=True, by_nova=True)
        self.assertEqual(['connect', 'open', 'bytes'], self.events)

    def test_store_that_has_left_this_host_is_disconnected_again(self):
        """Its attachment stays: it protects the volume."""
        self.open(attached=True, vm_state='shelved_offloaded', host=None)
        self.assertEqual(['connect', 'open', 'bytes', 'disconnect'],
                         self.events)

    def test_store_of_a_server_elsewhere_is_attached_for_a_while(self):
        self.open()
        self.assertEqual(['attach', 'connect', 'complete', 'open', 'bytes',
                          'disconnect', 'detach'], self.events)

    def test_attachment_goes_whatever_breaks(self):
        for breaks in ('connect', 'open', 'disconnect'):
            with self.subTest(breaks):
                error = self.assertRaises(exception.StoreNotOpened, self.open,
                                          breaks=breaks)
                self.assertIn('Input/output error', str(error))
                self.assertEqual('detach', self.events[-1])

    def test_server_that_runs_elsewhere_is_not_touched(self):
        error = self.assertRaises(exception.ServerElsewhere, self.open,
                                  vm_state='active')
        self.assertIn('host-1', str(error))
        self.assertEqual([], self.events)

    def test_server_without_a_store(self):
        access = store_access.StoreAccess(Volumes(False, []), None, None)
        self.assertRaises(exception.ServerWithoutStore, access.find,
                          stage.server())
