# SPDX-License-Identifier: Apache-2.0
"""What the functional tests cannot take away from the host they run on."""
import types
import unittest
from unittest import mock

from nova_armvm.virt import preflight

NEW_HOST = types.SimpleNamespace(has_min_version=lambda wanted: True)
OLD_HOST = types.SimpleNamespace(has_min_version=lambda wanted: False)


class SoftwareTest(unittest.TestCase):

    def problems(self, host=NEW_HOST, path='/bin', monitor=object()):
        with mock.patch.dict('os.environ', PATH=path), mock.patch(
                'nova_armvm.virt.boot_order.libvirt_qemu', monitor):
            return list(preflight.software_problems(host))

    def test_missing_qemu_img_is_told_with_the_package(self):
        told, = self.problems(path='/does/not/exist')
        self.assertIn('qemu-img', told)
        self.assertIn('qemu-utils', told)

    def test_old_libvirt_is_told_with_the_version(self):
        told = ' '.join(self.problems(host=OLD_HOST))
        self.assertIn('9.2.0', told)

    def test_incomplete_libvirt_python_is_told(self):
        told = ' '.join(self.problems(monitor=None))
        self.assertIn('libvirt_qemu', told)


class BindingsTest(unittest.TestCase):

    def problems(self, extra_specs, has_rbd=False):
        pools = [
            types.SimpleNamespace(volume_backend_name='ceph',
                                  storage_protocol='ceph'),
            types.SimpleNamespace(volume_backend_name='lvm',
                                  storage_protocol=['iSCSI', 'iscsi'])]
        found = types.SimpleNamespace(name='t', extra_specs=extra_specs)
        client = types.SimpleNamespace(
            pools=types.SimpleNamespace(list=lambda detailed: pools),
            volume_types=types.SimpleNamespace(default=lambda: found))
        return list(preflight.binding_problems(client, None, has_rbd))

    def test_type_on_ceph_needs_both_modules(self):
        told = ' '.join(self.problems({'volume_backend_name': 'ceph'}))
        self.assertIn('python3-rados', told)
        self.assertIn('python3-rbd', told)

    def test_type_on_ceph_is_content_with_both(self):
        self.assertEqual([], self.problems({'volume_backend_name': 'ceph'},
                                           has_rbd=True))

    def test_type_on_iscsi_needs_none(self):
        self.assertEqual([], self.problems({'volume_backend_name': 'lvm'}))

    def test_type_that_may_land_on_ceph_needs_them(self):
        self.assertEqual(1, len(self.problems({})))


class ServiceTest(unittest.TestCase):

    def test_service_that_is_away_is_named_with_its_remedy(self):
        told, = preflight.service_problems('/nonexistent')
        self.assertIn('start armvm-nvramd', told)
        self.assertIn('/nonexistent', told)
