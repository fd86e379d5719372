# SPDX-License-Identifier: Apache-2.0
import base64
import os

import testtools

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import service
from tests.unit.nvramd import edk2
from tests.unit.nvramd import fake_ceph
from tests.unit.nvramd import stage

STORE = edk2.empty_store()[:256 * 1024]


class OpenTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.disk = self.host.disks['/dev/a']
        self.service = self.host.service

    def test_blank_volume(self):
        self.assertEqual({'content': 'blank'}, self.host.open())

    def test_volume_with_something_else(self):
        for offset in 0, 3 * stage.MIB:
            self.disk.blocks.clear()
            self.disk.put(offset, b'\xa5' * stage.BLOCK)
            self.assertEqual('foreign', self.host.open()['content'])

    def test_volume_with_something_behind_the_log_is_blank(self):
        self.disk.put(5 * stage.MIB, b'\xa5' * stage.BLOCK)
        self.assertEqual('blank', self.host.open()['content'])

    def test_log_of_this_instance(self):
        self.host.serve()
        content = self.host.open()
        self.assertEqual(
            ('log', stage.INSTANCE, stage.FLASH, 1, 'host-1'),
            (content['content'], content['instance_on_volume'],
             content['flash_size'], content['newest']['sequence'],
             content['owner']['name']))

    def test_log_of_another_instance(self):
        self.host.serve()
        content = self.service.open(stage.OTHER,
                                    flash_protocol.PathConnection('/dev/a'))
        self.assertEqual({'content': 'foreign',
                          'instance_on_volume': stage.INSTANCE}, content)
        self.assertRaises(errors.ForeignLog, self.service.serve, stage.OTHER,
                          'start', 'host-1')

    def test_volume_that_cannot_be_opened_leaves_nothing_behind(self):
        self.assertRaises(OSError, self.host.open, path='/dev/none')
        self.assertEqual([], self.service.list()['states'])
        self.assertEqual([], os.listdir(self.host.state))
        self.assertEqual('blank', self.host.open()['content'])

    def test_volume_may_have_another_path_the_next_time(self):
        self.host.open()
        self.host.disks['/dev/b'] = self.host.disks.pop('/dev/a')
        self.assertEqual('blank', self.host.open(path='/dev/b')['content'])
        self.assertEqual([False, True],
                         [volume.is_open for volume in self.host.volumes])

    def test_served_flash_stays_on_its_volume(self):
        self.host.serve()
        self.host.disks['/dev/b'] = stage.Disk()
        self.assertRaises(errors.Invalid, self.host.open, path='/dev/b')
        self.assertTrue(self.service.state(stage.INSTANCE)['served'])

    def test_what_is_not_open_has_no_state(self):
        for verb in (self.service.state, self.service.read,
                     self.service.history, self.service.convert,
                     self.service.take):
            self.assertRaises(errors.NotOpen, verb, stage.INSTANCE)

    def test_ending_what_never_began_is_harmless(self):
        self.assertFalse(self.service.stop(stage.INSTANCE)['served'])
        self.service.close(stage.INSTANCE)

    def test_closing_closes_the_volume(self):
        self.host.serve()
        self.service.close(stage.INSTANCE)
        self.assertFalse(any(volume.is_open for volume in self.host.volumes))
        self.assertRaises(errors.NotServed, self.service.export,
                          stage.INSTANCE)

    def test_rbd_image_may_get_other_monitors_while_it_is_served(self):
        cluster = self.useFixture(fake_ceph.CephFixture()).cluster
        cluster.images['pool/image'] = bytearray(8 * stage.MIB)
        stores = service.Service(self.host.directory, self.host.state)
        image = flash_protocol.RbdConnection('pool', 'image', ('a:1',))
        stores.open(stage.INSTANCE, image)
        stores.format(stage.INSTANCE, stage.FLASH, b'', 'first-boot')
        stores.serve(stage.INSTANCE, 'start', 'host-1')
        stores.open(stage.INSTANCE, flash_protocol.RbdConnection(
            'pool', 'image', ('b:1', 'c:1'), keyring='new'))
        self.assertTrue(stores.state(stage.INSTANCE)['served'])
        self.assertRaises(errors.Invalid, stores.open, stage.INSTANCE,
                          flash_protocol.RbdConnection('pool', 'other'))
        again = service.Service(self.host.directory, self.host.state)
        again.recover()
        self.assertEqual('b:1,c:1',
                         cluster.clients[-1].options['conf']['mon_host'])
        self.assertTrue(again.state(stage.INSTANCE)['served'])

    def test_volume_that_is_too_small(self):
        path = os.path.join(self.host.directory, 'small')
        with open(path, 'wb') as stream:
            stream.truncate(4096)
        stores = service.Service(self.host.directory, self.host.state)
        # On tmpfs another reason may come first.
        self.assertRaises(errors.VolumeFailed, stores.open, stage.INSTANCE,
                          flash_protocol.PathConnection(path))


class VersionsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.disk = self.host.disks['/dev/a']
        self.service = self.host.service
        self.host.open()
        self.service.format(stage.INSTANCE, stage.FLASH, b'', 'first-boot')

    def _commit(self, *arguments, **options):
        return self.service.commit(stage.INSTANCE, STORE, 'operator',
                                   *arguments, **options)['version']

    def test_versions_are_read_back(self):
        self._commit()
        newest = self.service.read(stage.INSTANCE)
        self.assertEqual(STORE, base64.b64decode(newest['store']))
        self.assertEqual((2, 'operator', stage.FLASH), (
            newest['version']['sequence'], newest['version']['reason'],
            newest['flash_size']))
        self.assertEqual('', self.service.read(stage.INSTANCE, 1)['store'])
        self.assertEqual([2, 1], [
            version['sequence']
            for version in self.service.history(stage.INSTANCE)['versions']])

    def test_version_that_is_not_there(self):
        for version in 0, 2, 1 << 40:
            self.assertRaises(errors.VersionUnknown, self.service.read,
                              stage.INSTANCE, version)

    def test_commit_that_expects_another_version_is_refused(self):
        self._commit(1)
        owner = self.host.open()['owner']
        self.assertRaises(errors.StaleSequence, self._commit, 1)
        # Nobody has lost the store for nothing.
        self.assertEqual(owner, self.host.open()['owner'])
        self._commit(2)

    def test_commit_takes_the_store_from_a_host_that_runs_on(self):
        other = self.useFixture(stage.Host(self.host.disks))
        served = other.serve(store=None)
        made = stage.firmware(served)
        made.set('Name', b'before')
        self._commit()
        self.assertRaises(OSError, made.set, 'Name', b'late')
        self.assertEqual(STORE, stage.newest(self.disk))

    def test_served_flash_is_changed_by_its_guest_alone(self):
        self.service.serve(stage.INSTANCE, 'start', 'host-1')
        self.assertRaises(errors.AlreadyServed, self._commit)
        self.assertRaises(errors.AlreadyServed, self.service.convert,
                          stage.INSTANCE)
        self.assertRaises(errors.AlreadyServed, self.service.format,
                          stage.INSTANCE, stage.FLASH, b'', 'rebuild')
        self.assertEqual(1, self.service.read(
            stage.INSTANCE)['version']['sequence'])

    def test_store_that_firmware_could_not_use_is_not_committed(self):
        for store, size in ((b'junk', stage.FLASH), (STORE[:1000],
                                                     stage.FLASH),
                            (STORE, 4096), (b'', 0), (STORE, 1 << 40),
                            (STORE + bytes(1 << 20), stage.FLASH)):
            self.assertRaises(errors.Invalid, self.service.commit,
                              stage.INSTANCE, store, 'operator',
                              flash_size=size)
        self.assertEqual(b'', stage.newest(self.disk))

    def test_flash_of_an_impossible_size_is_refused(self):
        for size in 0, 4096, 1 << 40:
            self.assertRaises(errors.Invalid, self.service.format,
                              stage.INSTANCE, size, STORE, 'rebuild')

    def test_what_is_taken_over_is_served_as_it_is(self):
        junk = b'\xa5' * 4096
        self.service.format(stage.INSTANCE, stage.FLASH, junk, 'take-over')
        self.service.serve(stage.INSTANCE, 'start', 'host-1')
        served = self.service.export(stage.INSTANCE)
        self.assertEqual(junk, served.pread(0, 4096))
        # Firmware formats what it cannot read.
        content = bytearray(served.pread(0, 768 * 1024))
        made = edk2.Firmware(content, edk2.EDK2_2025_02, served.pwrite)
        made.boot()
        made.set('Name', b'content')
        self.assertEqual({'Name': b'content'}, stage.variables(self.disk))

    def test_commit_may_change_the_size_of_the_flash(self):
        self._commit(flash_size=32 * stage.MIB)
        self.assertEqual(32 * stage.MIB, self.host.open()['flash_size'])
        self._commit()
        self.assertEqual(32 * stage.MIB, self.host.open()['flash_size'])

    def test_log_is_not_replaced_where_none_was_expected(self):
        self.assertRaises(errors.Invalid, self.service.format, stage.INSTANCE,
                          stage.FLASH, b'', 'first-boot', 'not-log')

    def test_new_log_forgets_the_old_one(self):
        self._commit()
        self.service.format(stage.INSTANCE, stage.FLASH, b'', 'first-boot')
        self.assertEqual(1, len(self.service.history(
            stage.INSTANCE)['versions']))


class ServeTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.host = self.useFixture(stage.Host())
        self.service = self.host.service
        self.host.open()
        self.service.format(stage.INSTANCE, stage.FLASH, b'', 'first-boot')

    def _serve(self, mode='start'):
        return self.service.serve(stage.INSTANCE, mode, 'host-1')

    def test_serving_twice_is_serving_once(self):
        self.assertEqual(2, self._serve()['epoch'])
        self.service.export(stage.INSTANCE).pwrite(5000, b'kept')
        self.assertEqual(2, self._serve()['epoch'])
        self.assertEqual(b'kept', self.service.export(
            stage.INSTANCE).pread(5000, 4))

    def test_start_after_incoming_claims_the_store(self):
        self.assertIsNone(self._serve('incoming')['epoch'])
        self.assertEqual(2, self._serve()['epoch'])

    def test_incoming_after_start_is_refused(self):
        self._serve()
        self.assertRaises(errors.AlreadyServed, self._serve, 'incoming')

    def test_take_is_idempotent(self):
        self._serve('incoming')
        self.assertEqual(2, self.service.take(stage.INSTANCE)['epoch'])
        self.assertEqual(2, self.service.take(stage.INSTANCE)['epoch'])
        self.assertRaises(errors.NotServed, self._stop_and_take)

    def _stop_and_take(self):
        self.service.stop(stage.INSTANCE)
        self.service.take(stage.INSTANCE)

    def test_unknown_mode_and_no_log(self):
        self.assertRaises(errors.Invalid, self._serve, 'sideways')
        self.host.disks['/dev/a'].blocks.clear()
        self.assertRaises(errors.NotALog, self._serve)
        self.assertFalse(self.service.state(stage.INSTANCE)['served'])

    def test_stop_ends_it_and_forgets_the_flash(self):
        self._serve()
        served = self.service.export(stage.INSTANCE)
        served.pwrite(5000, b'forgotten')
        self.assertFalse(self.service.stop(stage.INSTANCE)['served'])
        self.assertRaises(OSError, served.pread, 0, 1)
        self.assertRaises(OSError, served.pwrite, 0, b'x')
        self.assertRaises(errors.NotServed, served.gate.enter, 1)
        self.assertFalse(self.service.stop(stage.INSTANCE)['served'])
        self._serve()
        self.assertEqual(bytes(9), self.service.export(
            stage.INSTANCE).pread(5000, 9))

    def test_failing_volume_serves_nothing(self):
        def fail(_number):
            raise OSError(5, 'Input/output error')
        self.host.disks['/dev/a'].fail = fail
        self.assertRaises(OSError, self._serve)
        self.assertFalse(self.service.state(stage.INSTANCE)['served'])
        self.assertRaises(errors.NotServed, self.service.export,
                          stage.INSTANCE)

    def test_memory_that_is_full_serves_nothing(self):
        os.chmod(self.host.directory + '/flash', 0o500)
        os.mkdir(os.path.join(self.host.directory, 'flash',
                              stage.INSTANCE + '.new'))
        self.assertRaises(OSError, self._serve)
        self.assertFalse(self.service.state(stage.INSTANCE)['served'])

    def test_files_are_for_the_service_only(self):
        self._serve()
        path = os.path.join(self.host.directory, 'flash', stage.INSTANCE)
        self.assertEqual(0o600, os.stat(path).st_mode & 0o777)
        self.assertEqual(0o700, os.stat(
            os.path.dirname(path)).st_mode & 0o777 | 0o700)

    def test_log_tells_the_story(self):
        self._serve()
        self.service.close(stage.INSTANCE)
        story = self.host.log.output
        for line in ('Made a log with version 1 (first-boot) instance=',
                     'Started to serve version 1, mode start, epoch 2 '
                     'instance=', 'Stopped to serve instance='):
            self.assertIn(line + stage.INSTANCE, story)

    def test_hello(self):
        self._serve()
        hello = self.service.hello()
        self.assertEqual((1, 1, os.getpid()), (
            hello['version'], hello['exports'], hello['pid']))
