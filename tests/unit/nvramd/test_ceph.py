# SPDX-License-Identifier: Apache-2.0
import errno
import sys
import threading
from unittest import mock

import fixtures
import testtools

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import ceph
from nova_armvm.nvramd import errors
from tests.unit.nvramd import fake_ceph

KEY = 'QWxsIG15IHNlY3JldHM='
BLOCK = 4096


def connection(image='image', **changes):
    fields = {'monitors': ('10.0.0.1:6789', '10.0.0.2:6789'),
              'user': 'cinder', 'keyring': f'[client.cinder]\n\tkey = {KEY}\n',
              **changes}
    return flash_protocol.RbdConnection('pool', image, **fields)


class KeyTest(testtools.TestCase):

    def test_key_is_found_in_a_keyring(self):
        for text in (KEY, f' {KEY}\n', f'[client.cinder]\n\tkey = {KEY}\n',
                     f'[client.cinder]\nkey={KEY}\ncaps mon = "x"\n'):
            self.assertEqual(KEY, ceph.key_of(text))


class ImageTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.cluster = self.useFixture(fake_ceph.CephFixture()).cluster
        for name in 'image', 'other':
            self.cluster.images[f'pool/{name}'] = bytearray(16 * BLOCK)
        self.clusters = ceph.Clusters()

    def _open(self, *arguments, **changes):
        volume = ceph.RbdVolume(self.clusters, connection(**changes),
                                *arguments)
        self.addCleanup(volume.close)
        return volume

    def test_bytes_go_there_and_back(self):
        volume = self._open()
        self.assertEqual(16 * BLOCK, volume.size)
        volume.write_at(BLOCK, b'\1' * BLOCK)
        self.assertEqual(b'\0\1', volume.read_at(BLOCK - 1, 2))
        self.assertEqual(b'', volume.read_at(16 * BLOCK, 1))
        self.assertEqual(BLOCK, len(volume.read_at(15 * BLOCK, 9 * BLOCK)))
        self.assertTrue(volume.discard(BLOCK, BLOCK))
        self.assertEqual(bytes(BLOCK), volume.read_at(BLOCK, BLOCK))

    def test_nothing_is_kept_in_a_cache(self):
        self._open()
        options = self.cluster.clients[0].options
        self.assertEqual('false', options['conf']['rbd_cache'])
        self.assertEqual((KEY, '10.0.0.1:6789,10.0.0.2:6789', 'cinder'), (
            options['conf']['key'], options['conf']['mon_host'],
            options['rados_id']))

    def test_images_of_a_user_share_a_connection(self):
        one, two = self._open(), self._open(image='other')
        self.assertEqual(1, len(self.cluster.clients))
        one.close()
        one.close()
        self.assertFalse(self.cluster.clients[0].is_shut_down)
        two.close()
        self.assertTrue(self.cluster.clients[0].is_shut_down)
        self.assertEqual([], self.cluster.open)

    def test_other_users_have_their_own(self):
        self._open()
        for change in ({'user': 'nova'}, {'keyring': None}, {'conf': '/x'},
                       {'monitors': ()}, {'cluster_name': 'second'}):
            self._open(**change)
        self.assertEqual(6, len(self.cluster.clients))

    def test_many_at_a_time_connect_once(self):
        threads = [threading.Thread(target=self._open) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1, len(self.cluster.clients))
        self.assertEqual(20, len(self.cluster.open))

    def test_image_that_is_not_there(self):
        error = self.assertRaises(errors.VolumeFailed, self._open,
                                  image='none')
        self.assertIn('pool/none cannot be opened: Ceph: error opening image',
                      str(error))
        self.assertTrue(self.cluster.clients[0].is_shut_down)

    def test_cluster_that_is_away(self):
        self.cluster.is_away = True
        self.assertRaises(errors.VolumeFailed, self._open)
        self.cluster.is_away = False
        volume = self._open()
        self.cluster.is_away = True
        error = self.assertRaises(OSError, volume.read_at, 0, 1)
        self.assertEqual(errno.ETIMEDOUT, error.errno)
        self.assertRaises(OSError, volume.write_at, 0, bytes(BLOCK))
        self.assertFalse(volume.discard(0, BLOCK))
        self.cluster.is_away = False
        self.assertEqual(b'\0', volume.read_at(0, 1))

    def test_host_without_the_modules(self):
        with mock.patch.dict(sys.modules, {'rbd': None}):
            self.assertFalse(ceph.is_there())
            error = self.assertRaises(errors.VolumeFailed, self._open)
        self.assertTrue(ceph.is_there())
        self.assertIn('install python3-rados', str(error))

    def test_client_that_was_blocklisted_connects_again(self):
        one, two = self._open(), self._open(image='other')
        self.cluster.clients[0].is_blocklisted = True
        for volume in one, two:
            volume.write_at(0, b'\1' * BLOCK)
            self.assertEqual(b'\1', volume.read_at(0, 1))
        self.assertEqual(2, len(self.cluster.clients))
        self.assertTrue(self.cluster.clients[0].is_shut_down)
        self.assertEqual('client.101', one.client)
        self.assertIn('blocklisted client client.100', self.log.output)

    def test_lock_of_the_service_before_is_taken(self):
        self.cluster.lockers['pool/image'] = ('client.55', 'auto 1', '::1/7')
        self.cluster.lockers['pool/other'] = ('client.55', 'auto 2', '::1/7')
        self._open('client.55')
        self._open('client.55', image='other')
        self.assertEqual({}, self.cluster.lockers)
        # Once is enough.
        self.assertEqual(['::1/7'], self.cluster.clients[0].blocklisted)

    def test_lock_of_another_host_is_not_taken(self):
        self.cluster.lockers['pool/image'] = ('client.66', 'auto 1', '::1/8')
        for predecessor in None, 'client.55':
            self._open(predecessor)
        self.assertEqual(1, len(self.cluster.lockers))
        self.assertEqual([], self.cluster.clients[0].blocklisted)

    def test_closed_volume_cannot_be_used(self):
        volume = self._open()
        volume.close()
        self.assertRaises(OSError, volume.read_at, 0, 1)
        self.assertEqual([], self.cluster.open)

    def test_process_that_ends_leaves_what_hangs(self):
        volume = self._open()
        with volume._lock:
            abandoning = stage_thread(volume.abandon)
        abandoning.join(5)
        self.assertFalse(abandoning.is_alive())
        volume.abandon()
        self.assertEqual([], self.cluster.open)

    def test_keys_are_not_logged(self):
        self.cluster.lockers['pool/image'] = ('client.55', 'auto 1', '::1/7')
        volume = self._open('client.55')
        self.cluster.clients[0].is_blocklisted = True
        volume.read_at(0, 1)
        self.assertRaises(errors.VolumeFailed, self._open, image='none')
        self.assertNotIn(KEY, self.log.output)
        self.assertNotIn(KEY, repr(connection()))


def stage_thread(action):
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(2)
    return thread
