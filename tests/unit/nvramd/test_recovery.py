# SPDX-License-Identifier: Apache-2.0
"""The service dies, at every step, and another one goes on."""
import errno
import json
import os
import random
import time

import testtools

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import flash_file
from nova_armvm.nvramd import record as records
from nova_armvm.nvramd import recovery
from tests.unit.nvramd import edk2
from tests.unit.nvramd import stage

REGION = 768 * 1024


class Qemu:
    """Writes to a flash, and repeats what was not answered.

    :ivar deaths: how often the service died meanwhile.
    """

    def __init__(self, host):
        self.host = host
        self.deaths = 0

    def write(self, offset, content):
        while True:
            try:
                return self.host.service.export(stage.INSTANCE).pwrite(
                    offset, content)
            except (stage.Died, errors.NotServed):
                self.deaths += 1
                self.host.start(patience=0.3)


class DyingTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.disk = self.host.disks['/dev/a']

    def _firmware(self, qemu):
        content = bytearray(self.host.service.export(
            stage.INSTANCE).pread(0, REGION))
        made = edk2.Firmware(content, edk2.EDK2_2022_11, qemu.write)
        made.boot()
        return made

    def _work(self, made, chance, rounds):
        """Set variables; each is on the volume when it is set."""
        expected = {}
        for number in range(rounds):
            name = f'Name{chance.randrange(4)}'
            content = bytes([number]) * chance.choice((1, 20, 300, 3000))
            made.set(name, content)
            expected[name] = content
            self.assertEqual(expected, stage.variables(self.disk))

    def test_at_every_step_of_many_writes_nothing_is_lost(self):
        self.host.serve()
        qemu, chance = Qemu(self.host), random.Random(1)

        def die(_name):
            if chance.random() < 0.02:
                raise stage.Died
        self.host.step = die
        self._work(self._firmware(qemu), chance, 12)
        self.assertGreater(qemu.deaths, 10)
        self.assertLessEqual({'written', 'appended'}, set(self.host.steps))

    def test_with_a_volume_that_dies_in_the_middle_of_a_write(self):
        self.host.serve()
        qemu, chance = Qemu(self.host), random.Random(2)

        def die(_number):
            if chance.random() < 0.4:
                self.disk.torn = 512 * chance.randrange(40)
                raise stage.Died
        made = self._firmware(qemu)
        self.disk.fail = die
        self._work(made, chance, 20)
        self.assertGreater(qemu.deaths, 5)

    def _serve_dying(self, number):
        """Serve, dying at a step; return whether it was reached."""
        left = number

        def die(_name):
            nonlocal left
            left -= 1
            if left < 0:
                raise stage.Died
        self.host.step = die
        try:
            self.host.serve(store=None)
        except stage.Died:
            return True
        finally:
            self.host.step = lambda _name: None
        return False

    def test_at_every_step_of_serving_the_driver_can_ask_again(self):
        self.host.serve()
        self.host.service.close(stage.INSTANCE)
        number = 0
        while self._serve_dying(number):
            number += 1
            self.host.start()
            self.host.serve(store=None)
            self._firmware(Qemu(self.host)).set('Name', b'%d' % number)
            self.assertEqual({'Name': b'%d' % number},
                             stage.variables(self.disk))
            self.host.service.close(stage.INSTANCE)
        self.assertGreaterEqual(number, 4)

    def test_at_every_step_of_closing_the_driver_can_ask_again(self):
        for number in range(3):
            self.host.serve(store=None if number else b'')
            left = number

            def die(_name):
                nonlocal left
                left -= 1
                if left < 0:
                    raise stage.Died
            self.host.step = die
            try:
                self.host.service.close(stage.INSTANCE)
            except stage.Died:
                pass
            self.host.step = lambda _name: None
            self.host.start()
            self.host.service.close(stage.INSTANCE)
            self.assertEqual([], self.host.service.list()['states'])
            self.assertEqual([], os.listdir(self.host.state))
            self.assertEqual([], os.listdir(self.host.directory + '/flash'))


class RestartTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.disk = self.host.disks['/dev/a']
        self.served = self.host.serve()
        self.firmware = stage.firmware(self.served)
        self.firmware.set('Name', b'before')

    def _flash(self):
        return self.host.service.export(stage.INSTANCE).pread(0, REGION)

    def test_flash_is_served_as_it_was(self):
        self.served.pwrite(300 * 1024, b'not of a whole store')
        before = self._flash()
        self.host.start()
        self.assertEqual(before, self._flash())
        state = self.host.service.state(stage.INSTANCE)
        self.assertEqual((True, 'start', 2), (
            state['served'], state['mode'], state['epoch']))

    def test_answers_to_the_driver_go_on_too(self):
        self.host.start()
        self.host.service.serve(stage.INSTANCE, 'start', 'host-1')
        self.assertEqual('log', self.host.open()['content'])
        self.assertEqual([2, 1], [
            version['sequence'] for version in self.host.service.history(
                stage.INSTANCE)['versions']])

    def test_volume_that_was_only_open_is_opened_when_it_is_needed(self):
        self.host.service.stop(stage.INSTANCE)
        self.host.volumes.clear()
        self.host.start()
        self.assertEqual([], self.host.volumes)
        self.assertEqual(stage.FLASH, self.host.service.read(
            stage.INSTANCE)['flash_size'])
        self.assertRaises(errors.NotServed, self.host.service.export,
                          stage.INSTANCE)

    def test_nothing_of_an_earlier_boot_is_served(self):
        self.host.boot = 'boot-2'
        self.host.start()
        self.assertEqual([], self.host.service.list()['states'])
        self.assertEqual([], os.listdir(self.host.state))
        self.assertEqual([], os.listdir(self.host.directory + '/flash'))

    def test_host_that_lost_the_store_meanwhile_refuses_writes(self):
        other = self.useFixture(stage.Host(self.host.disks))
        other.serve(store=None, owner='host-2')
        self.host.start()
        state = self.host.service.state(stage.INSTANCE)
        self.assertTrue(state['fenced'])
        self.assertRaises(OSError, self.host.service.export(
            stage.INSTANCE).pwrite, 0, b'x')
        self.assertEqual({'Name': b'before'}, stage.variables(self.disk))

    def test_flash_file_that_is_lost_is_made_of_the_last_version(self):
        os.unlink(os.path.join(self.host.directory, 'flash', stage.INSTANCE))
        self.host.start()
        state = self.host.service.state(stage.INSTANCE)
        self.assertTrue(state['gap'])
        self.assertEqual('whole', state['state'])

    def test_volume_that_is_away_is_tried_again(self):
        self.patch(recovery, 'RETRY_FIRST', 0.01)
        del self.host.disks['/dev/a']
        self.host.start()
        self.assertRaises(errors.NotServed, self.host.service.export,
                          stage.INSTANCE)
        state = self.host.service.state(stage.INSTANCE)
        self.assertEqual((False, 'start', 'No such file or directory'), (
            state['served'], state['mode'], state['commit_error']))
        self.host.disks['/dev/a'] = self.disk
        end = time.monotonic() + 10
        while not self.host.service.state(stage.INSTANCE)['served']:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.assertIn('will retry: No such file', self.host.log.output)
        self.assertIsNone(self.host.service.state(
            stage.INSTANCE)['commit_error'])

    def test_volume_that_is_away_can_be_closed(self):
        del self.host.disks['/dev/a']
        self.host.start()
        self.host.service.close(stage.INSTANCE)
        self.assertEqual([], self.host.service.list()['states'])
        self.assertEqual([], os.listdir(self.host.directory + '/flash'))

    def test_commit_that_fails_at_the_restart_is_tried_again(self):
        self.patch(recovery, 'RETRY_FIRST', 0.01)

        def die(name):
            if name == 'written' and self.served._flash._has_news():
                raise stage.Died
        self.host.step = die
        self.assertRaises(stage.Died, self.firmware.set, 'Name', b'due')
        self.host.step = lambda _name: None

        def fail(_number):
            raise OSError(errno.EIO, 'Input/output error')
        self.disk.fail = fail
        self.host.start()
        self.assertFalse(self.host.service.state(stage.INSTANCE)['served'])
        self.disk.fail = lambda _number: None
        end = time.monotonic() + 10
        while not self.host.service.state(stage.INSTANCE)['served']:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.assertEqual({'Name': b'due'}, stage.variables(self.disk))

    def test_another_log_on_the_volume_is_not_served(self):
        other = self.useFixture(stage.Host(self.host.disks))
        other.open()
        other.service.format(stage.INSTANCE, stage.FLASH, b'', 'rebuild')
        self.host.start()
        self.assertIn('another log', self.host.service.state(
            stage.INSTANCE)['commit_error'])
        self.host.service.close(stage.INSTANCE)


class ManyTest(testtools.TestCase):

    def test_two_thousand_flashes(self):
        host = self.useFixture(stage.Host({}))
        instances = [stage.fresh() for _number in range(2000)]
        for instance in instances:
            host.disks[instance] = stage.Disk(8 * stage.MIB)
            host.serve(instance=instance, path=instance)
        self.assertEqual(2000, len(host.service.list()['states']))
        host.service.export(instances[77]).pwrite(5000, b'content')
        host.start(patience=60.0)
        states = host.service.list()['states']
        self.assertEqual(2000, sum(state['served'] for state in states))
        self.assertEqual(b'content', host.service.export(
            instances[77]).pread(5000, 7))
        for instance in instances:
            host.service.close(instance)
        self.assertEqual([], os.listdir(host.directory + '/flash'))


class RecordsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        host = self.useFixture(stage.Host())
        self.directory = host.state
        self.log = host.log
        self.records = records.Records(self.directory)
        self.record = records.Record(
            stage.INSTANCE, flash_protocol.RbdConnection(
                'pool', 'image', ('a:1', 'b:2'), keyring='very secret'),
            'boot-1', 'client.5', 'start', 'host-1', 'log', 7)

    def _path(self, name=stage.INSTANCE + '.json'):
        return os.path.join(self.directory, name)

    def test_record_comes_back_as_it_was(self):
        self.records.put(self.record)
        self.assertEqual([self.record], list(self.records.load('boot-1')))

    def test_nobody_else_can_read_it(self):
        self.records.put(self.record)
        self.assertEqual(0o600, os.stat(self._path()).st_mode & 0o777)

    def test_its_secrets_are_not_shown(self):
        self.assertNotIn('secret', repr(self.record))

    def test_damaged_records_are_dropped(self):
        good = self.record
        self.records.put(good)
        with open(self._path(), encoding='ascii') as stream:
            text = stream.read()
        content = json.loads(text)
        for damage in ('', '{', '[]', 'null', '{"instance": 5}', text[:-9],
                       json.dumps({**content, 'unknown': 1}),
                       json.dumps({**content, 'connection': {'kind': 'x'}})):
            with open(self._path(), 'w', encoding='ascii') as stream:
                stream.write(damage)
            self.assertEqual([], list(self.records.load('boot-1')))
            self.assertFalse(os.path.exists(self._path()))
        self.assertNotIn('very secret', self.log.output)

    def test_what_a_crash_left_half_written_is_removed(self):
        with open(self._path('tmpabc.new'), 'w', encoding='ascii'):
            pass
        self.assertEqual([], list(self.records.load('boot-1')))
        self.assertEqual([], os.listdir(self.directory))

    def test_record_under_a_wrong_name_is_dropped(self):
        self.records.put(self.record)
        os.rename(self._path(), self._path(stage.OTHER + '.json'))
        self.assertEqual([], list(self.records.load('boot-1')))


class FlashFileTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        host = self.useFixture(stage.Host())
        self.path = os.path.join(host.directory, 'flash', 'x')

    def test_content_survives_without_a_word(self):
        made = flash_file.FlashFile.create(self.path, bytes(REGION))
        made.map[5:10] = b'hello'
        again = flash_file.FlashFile(self.path)
        self.assertEqual(b'hello', again.map[5:10])

    def test_link_is_not_followed(self):
        os.symlink('/etc/passwd', self.path)
        self.assertRaises(OSError, flash_file.FlashFile, self.path)
        os.symlink('/tmp/must-not-be-made', self.path + '.new')
        self.assertRaises(OSError, flash_file.FlashFile.create, self.path,
                          b'x')
        self.assertFalse(os.path.exists('/tmp/must-not-be-made'))

    def test_empty_file_is_not_served(self):
        with open(self.path, 'wb'):
            pass
        self.assertRaises(OSError, flash_file.FlashFile, self.path)
