# SPDX-License-Identifier: Apache-2.0
import json
import os
import socket
import threading
import time

import testtools

from nova_armvm.host import flash_protocol
from nova_armvm.host import flash_service
from nova_armvm.nvramd import control
from nova_armvm.nvramd import errors
from tests.unit.nvramd import edk2
from tests.unit.nvramd import stage

STORE = edk2.empty_store()[:256 * 1024]
WHERE = flash_protocol.PathConnection('/dev/a')


class RealServiceTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        server = control.Server(self.host.service, self.host.directory)
        server.start()
        self.addCleanup(server.stop)
        self.client = flash_service.FlashService(self.host.directory)

    def test_whole_life_of_a_store(self):
        client, instance = self.client, stage.INSTANCE
        self.assertEqual(flash_service.Opened('blank'),
                         client.open(instance, WHERE))
        first = client.format(instance, flash_size=stage.FLASH, store=b'',
                              reason='first-boot')
        self.assertEqual((1, 0, 'first-boot'),
                         (first.sequence, first.length, first.reason))
        second = client.commit(instance, STORE, 'operator',
                               expect_sequence=1)
        self.assertEqual([second, first], client.history(instance))
        opened = client.open(instance, WHERE)
        self.assertEqual((second, stage.FLASH),
                         (opened.newest, opened.flash_size))
        self.assertEqual(2, opened.owner.epoch)
        stored = client.read(instance)
        self.assertEqual((STORE, second), (stored.store, stored.version))
        self.assertEqual(b'', client.read(instance, 1).store)
        self.assertEqual('log', client.convert(instance).content)
        state = client.serve(instance, 'incoming', 'host-1')
        self.assertEqual((True, None), (state.served, state.epoch))
        self.assertEqual(3, client.take(instance).epoch)
        self.assertEqual([client.state(instance)], client.list())
        flash = self.host.service.export(instance).pread(0, 768 * 1024)
        self.assertEqual(flash_service.Verification(True, False, False),
                         client.verify(instance, flash, expect_writes=0))
        self.assertFalse(client.stop(instance).served)
        client.close(instance)
        self.assertEqual([], client.list())

    def test_every_error_of_the_service_has_a_class(self):
        names = {error.__name__
                 for error in errors.FlashError.__subclasses__()}
        self.assertEqual(names, set(flash_service.ERRORS))

    def test_errors_come_as_their_class(self):
        client = self.client
        self.assertRaises(flash_service.NotOpen, client.state, stage.INSTANCE)
        self.assertRaises(flash_service.Invalid, client.state, 'no uuid')
        self.assertRaises(flash_service.VolumeFailed, client.open,
                          stage.INSTANCE,
                          flash_protocol.PathConnection('/dev/none'))
        client.open(stage.INSTANCE, WHERE)
        self.assertRaises(flash_service.NotALog, client.serve, stage.INSTANCE,
                          'start', 'host-1')

    def test_many_threads_use_one_client(self):
        failures = []

        def ask():
            try:
                for _number in range(5):
                    self.assertEqual(os.getpid(), self.client.hello().pid)
            except Exception as error:
                failures.append(error)
        threads = [threading.Thread(target=ask) for _number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failures)


class AnswerTest(testtools.TestCase):
    """What is answered is the test's choice."""

    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(stage.Host()).directory
        os.mkdir(os.path.join(self.directory, 'control'))
        self.path = os.path.join(self.directory,
                                 flash_protocol.CONTROL_SOCKET)
        self.client = flash_service.FlashService(self.directory, timeout=10)

    def _answer(self, content, pause=0.0):
        """Answer one request with some bytes."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen()

        def serve():
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                for start in range(0, len(content), 65536):
                    try:
                        connection.sendall(content[start:start + 65536])
                    except OSError:
                        return
                    time.sleep(pause)
                time.sleep(pause)
        threading.Thread(target=serve, daemon=True).start()

    def _say(self, **answer):
        self._answer(json.dumps(answer).encode() + b'\n')

    def test_nobody_listens(self):
        self.assertRaises(flash_service.FlashServiceAway, self.client.hello)
        gone = flash_service.FlashService('/nonexistent')
        self.assertRaises(flash_service.FlashServiceAway, gone.hello)

    def test_dead_socket(self):
        self._answer(b'')
        os.unlink(self.path)
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        dead.bind(self.path)
        dead.close()
        self.assertRaises(flash_service.FlashServiceAway, self.client.hello)

    def test_service_that_does_not_answer_in_time(self):
        self._answer(b'{', pause=20)
        begun = time.monotonic()
        self.assertRaises(flash_service.FlashServiceAway, self.client.hello,
                          timeout=0.2)
        self.assertLess(time.monotonic() - begun, 5)

    def test_answer_that_trickles_does_not_extend_the_time(self):
        self._answer(b'x' * 65536 * 10, pause=0.1)
        begun = time.monotonic()
        self.assertRaises(flash_service.FlashServiceAway, self.client.hello,
                          timeout=0.3)
        self.assertLess(time.monotonic() - begun, 5)

    def test_service_that_hangs_up(self):
        self._answer(b'{"ok"')
        self.assertRaises(flash_service.FlashServiceAway, self.client.hello)

    def test_answer_that_is_none(self):
        self._answer(b'junk\n')
        self.assertRaises(flash_service.FlashServiceError, self.client.hello)

    def test_answer_that_is_too_long(self):
        self._answer(b'x' * (flash_protocol.LINE_MAX + 200000))
        self.assertRaises(flash_service.FlashServiceError, self.client.hello)

    def test_error_of_a_newer_service(self):
        self._say(error='Newer', message='what it is')
        error = self.assertRaises(flash_service.FlashServiceError,
                                  self.client.hello)
        self.assertEqual('"hello" failed: what it is', str(error))

    def test_service_of_another_version(self):
        self._say(ok={'version': 99, 'pid': 1, 'exports': 0})
        self.assertRaises(flash_service.Incompatible, self.client.hello)

    def test_field_that_a_newer_service_adds_is_left_out(self):
        self._say(ok={'version': flash_protocol.VERSION, 'pid': 1,
                      'exports': 2, 'more': 3})
        self.assertEqual(2, self.client.hello().exports)

    def test_field_that_is_missing(self):
        self._say(ok={'version': flash_protocol.VERSION})
        self.assertRaises(flash_service.Incompatible, self.client.hello)

    def test_part_that_is_missing(self):
        for call in (
                lambda: self.client.history('x'),
                lambda: self.client.read('x'), self.client.list,
                lambda: self.client.commit('x', b'', 'operator')):
            self._say(ok={})
            self.assertRaises(flash_service.Incompatible, call)
            os.unlink(self.path)

    def test_request_that_is_too_long_is_not_sent(self):
        self.assertRaises(flash_service.Invalid, self.client.commit, 'x',
                          bytes(2 * stage.MIB), 'operator')


class ProtocolTest(testtools.TestCase):

    def test_connections_there_and_back(self):
        for connection in (WHERE, flash_protocol.RbdConnection(
                'pool', 'image', ('a:1', 'b:2'), 'cinder', 'key', 'ceph',
                '/etc/ceph/ceph.conf')):
            message = json.loads(json.dumps(
                flash_protocol.connection_to_message(connection)))
            self.assertEqual(connection,
                             flash_protocol.connection_from_message(message))

    def test_key_is_not_shown(self):
        connection = flash_protocol.RbdConnection('pool', 'image',
                                                  keyring='very secret')
        self.assertNotIn('secret', f'{connection!r} {connection}')

    def test_flash_of_aavmf_fits_into_a_line(self):
        line = flash_protocol.encode_line({
            'verb': 'verify', 'instance': stage.INSTANCE, 'adopt': True,
            'flash': flash_protocol.encode_bytes(bytes(768 * 1024))})
        self.assertLess(len(line), flash_protocol.LINE_MAX)
