# SPDX-License-Identifier: Apache-2.0
import base64
import json
import os
import socket
import time

import fixtures
from hypothesis import given
from hypothesis import strategies
import testtools

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import control
from nova_armvm.nvramd import requests
from tests.unit.nvramd import stage


class Client:
    """Says what no proper client would."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.received = b''

    def send(self, content):
        self.socket.sendall(content)

    def receive(self):
        """Return the next answer, None if the service has hung up."""
        while b'\n' not in self.received:
            try:
                part = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not part:
                return None
            self.received += part
        line, _end, self.received = self.received.partition(b'\n')
        return json.loads(line)

    def ask(self, **request):
        self.send(json.dumps(request).encode() + b'\n')
        return self.receive()

    def close(self):
        self.socket.close()


class ControlTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.server = control.Server(self.host.service, self.host.directory)
        self.server.start()
        self.addCleanup(self.server.stop)
        self.path = os.path.join(self.host.directory,
                                 flash_protocol.CONTROL_SOCKET)

    def _client(self):
        client = Client(self.path)
        self.addCleanup(client.close)
        return client

    def test_one_connection_may_ask_many_times(self):
        client = self._client()
        for _number in range(3):
            self.assertEqual(1, client.ask(verb='hello')['ok']['version'])

    def test_requests_may_come_in_one_piece_or_byte_by_byte(self):
        client = self._client()
        client.send(b'{"verb":"hello"}\n{"verb":"list"}\n')
        self.assertIn('ok', client.receive())
        self.assertEqual({'ok': {'states': []}}, client.receive())
        for byte in b'{"verb":"hello"}\n':
            client.send(bytes([byte]))
        self.assertIn('ok', client.receive())

    def test_nobody_else_may_connect(self):
        self.assertEqual(0o600, os.stat(self.path).st_mode & 0o777)
        self.assertEqual(0o700, os.stat(
            os.path.dirname(self.path)).st_mode & 0o777)

    def test_junk_is_answered_and_harms_nobody(self):
        client = self._client()
        for line in (b'', b'\0', b'\xff\xfe', b'null', b'[]', b'5', b'{',
                     b'{"verb":5}', b'{"verb":null}', b'{"verb":"none"}',
                     b'{"verb":"__class__"}', b'{}', b'"' * 1000,
                     b'[' * 100000, b'{"a":' * 20000):
            client.send(line + b'\n')
            self.assertEqual('Invalid', client.receive()['error'], line[:20])
        self.assertIn('ok', client.ask(verb='hello'))

    def test_line_that_does_not_end_is_cut_off(self):
        client = self._client()
        try:
            for _number in range(40):
                client.send(b'x' * 65536)
        except OSError:
            pass
        self.assertIsNone(client.receive())
        self.assertIn('ok', self._client().ask(verb='hello'))

    def test_slow_client_is_cut_off(self):
        self.patch(control, 'LINE_TIMEOUT', 0.2)
        client = self._client()
        client.send(b'{"verb":')
        begun = time.monotonic()
        self.assertIsNone(client.receive())
        self.assertLess(time.monotonic() - begun, 5)

    def test_silent_client_is_cut_off(self):
        self.patch(control, 'IDLE_TIMEOUT', 0.2)
        self.assertIsNone(self._client().receive())

    def test_client_that_does_not_read_is_cut_off(self):
        self.patch(control, 'LINE_TIMEOUT', 0.2)
        client = self._client()
        line = json.dumps({'verb': 'x', 'pad': 'y' * 1000}).encode() + b'\n'
        try:
            for _number in range(20000):
                client.send(line)
        except OSError:
            pass
        else:
            self.fail('everything was taken')
        self.assertIn('ok', self._client().ask(verb='hello'))

    def test_too_many_clients_are_refused_and_then_not(self):
        self.patch(control, 'CONNECTIONS_MAX', 64)
        clients = [self._client() for _number in range(64)]
        for client in clients:
            self.assertIn('ok', client.ask(verb='hello'))
        self.assertIsNone(self._client().receive())
        clients[0].close()
        end = time.monotonic() + 10
        while True:
            try:
                if self._client().ask(verb='hello'):
                    break
            except OSError:
                pass
            self.assertLess(time.monotonic(), end)

    def test_client_that_hangs_up_leaves_nothing_behind(self):
        for content in b'', b'{"verb":', b'{"verb":"hello"}\n':
            for _number in range(100):
                client = Client(self.path)
                client.send(content)
                client.close()
        self.assertIn('ok', self._client().ask(verb='hello'))
        end = time.monotonic() + 10
        while len(self.server._connections) > 1:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_stopping_drops_connections(self):
        client = self._client()
        client.ask(verb='hello')
        self.server.stop()
        self.server.stop()
        self.assertIsNone(client.receive())
        self.assertRaises(OSError, Client, self.path)

    def test_stale_socket_is_replaced(self):
        self.server.stop()
        again = control.Server(self.host.service, self.host.directory)
        again.start()
        self.addCleanup(again.stop)
        self.assertIn('ok', self._client().ask(verb='hello'))

    def test_fault_of_the_service_is_told_and_logged(self):
        self.host.service.hello = None
        answer = self._client().ask(verb='hello')
        self.assertEqual('Internal', answer['error'])
        self.assertIn('Failed to answer a request', self.host.log.output)


class RequestsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())

    def _ask(self, verb, instance=stage.INSTANCE, **fields):
        line = json.dumps({'verb': verb, 'instance': instance, **fields})
        return json.loads(requests.answer(self.host.service, line.encode()))

    def test_whole_life(self):
        where = {'kind': 'path', 'path': '/dev/a'}
        self.assertEqual('blank', self._ask(
            'open', connection=where)['ok']['content'])
        version = self._ask('format', flash_size=stage.FLASH, store='',
                            reason='first-boot')['ok']['version']
        self.assertEqual(1, version['sequence'])
        self.assertTrue(self._ask('serve', mode='start',
                                  owner='host-1')['ok']['served'])
        self.assertTrue(self._ask('state')['ok']['served'])
        flash = base64.b64encode(bytes(768 * 1024)).decode()
        self.assertTrue(self._ask('verify', flash=flash,
                                  adopt=False)['ok']['equal'])
        self.assertEqual('AlreadyServed', self._ask(
            'commit', store='', reason='operator')['error'])
        self.assertFalse(self._ask('stop')['ok']['served'])
        self.assertEqual(2, self._ask('commit', store='', reason='operator')[
            'ok']['version']['sequence'])
        self.assertEqual({'ok': {}}, self._ask('close'))
        self.assertEqual('NotOpen', self._ask('state')['error'])

    def test_instance_must_be_a_uuid(self):
        for instance in (None, 5, '', 'x', '../../etc/passwd',
                         stage.INSTANCE.upper(), stage.INSTANCE + '/',
                         stage.INSTANCE.replace('-', ''),
                         '{' + stage.INSTANCE + '}', [stage.INSTANCE]):
            for verb in set(requests.VERBS) - {'hello', 'list'}:
                self.assertEqual('Invalid', self._ask(
                    verb, instance, connection={'kind': 'path', 'path': '/a'},
                    flash_size=1, store='', reason='x', mode='start',
                    owner='x', flash='')['error'], (verb, instance))

    def test_connection_must_be_one(self):
        good = {'kind': 'rbd', 'pool': 'p', 'image': 'i', 'monitors': []}
        for bad in (None, 5, [], {}, {'kind': 'file'}, {'kind': 'path'},
                    {'kind': 'path', 'path': 5}, {'kind': []},
                    {'kind': 'path', 'path': '/a', 'more': 'x'},
                    {**good, 'monitors': 'x'}, {**good, 'monitors': [5]},
                    {**good, 'user': 7}, {'kind': 'rbd', 'pool': 'p'}):
            self.assertEqual('Invalid',
                             self._ask('open', connection=bad)['error'], bad)

    def test_fields_must_be_what_they_are_called(self):
        self._ask('open', connection={'kind': 'path', 'path': '/dev/a'})
        good = {'flash_size': stage.FLASH, 'store': '', 'reason': 'x'}
        for name, values in (
                ('flash_size', (None, '5', -1, 1.5, True, 1 << 64, [])),
                ('store', (None, 5, '*', 'A', 'QQ==\n', [])),
                ('reason', (None, 5, '', 'x' * 65, 'a\nb', '\u20ac')),
                ('expect', ('none', 5, ''))):
            for value in values:
                self.assertEqual('Invalid', self._ask(
                    'format', **{**good, name: value})['error'],
                    (name, value))
        for name in 'version', 'expect_sequence', 'expect_writes':
            verb = {'version': 'read', 'expect_sequence': 'commit',
                    'expect_writes': 'verify'}[name]
            self.assertEqual('Invalid', self._ask(
                verb, **{**good, 'flash': '', name: 'x'})['error'])
        self.assertEqual('Invalid', self._ask('verify', flash='',
                                              adopt='yes')['error'])
        for owner in None, '', 5, 'x' * 300, 'a\0b':
            self.assertEqual('Invalid', self._ask(
                'serve', mode='start', owner=owner)['error'])

    def test_failing_volume_is_told_as_such(self):
        answer = self._ask('open', connection={'kind': 'path',
                                               'path': '/dev/none'})
        self.assertEqual(('VolumeFailed', 'No such file or directory'),
                         (answer['error'], answer['message']))

    def test_keys_are_neither_logged_nor_told(self):
        answer = self._ask('open', connection={
            'kind': 'rbd', 'pool': 'p', 'image': 'i', 'monitors': ['x'],
            'keyring': 'very secret', 'conf': 5})
        self.assertNotIn('secret', str(answer) + self.host.log.output)


class AnyRequestTest(testtools.TestCase):

    _VALUES = strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() |
        strategies.floats() | strategies.text(max_size=20) |
        strategies.sampled_from((stage.INSTANCE, 'start', '', '/dev/a')),
        lambda inner: strategies.lists(inner, max_size=3) |
        strategies.dictionaries(strategies.text(max_size=5), inner,
                                max_size=3), max_leaves=5)

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())

    @given(strategies.sampled_from(sorted(requests.VERBS)),
           strategies.dictionaries(strategies.sampled_from((
               'connection', 'flash_size', 'store', 'reason', 'expect',
               'version', 'mode', 'owner', 'flash', 'adopt')), _VALUES))
    def test_is_answered_without_a_fault(self, verb, fields):
        request = {'instance': stage.INSTANCE, **fields, 'verb': verb}
        answer = json.loads(requests.answer(
            self.host.service, json.dumps(request).encode()))
        self.assertNotEqual('Internal', answer.get('error'))

    @given(strategies.binary(max_size=200))
    def test_any_bytes_are_answered(self, line):
        answer = json.loads(requests.answer(self.host.service, line))
        self.assertEqual('Invalid', answer['error'])


class PathTest(testtools.TestCase):

    def test_no_file_is_made_outside_by_any_instance(self):
        host = self.useFixture(stage.Host())
        outside = self.useFixture(fixtures.TempDir()).path
        for instance in (f'../../../{outside}/x', f'{outside}/x'):
            line = json.dumps({'verb': 'close', 'instance': instance})
            requests.answer(host.service, line.encode())
        self.assertEqual([], os.listdir(outside))
