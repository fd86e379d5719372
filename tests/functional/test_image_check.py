# SPDX-License-Identifier: Apache-2.0
"""Images are held against the specification before a first boot."""
import os

from nova.virt.libvirt import imagecache

from tests.functional import base
from tests.unit.image import disks


class ImageCheckTest(base.ArmServersTestCase):

    def start(self, mode):
        self.flags(image_check=mode, group='armvm')
        self.start_compute()

    def cache(self, content):
        """Put an image where Nova does before it starts a guest."""
        directory = os.path.join(base.CONF.instances_path,
                                 base.CONF.image_cache.subdirectory_name)
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory,
                            imagecache.get_cache_fname(self.image))
        with open(path, 'wb') as stream:
            stream.write(content)
        self.addCleanup(os.unlink, path)
        return path

    def warnings(self):
        return [line for line in self.stdlog.logger.output.splitlines()
                if 'does not comply' in line]

    def test_good_image_is_booted(self):
        self.start('enforce')
        self.cache(disks.good())
        self.assert_store_in_use(self.boot())

    def test_build_fails_with_the_requirements_that_are_broken(self):
        self.start('enforce')
        self.cache(bytes(disks.MIB))
        server = self.boot(expected_state='ERROR')
        told = server['fault']['message']
        self.assertIn('IMG-1', told)
        self.assertIn('GUID Partition Table', told)
        self._delete_server(server)
        self.assert_nothing_left()

    def test_image_that_cannot_be_looked_into_is_refused(self):
        self.start('enforce')
        self.cache(b'KDMV\1\0\0\0' + bytes(disks.MIB))
        server = self.boot(expected_state='ERROR')
        self.assertIn('vmdk', server['fault']['message'])

    def test_image_that_is_not_there_is_refused(self):
        self.start('enforce')
        server = self.boot(expected_state='ERROR')
        self.assertIn('images_type', server['fault']['message'])

    def test_warning_is_all_if_the_operator_says_so(self):
        self.start('warn')
        self.cache(bytes(disks.MIB))
        self.assert_store_in_use(self.boot())
        self.assertEqual(1, len(self.warnings()))
        self.assertIn('IMG-1', self.warnings()[0])

    def test_image_is_looked_into_once(self):
        self.start('enforce')
        path = self.cache(disks.good())
        self.boot()
        with open(path, 'wb') as stream:
            stream.write(bytes(disks.MIB))
        self.assert_store_in_use(self.boot())

    def test_nobody_looks_unless_asked_to(self):
        self.start_compute()
        self.cache(bytes(disks.MIB))
        self.assert_store_in_use(self.boot())
        self.assertEqual([], self.warnings())

    def test_guest_that_was_booted_once_starts_again(self):
        self.start('off')
        path = self.cache(disks.good())
        server = self.boot()
        self.flags(image_check='enforce', group='armvm')
        with open(path, 'wb') as stream:
            stream.write(bytes(disks.MIB))
        self._reboot_server(server, hard=True)
        self.assert_store_in_use(server)
