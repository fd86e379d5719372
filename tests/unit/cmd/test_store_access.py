# SPDX-License-Identifier: Apache-2.0
import testtools

from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.host import record
from nova_armvm.store import cinder
from nova_armvm.store import metadata
from nova_armvm.store import store as nvram_store
from tests.unit.cmd import stage
from tests.unit.store import log_service
from tests.unit.uefi import flash_images

HERE = record.HostRecord(stage.SERVER, 'project', {'data': {}})


class Volumes:
    """Cinder with one store.

    :ivar attached: by this host.
    :ivar events: what was done to the volume, in order.
    """

    def __init__(self, attached, events):
        self.attached, self.events = attached, events

    def find(self, ref):
        return None

    def own_attachment(self, volume):
        return self._attachment(True) if self.attached else None

    def _attachment(self, completed):
        return cinder.Attachment('attachment', {'data': {}}, completed)

    def attach(self, volume, ref, connector):
        self.events.append('attach')
        return self._attachment(False)

    def complete(self, attachment):
        self.events.append('complete')

    def detach(self, attachment_id):
        self.events.append('detach')

    def note(self, volume, noted):
        self.events.append(noted)


class Host:
    """This host; breaks where it is told to."""

    def __init__(self, events, content, breaks):
        self.events, self.content, self.breaks = events, content, breaks

    def _do(self, event):
        self.events.append(event)
        if event == self.breaks:
            raise OSError(5, 'Input/output error')

    def connector(self, instance):
        return {}

    def connect(self, uuid, info, instance=None):
        self._do('connect')
        return flash_service.Opened(self.content)

    def disconnect(self, uuid, info, instance=None):
        self._do('disconnect')


class OpenedTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.service = log_service.LogService(flash_images.flash())
        self.seeded = {metadata.FLASH_SIZE_KEY: '67108864'}

    def open(self, attached=False, recorded=None, breaks=None, content='log',
             seeded=True, **server):
        self.events = []
        volumes = Volumes(attached, self.events)
        host = Host(self.events, content, breaks)
        records = {stage.SERVER: recorded}
        access = store_access.StoreAccess(
            nvram_store.Stores('host-1', volumes, host, records,
                               self.service, None), host)
        with access.opened(
                stage.server(**server), stage.store_volume(
                    metadata=self.seeded if seeded else {})) as opened:
            self.events.append('opened')
            opened.read()

    def test_store_of_a_server_here_stays_connected(self):
        self.open(attached=True, recorded=HERE)
        self.assertEqual(['connect', 'opened'], self.events)

    def test_store_that_has_left_this_host_is_disconnected_again(self):
        """Its attachment stays: it protects the volume."""
        self.open(attached=True, vm_state='shelved_offloaded', host=None)
        self.assertEqual(['connect', 'opened', 'disconnect'], self.events)

    def test_store_of_a_server_elsewhere_is_attached_for_a_while(self):
        self.open()
        self.assertEqual(['attach', 'connect', 'complete', 'opened',
                          'disconnect', 'detach'], self.events)

    def test_attachment_goes_whatever_breaks(self):
        for breaks in ('connect', 'disconnect'):
            with self.subTest(breaks):
                error = self.assertRaises(exception.StoreNotOpened, self.open,
                                          breaks=breaks)
                self.assertIn('Input/output error', str(error))
                self.assertEqual(['disconnect', 'detach'], self.events[-2:])

    def test_server_that_runs_here_is_left_as_it_is(self):
        self.open(attached=True, recorded=HERE, vm_state='active')
        self.assertEqual(['opened'], self.events)
        self.assertEqual(['read'], self.service.asked)

    def test_server_that_runs_elsewhere_is_not_touched(self):
        error = self.assertRaises(exception.ServerElsewhere, self.open,
                                  vm_state='active')
        self.assertIn('host-1', str(error))
        self.assertEqual([], self.events)

    def test_server_without_a_store(self):
        access = store_access.StoreAccess(
            nvram_store.Stores('host-1', Volumes(False, []), None, None,
                               self.service, None), None)
        self.assertRaises(exception.ServerWithoutStore, access.find,
                          stage.server())

    def test_store_of_the_old_form_is_converted(self):
        self.open(attached=True, recorded=HERE, content='qcow2')
        self.assertEqual(
            ['connect', {metadata.FORM_KEY: metadata.LOG_FORM}, 'opened'],
            self.events)
        self.assertEqual(['hello', 'convert', 'read'], self.service.asked)

    def test_volume_without_a_store(self):
        for seeded, words in ((False, 'no firmware has been given'),
                              (True, 'once held is gone')):
            error = self.assertRaises(exception.StoreImageInvalid, self.open,
                                      content='blank', seeded=seeded)
            self.assertIn(words, str(error))
            self.assertEqual('detach', self.events[-1])

    def test_nothing_is_attached_while_the_service_is_away(self):
        self.service.away = ConnectionRefusedError()
        error = self.assertRaises(exception.FlashServiceUnavailable,
                                  self.open)
        self.assertIn('start armvm-nvramd', str(error))
        self.assertEqual([], self.events)

    def test_user_who_may_not_ask_is_told_who_may(self):
        self.service.away = PermissionError()
        for server in ({}, {'attached': True, 'vm_state': 'active'}):
            error = self.assertRaises(exception.StoreNotOpened, self.open,
                                      **server)
            self.assertIn('like root', str(error))
