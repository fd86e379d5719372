# SPDX-License-Identifier: Apache-2.0
import types

from keystoneauth1 import exceptions as keystone_errors
import testtools

from nova_armvm.cmd import held_server
from nova_armvm import exception
from tests.unit.cmd import stage


class Nova:
    """Nova's API with some servers.

    :ivar servers: what it shows of each, by uuid.
    :ivar on: called with each request before it is answered.
    """

    def __init__(self, *servers):
        self.servers = {each['id']: each for each in servers}
        self.on = lambda method, what: None

    def get(self, path, microversion):
        self.on('GET', path)
        if path.startswith('/servers/detail?'):
            return self._answer({'servers': list(self.servers.values())})
        found = self.servers.get(path.removeprefix('/servers/'))
        if found is None:
            raise self.error(404, '{"itemNotFound": {}}')
        return self._answer({'server': found})

    def post(self, path, json, microversion):
        action, details = next(iter(json.items()))
        self.on('POST', action)
        found = self.servers[path.split('/')[2]]
        found['locked'] = action == 'lock'
        found['locked_reason'] = details and details['locked_reason']

    @staticmethod
    def _answer(body):
        return types.SimpleNamespace(json=lambda: body)

    @staticmethod
    def error(code, text=''):
        kind = {404: keystone_errors.NotFound,
                503: keystone_errors.ServiceUnavailable}[code]
        return kind(response=types.SimpleNamespace(text=text))


def shown(uuid=stage.SERVER, **given):
    return {'id': uuid, 'name': 'server', 'tenant_id': 'project',
            'OS-EXT-SRV-ATTR:host': 'host-1',
            'OS-EXT-STS:vm_state': 'stopped', 'OS-EXT-STS:task_state': None,
            'OS-EXT-STS:power_state': 4, 'locked': False,
            'locked_reason': None, **given}


class FindTest(testtools.TestCase):

    def find(self, wanted, *servers):
        return held_server.Servers(Nova(*servers)).find(wanted)

    def test_uuid_and_name(self):
        for wanted in (stage.SERVER, 'server'):
            found = self.find(wanted, shown())
            self.assertEqual(stage.SERVER, found.uuid)
            self.assertTrue(found.off)

    def test_none_or_several_of_a_name(self):
        for servers, count in (((), 'no server'), (
                (shown(), shown('b')), '2 server'), (
                (shown(name='server-2'),), 'no server')):
            error = self.assertRaises(exception.ServerNotFound, self.find,
                                      'server', *servers)
            self.assertIn(count, str(error))

    def test_not_found_of_a_proxy_is_no_answer(self):
        nova = Nova()

        def fail(method, what):
            raise nova.error(404, '<html>')
        nova.on = fail
        self.assertRaises(exception.CloudUnreachable,
                          held_server.Servers(nova).find, stage.SERVER)

    def test_server_of_a_cell_that_is_down(self):
        self.assertRaises(exception.ServerStateUnknown, self.find,
                          stage.SERVER, {'id': stage.SERVER,
                                         'status': 'UNKNOWN'})

    def test_what_counts_as_off(self):
        for given, off in (
                ({}, True), ({'OS-EXT-STS:vm_state': 'active'}, False),
                ({'OS-EXT-STS:vm_state': 'shelved_offloaded',
                  'OS-EXT-SRV-ATTR:host': None}, True),
                ({'OS-EXT-STS:vm_state': 'rescued'}, False),
                ({'OS-EXT-STS:vm_state': 'resized'}, False),
                ({'OS-EXT-STS:task_state': 'powering-on'}, False),
                # Started behind Nova's back.
                ({'OS-EXT-STS:power_state': 1}, False),
                ({'OS-EXT-STS:power_state': 3}, False)):
            with self.subTest(given):
                self.assertEqual(off, self.find(stage.SERVER,
                                                shown(**given)).off)


class HeldTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.nova = Nova(shown())
        self.server = self.nova.servers[stage.SERVER]
        self.servers = held_server.Servers(self.nova)

    def hold(self):
        return self.servers.held_off(stage.SERVER)

    def test_lock_says_whose_it_is_and_goes(self):
        with self.hold() as held:
            self.assertTrue(self.server['locked'])
            self.assertIn('armvm-manage', self.server['locked_reason'])
            self.assertLessEqual(len(self.server['locked_reason']), 255)
            held.check()
        self.assertFalse(self.server['locked'])

    def test_lock_goes_when_the_work_fails(self):
        def fail():
            with self.hold():
                raise KeyError
        self.assertRaises(KeyError, fail)
        self.assertFalse(self.server['locked'])

    def test_no_two_commands_give_the_same_reason(self):
        self.assertNotEqual(held_server._reason(), held_server._reason())

    def test_lock_whose_answer_was_lost_goes(self):
        act = self.nova.post

        def post(path, json, microversion):
            act(path, json, microversion)
            self.nova.post = act
            raise self.nova.error(503)
        self.nova.post = post
        with testtools.ExpectedException(exception.CloudUnreachable):
            self.hold().__enter__()
        self.assertFalse(self.server['locked'])

    def test_lock_of_another_stays(self):
        self.server.update(locked=True, locked_reason='another')
        with testtools.ExpectedException(exception.ServerLocked,
                                         '.*another.*'):
            self.hold().__enter__()
        self.assertEqual('another', self.server['locked_reason'])

    def test_lock_that_another_took_over_stays(self):
        def work():
            with self.hold() as held:
                self.server['locked_reason'] = 'another'
                held.check()
        self.assertRaises(exception.ServerLocked, work)
        self.assertTrue(self.server['locked'])

    def test_server_that_is_started_meanwhile_is_noticed(self):
        def work():
            with self.hold() as held:
                self.server['OS-EXT-STS:task_state'] = 'powering-on'
                held.check()
        error = self.assertRaises(exception.ServerNotOff, work)
        self.assertIn('powering-on', str(error))
        self.assertFalse(self.server['locked'])

    def test_unlocking_that_fails_does_not_hide_what_happened(self):
        def fail(method, what):
            if what == 'unlock':
                raise self.nova.error(503)
        self.nova.on = fail
        with self.assertLogs('nova_armvm.cmd.held_server',
                             'WARNING') as logged:
            with self.hold():
                pass
        self.assertIn('openstack server unlock', logged.output[0])
