# SPDX-License-Identifier: Apache-2.0
"""The service as it is run: armvm-nvramd, nbdkit, sockets, volumes in files.

Killed and started again, with QEMU's tools and a client of its own.
"""
import errno
import grp
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import fixtures
import testtools

from nova_armvm.host import flash_protocol
from nova_armvm.host import flash_service
from nova_armvm.nvramd import bytes as volumes
from nova_armvm.nvramd import main
from tests.unit.nvramd import edk2
from tests.unit.nvramd import nbd
from tests.unit.nvramd import stage

QEMU_IO = shutil.which('qemu-io')
REGION = 768 * 1024


def missing():
    """Return what these tests need and do not find, None if all is there."""
    try:
        main.embedded_version()
    except main.CannotStart as error:
        return str(error)
    scratch = tempfile.NamedTemporaryFile()
    with scratch:
        os.ftruncate(scratch.fileno(), stage.MIB)
        try:
            volumes.PathVolume(scratch.name).close()
        except Exception as error:
            return f'no volumes in files here: {error}'
    return None


MISSING = missing()


class Running(fixtures.Fixture):
    """A service in a process of its own.

    :ivar client: of the service.
    """

    def _setUp(self):
        memory = '/dev/shm' if os.path.isdir('/dev/shm') else None
        directory = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(directory.cleanup)
        self.directory = os.path.join(directory.name, 'd')
        self.state = self.useFixture(fixtures.TempDir()).path
        self.log = os.path.join(directory.name, 'log')
        self.nbd = os.path.join(self.directory, flash_protocol.NBD_SOCKET)
        self.client = flash_service.FlashService(self.directory, timeout=30)
        self.process = None
        self.addCleanup(self.kill)
        self.start()

    def command(self):
        return [sys.executable, '-m', 'nova_armvm.nvramd.main', '--directory',
                self.directory, '--state', self.state, '--group',
                grp.getgrgid(os.getgid()).gr_name]

    def start(self):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self.command(), stderr=log,
                                            stdout=log)
        end = time.monotonic() + 30
        while True:
            try:
                greeting = self.client.hello(timeout=5)
                if greeting.pid == self.process.pid:
                    return
            except flash_service.FlashServiceAway:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(self.output())
            time.sleep(0.02)

    def output(self):
        with open(self.log, encoding='utf-8') as log:
            return log.read()

    def kill(self, number=signal.SIGKILL):
        """End the process; return its status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@testtools.skipIf(MISSING, MISSING)
class NbdkitTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(Running())
        self.path = os.path.join(self.useFixture(fixtures.TempDir()).path,
                                 'volume')
        with open(self.path, 'wb') as stream:
            stream.truncate(stage.GIB)

    def _serve(self, host=None, owner='host-1'):
        client = (host or self.host).client
        opened = client.open(stage.INSTANCE,
                             flash_protocol.PathConnection(self.path))
        if opened.content == 'blank':
            client.format(stage.INSTANCE, flash_size=stage.FLASH, store=b'',
                          reason='first-boot')
        return client.serve(stage.INSTANCE, 'start', owner)

    def _connect(self, host=None):
        client = nbd.Client((host or self.host).nbd, stage.INSTANCE)
        self.addCleanup(client.close)
        return client

    def _firmware(self, write=None):
        """Return firmware that has started, and its connection if any."""
        content, client = bytearray(self._flash()), None
        if write is None:
            client = self._connect()

            def write(offset, content):
                error = client.write(offset, content)
                if error:
                    raise OSError(error, 'the write failed')
        made = edk2.Firmware(content, edk2.EDK2_2025_02, write)
        made.boot()
        return made, client

    def _flash(self):
        client = nbd.Client(self.host.nbd, stage.INSTANCE)
        try:
            return client.read(0, REGION)
        finally:
            client.close()

    def _on_volume(self):
        volume = volumes.PathVolume(self.path)
        try:
            return stage.variables(volume)
        finally:
            volume.close()

    def _qemu_io(self, *commands, name=stage.INSTANCE):
        arguments = [part for command in commands
                     for part in ('-c', command)]
        done = subprocess.run(
            [QEMU_IO, '-f', 'raw',
             f'nbd+unix:///{name}?socket={self.host.nbd}', *arguments],
            capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    # As QEMU does it

    @testtools.skipUnless(QEMU_IO, 'qemu-io is not installed')
    def test_qemu_reads_and_writes(self):
        self._serve()
        output = self._qemu_io(
            'read -P 0 0 64M', 'write -P 5 0 32M', 'write -P 7 1000 3000',
            'read -P 7 1000 3000', 'write -P 0 32M 32M', 'write -z 1M 63M',
            'write -P 255 1M 1M', 'flush', 'map')
        self.assertEqual(1, output.count('failed'), output)
        self.assertIn('Operation not permitted', output)
        self.assertNotIn('Pattern verification failed', output)

    @testtools.skipUnless(QEMU_IO, 'qemu-io is not installed')
    def test_only_what_is_served_can_be_opened(self):
        self._serve()
        self.assertIn("can't open", self._qemu_io('read 0 512',
                                                  name=stage.OTHER))
        for name in ('', stage.OTHER, 'x' * 4000, '../' + stage.INSTANCE,
                     stage.INSTANCE.upper(), stage.INSTANCE + ' '):
            self.assertRaises(nbd.Refused, nbd.Client, self.host.nbd, name)
        self.assertIn('read 512/512', self._qemu_io('read 0 512'))

    @testtools.skipUnless(QEMU_IO, 'qemu-io is not installed')
    def test_second_process_is_refused_while_the_first_is_there(self):
        self._serve()
        first = self._connect()
        self.assertIn("can't open", self._qemu_io('read 0 512'))
        self.assertEqual(0, first.write(5000, b'x'))
        self.assertIn('Refused a connection', self.host.output())
        first.close()
        self.assertIn('read 512/512', self._qemu_io('read 0 512'))

    def test_variables_are_on_the_volume_when_they_are_set(self):
        self._serve()
        made, _client = self._firmware()
        for number in range(3):
            made.set('Name', bytes([number]) * 700)
            self.assertEqual({'Name': bytes([number]) * 700},
                             self._on_volume())
        self.assertEqual(1, self.host.client.state(stage.INSTANCE).connected)

    def test_flash_has_its_size_and_ends_there(self):
        self._serve()
        client = self._connect()
        self.assertEqual(stage.FLASH, client.size)
        for offset, length in ((stage.FLASH, 1), (stage.FLASH - 1, 2),
                               ((1 << 64) - 1, 1), (1 << 63, 512)):
            client.send(nbd.READ, offset, length)
            self.assertEqual(errno.EINVAL, client.answer())
            client.send(nbd.ZEROES, offset, length)
            self.assertIn(client.answer(), (errno.EINVAL, errno.ENOSPC))
        self.assertEqual(bytes(5), client.read(stage.FLASH - 5, 5))
        client.send(nbd.TRIM, 0, 512)
        self.assertEqual(errno.EINVAL, client.answer())

    def test_requests_that_are_too_large_end_one_connection_only(self):
        self._serve()
        other = self._connect()
        other.close()
        client = self._connect()
        try:
            client.send(nbd.WRITE, 0, (1 << 32) - 1, b'x')
            client.send(99, 0, 0)
            client.answer()
            client.answer()
        except OSError:
            pass
        self.assertEqual(0, self._connect().write(0, b'\0'))

    def test_half_a_request_holds_up_nobody(self):
        self._serve()
        client = self._connect()
        client.send(nbd.WRITE, 0, 4096, b'x' * 100)
        # The same process again: the other one is given up.
        self.assertEqual(bytes(10), self._connect().read(0, 10))
        self.assertTrue(self.host.client.state(stage.INSTANCE).gap)

    def test_flash_that_is_stopped_answers_no_more(self):
        self._serve()
        client = self._connect()
        self.host.client.stop(stage.INSTANCE)
        self.assertNotEqual(0, client.write(0, b'x'))
        self.assertRaises(nbd.Refused, self._connect)

    # Two hosts

    def test_host_that_lost_the_store_is_told(self):
        self._serve()
        other = self.useFixture(Running())
        made, _client = self._firmware()
        made.set('Name', b'before')
        self._serve(other, 'host-2')
        error = self.assertRaises(OSError, made.set, 'Name', b'late')
        self.assertEqual(errno.EIO, error.errno)
        self.assertTrue(self.host.client.state(stage.INSTANCE).fenced)
        self.assertEqual({'Name': b'before'}, self._on_volume())

    # It dies

    def test_killed_at_any_time_nothing_that_was_set_is_lost(self):
        self._serve()
        qemu = nbd.Persistent(self.host.nbd, stage.INSTANCE)
        self.addCleanup(qemu.close)
        made, _client = self._firmware(qemu.write)
        chance, expected = random.Random(), {}
        ending = threading.Event()

        def kill():
            while not ending.wait(chance.uniform(0, 0.15)):
                self.host.kill()
                self.host.start()
        killer = stage.Background(kill)
        end = time.monotonic() + 6
        number = 0
        while time.monotonic() < end or qemu.lost < 3:
            number += 1
            name = f'Name{number % 5}'
            content = number.to_bytes(2, 'big') * chance.choice((1, 200, 900))
            made.set(name, content)
            expected[name] = content
            self.assertEqual(expected, self._on_volume())
        ending.set()
        self.assertIsNone(killer.join(40))
        self.assertTrue(self.host.client.state(stage.INSTANCE).gap)
        qemu.close()
        verified = self.host.client.verify(
            stage.INSTANCE, bytes(made.nor.content[:REGION]))
        self.assertTrue(verified.equal)
        self.assertFalse(self.host.client.state(stage.INSTANCE).gap)

    def _break_volume(self):
        """Have the volume fail; return how that is mended."""
        size = 4 * stage.MIB
        with open(self.path, 'rb') as stream:
            content = stream.read(size)
        os.truncate(self.path, 0)

        def mend():
            with open(self.path, 'r+b') as stream:
                stream.write(content)
                stream.truncate(stage.GIB)
        return mend

    def _wait_for_failure(self):
        end = time.monotonic() + 20
        while not self.host.client.state(stage.INSTANCE).commit_error:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_guest_waits_for_a_volume_that_fails_even_over_a_restart(self):
        self._serve()
        qemu = nbd.Persistent(self.host.nbd, stage.INSTANCE)
        self.addCleanup(qemu.close)
        made, _client = self._firmware(qemu.write)
        mend = self._break_volume()
        setting = stage.Background(lambda: made.set('Name', b'content'))
        self._wait_for_failure()
        begun = time.monotonic()
        self.assertEqual(0, self.host.kill(signal.SIGTERM))
        self.assertLess(time.monotonic() - begun, 5)
        self.assertFalse(setting.is_done)
        mend()
        self.host.start()
        self.assertIsNone(setting.join(30))
        self.assertEqual({'Name': b'content'}, self._on_volume())

    def test_qemu_that_died_while_its_write_waited_holds_up_nobody(self):
        self._serve()
        made, client = self._firmware()
        mend = self._break_volume()
        setting = stage.Background(lambda: made.set('Name', b'content'))
        self._wait_for_failure()
        client._socket.shutdown(2)
        setting.join()
        self.assertEqual(b'_FVH', self._connect().read(40, 4))
        mend()

    def test_second_service_does_not_start(self):
        done = subprocess.run(self.host.command(), capture_output=True,
                              text=True, timeout=30)
        self.assertEqual(1, done.returncode)
        self.assertIn(f'another service (process {self.host.process.pid})',
                      done.stderr)
        self.host.client.hello()

    def test_files_and_sockets_are_for_whom_they_are_for(self):
        self._serve()
        modes = {name: os.stat(os.path.join(self.host.directory, name)
                               ).st_mode & 0o7777
                 for name in ('.', 'control', 'flash', 'nbd.sock', 'lock',
                              'control/control.sock',
                              f'flash/{stage.INSTANCE}')}
        self.assertEqual({
            '.': 0o750, 'control': 0o700, 'flash': 0o700, 'nbd.sock': 0o660,
            'lock': 0o600, 'control/control.sock': 0o600,
            f'flash/{stage.INSTANCE}': 0o600}, modes)
        for name in os.listdir(self.host.state):
            self.assertEqual(0o600, os.stat(os.path.join(
                self.host.state, name)).st_mode & 0o777)
