# SPDX-License-Identifier: Apache-2.0
import datetime
import unittest

from nova_armvm.store import audit
from nova_armvm.store import cinder
from nova_armvm.store import metadata as facts

NOW = datetime.datetime(2026, 1, 1, 12)
HOUR = datetime.timedelta(hours=1)
Kind = audit.Kind


def store(instance='server', status='in-use', hosts=('host-1',), age=5,
          number=1):
    return cinder.StoreVolume(
        id=f'volume-{number}', status=status,
        metadata={facts.INSTANCE_KEY: instance},
        hosts={f'attachment-{host}': host for host in hosts},
        changed_at=NOW - age * HOUR)


def server(host='host-1', status='ACTIVE', task_state=None, uuid='server',
           **kwargs):
    return audit.Server(uuid, host, status, task_state, **kwargs)


class AuditTestCase(unittest.TestCase):

    def kinds(self, stores, *servers):
        return [finding.kind for finding in self.findings(stores, *servers)]

    def findings(self, stores, *servers):
        return audit.compare(stores, {each.uuid: each for each in servers},
                             NOW - HOUR)


class NormalTest(AuditTestCase):

    def test_volume_attached_where_the_server_is(self):
        for status in ('ACTIVE', 'SHUTOFF', 'ERROR', 'RESCUE',
                       'VERIFY_RESIZE'):
            with self.subTest(status):
                self.assertEqual([], self.kinds([store()],
                                                server(status=status)))

    def test_shelved_server_has_its_last_attachment(self):
        self.assertEqual([], self.kinds(
            [store()], server(host=None, status='SHELVED_OFFLOADED')))

    def test_server_in_motion_has_two(self):
        self.assertEqual([], self.kinds(
            [store(hosts=('host-1', 'host-2'))],
            server(task_state='migrating')))

    def test_server_of_a_cell_that_is_down_is_not_judged(self):
        self.assertEqual([], self.kinds(
            [store(hosts=('host-1', 'host-2'))],
            server(host=None, status='UNKNOWN')))

    def test_young_volume_may_be_in_the_middle_of_something(self):
        self.assertEqual([], self.kinds([store(age=0.5)]))

    def test_server_that_asks_for_nothing_needs_none(self):
        self.assertEqual([], self.kinds([], server()))


class FindingTest(AuditTestCase):

    def test_volume_without_server(self):
        finding, = self.findings([store()])
        self.assertEqual((Kind.NO_SERVER, 'volume-1', True),
                         (finding.kind, finding.volume, finding.removable))

    def test_server_without_volume(self):
        finding, = self.findings([], server(persistent=True))
        self.assertEqual((Kind.NO_VOLUME, None, False),
                         (finding.kind, finding.volume, finding.removable))

    def test_server_that_is_being_built_has_none_yet(self):
        self.assertEqual([], self.kinds([], server(
            status='BUILD', persistent=True)))

    def test_two_volumes_of_one_server_are_left_to_the_operator(self):
        found = self.findings([store(), store(number=2)], server())
        self.assertEqual([Kind.SEVERAL_VOLUMES] * 2,
                         [each.kind for each in found])
        self.assertFalse(any(each.removable for each in found))

    def test_two_volumes_without_server_are_left_to_the_operator(self):
        self.assertEqual([Kind.SEVERAL_VOLUMES] * 2,
                         self.kinds([store(), store(number=2)]))

    def test_attachment_where_the_server_is_not(self):
        finding, = self.findings([store(hosts=('host-1', 'host-2'))],
                                 server())
        self.assertEqual(
            (Kind.WRONG_HOST, 'host-2', 'attachment-host-2', True),
            (finding.kind, finding.detail, finding.attachment,
             finding.removable))

    def test_last_attachment_is_never_too_many(self):
        self.assertEqual([], self.kinds([store(hosts=('host-2',))],
                                        server()))

    def test_volume_that_nothing_protects(self):
        self.assertEqual([Kind.UNPROTECTED], self.kinds(
            [store(status='available', hosts=())], server()))

    def test_volume_that_is_stuck(self):
        for status in ('creating', 'attaching', 'reserved', 'deleting',
                       'error', 'error_deleting'):
            with self.subTest(status):
                self.assertEqual([Kind.STUCK], self.kinds(
                    [store(status=status, hosts=())], server()))


class AgainTest(unittest.TestCase):
    """The last look before a removal."""

    finding, = audit.compare([store()], {}, NOW)

    def test_server_that_is_gone_is_gone(self):
        self.assertTrue(audit.is_still_there(self.finding, store(), None))

    def test_server_that_came_back_keeps_its_volume(self):
        self.assertFalse(audit.is_still_there(self.finding, store(),
                                              server()))

    def test_volume_that_has_changed_is_left_alone(self):
        self.assertFalse(audit.is_still_there(
            self.finding, store(status='backing-up'), None))
