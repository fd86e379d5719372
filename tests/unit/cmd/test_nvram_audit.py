# SPDX-License-Identifier: Apache-2.0
import json
import unittest

from nova_armvm.cmd import nvram_audit
from nova_armvm import exception
from nova_armvm.store import audit
from tests.unit.store import test_audit

NOW = test_audit.NOW


class Volumes:
    """Cinder with some stores."""

    def __init__(self, *stores):
        self.stores = {each.id: each for each in stores}
        self.detached = []

    def all_stores(self):
        return list(self.stores.values())

    def get(self, volume_id):
        return self.stores.get(volume_id)

    def delete(self, volume):
        del self.stores[volume.id]

    def detach(self, attachment_id):
        self.detached.append(attachment_id)


class Servers:
    """Nova; what its list says and what it says of one can differ."""

    def __init__(self, listed=(), known=()):
        self.listed = {each.uuid: each for each in listed}
        self.known = {each.uuid: each for each in known}

    def servers(self):
        return self.listed

    def server(self, uuid):
        return self.known.get(uuid)


class AuditTestCase(unittest.TestCase):

    def run_audit(self, volumes, servers, at_most=50):
        said = []
        outcome = nvram_audit.look(volumes, servers, NOW, 3600)
        nvram_audit.remove(outcome, volumes, servers, at_most, said.append)
        return outcome, said


class RemoveTest(AuditTestCase):

    def test_volume_of_a_server_that_is_gone_is_deleted(self):
        volumes = Volumes(test_audit.store())
        outcome, said = self.run_audit(volumes, Servers())
        self.assertEqual({}, volumes.stores)
        self.assertEqual([], outcome.left)
        self.assertEqual(
            ['volume volume-1 of server server: deleted'], said)

    def test_server_that_the_list_leaves_out_is_not_found(self):
        # Nova lists no server that is soft-deleted.
        volumes = Volumes(test_audit.store())
        outcome, _said = self.run_audit(
            volumes, Servers(known=[test_audit.server()]))
        self.assertIn('volume-1', volumes.stores)
        self.assertEqual([], outcome.findings)

    def test_server_that_appears_meanwhile_keeps_its_volume(self):
        volumes = Volumes(test_audit.store())
        outcome = nvram_audit.look(volumes, Servers(), NOW, 3600)
        said = []
        nvram_audit.remove(outcome, volumes,
                           Servers(known=[test_audit.server()]), 50,
                           said.append)
        self.assertIn('volume-1', volumes.stores)
        self.assertEqual(outcome.findings, outcome.left)
        self.assertIn('left alone', said[0])

    def test_too_many_at_once_are_all_kept(self):
        volumes = Volumes(*(test_audit.store(f'server-{number}',
                                             number=number)
                            for number in range(51)))
        self.assertRaises(exception.AuditTooMany, self.run_audit, volumes,
                          Servers())
        self.assertEqual(51, len(volumes.stores))

    def test_attachment_too_many_is_dropped_and_the_volume_kept(self):
        volumes = Volumes(test_audit.store(hosts=('host-1', 'host-2')))
        here = [test_audit.server()]
        outcome, _said = self.run_audit(volumes, Servers(here, here))
        self.assertEqual(['attachment-host-2'], volumes.detached)
        self.assertIn('volume-1', volumes.stores)
        self.assertEqual([], outcome.left)

    def test_volume_that_is_gone_already_counts_as_removed(self):
        volumes = Volumes(test_audit.store())
        outcome = nvram_audit.look(volumes, Servers(), NOW, 3600)
        volumes.stores.clear()
        nvram_audit.remove(outcome, volumes, Servers(), 50, self.fail)
        self.assertEqual([], outcome.left)


class LookTest(AuditTestCase):

    def test_server_that_was_deleted_meanwhile_misses_no_volume(self):
        listed = [test_audit.server(persistent=True)]
        outcome = nvram_audit.look(Volumes(), Servers(listed), NOW, 3600)
        self.assertEqual([], outcome.findings)

    def test_threshold_is_the_caller_s(self):
        for older_than, found in ((3600, 1), (6 * 3600, 0)):
            with self.subTest(older_than):
                outcome = nvram_audit.look(
                    Volumes(test_audit.store(age=5)), Servers(), NOW,
                    older_than)
                self.assertEqual(found, len(outcome.findings))


class OutputTest(unittest.TestCase):

    outcome = nvram_audit.Outcome([audit.Finding(
        audit.Kind.WRONG_HOST, 'server', 'volume', 'evil\x1b[2Jhost',
        'attachment')])

    def test_nothing_that_a_terminal_would_obey(self):
        self.assertNotIn('\x1b', nvram_audit.as_table(
            self.outcome.findings))

    def test_programs_get_every_field(self):
        found, = json.loads(nvram_audit.as_json(self.outcome))
        self.assertEqual(
            {'finding': 'wrong-host', 'server': 'server', 'volume': 'volume',
             'attachment': 'attachment', 'detail': 'evil\x1b[2Jhost',
             'removed': False}, {key: found[key] for key in found
                                 if key != 'advice'})
