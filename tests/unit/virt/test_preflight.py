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

    def problems(self, extra_specs, missing=('rados', 'rbd')):
        pools = [
            types.SimpleNamespace(volume_backend_name='ceph',
                                  storage_protocol='ceph'),
            types.SimpleNamespace(volume_backend_name='lvm',
                                  storage_protocol=['iSCSI', 'iscsi'])]
        found = types.SimpleNamespace(name='t', extra_specs=extra_specs)
        client = types.SimpleNamespace(
            pools=types.SimpleNamespace(list=lambda detailed: pools),
            volume_types=types.SimpleNamespace(default=lambda: found))
        with mock.patch('oslo_utils.importutils.try_import',
                        lambda name: None if name in missing else name):
            return list(preflight.binding_problems(client, None))

    def test_type_on_ceph_needs_both_modules(self):
        told = ' '.join(self.problems({'volume_backend_name': 'ceph'}))
        self.assertIn('python3-rados', told)
        self.assertIn('python3-rbd', told)

    def test_type_on_ceph_is_content_with_both(self):
        self.assertEqual([], self.problems({'volume_backend_name': 'ceph'},
                                           missing=()))

    def test_type_on_iscsi_needs_none(self):
        self.assertEqual([], self.problems({'volume_backend_name': 'lvm'}))

    def test_type_that_may_land_on_ceph_needs_them(self):
        self.assertEqual(2, len(self.problems({})))
