# SPDX-License-Identifier: Apache-2.0
"""Kolla makes the Dockerfiles that the page promises.

Nothing is built: that takes a container engine and a registry.
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

from tools.documented import blocks

_PAGE = blocks.TOP / 'doc/source/install.rst'
_IMAGES = ('base', 'compute', 'libvirt')


class KollaTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        template = next(block.text for block in blocks.of_page(_PAGE)
                        if block.language == 'jinja')
        cls.files = {}
        with tempfile.TemporaryDirectory() as scratch:
            top = pathlib.Path(scratch)
            (top / 'override.j2').write_text(template)
            subprocess.run(
                [pathlib.Path(sys.executable).with_name('kolla-build'),
                 '--template-only', '--work-dir', top / 'work',
                 '--base', 'debian', '--base-arch', 'aarch64',
                 '--template-override', top / 'override.j2',
                 f'^nova-({"|".join(_IMAGES)})$'],
                check=True, capture_output=True)
            for name in _IMAGES:
                cls.files[name] = (top / 'work/docker/nova' / f'nova-{name}' /
                                   'Dockerfile').read_text()

    def test_driver_is_installed_for_every_service_of_nova(self):
        self.assertIn('nova-armvm', self.files['base'])
        self.assertRegex(self.files['compute'], r'FROM \S*nova-base:')

    def test_driver_is_installed_after_nova_with_the_same_constraints(self):
        nova, _between, ours = self.files['base'].partition(' /nova \\\n')
        self.assertIn('install --upgrade -c /requirements/upper-constraints',
                      nova)
        self.assertIn('-c /requirements/upper-constraints.txt nova-armvm',
                      ours)

    def test_both_sides_have_the_firmware(self):
        for name in ('base', 'libvirt'):
            self.assertIn(' qemu-efi-aarch64 ', self.files[name])
            self.assertIn(' qemu-efi-arm ', self.files[name])

    def test_host_side_has_what_the_driver_runs(self):
        for package in ('qemu-utils', 'python3-rados', 'python3-rbd'):
            self.assertIn(f' {package} ', self.files['compute'])

    def test_image_of_the_flash_service_has_what_it_runs(self):
        for package in ('nbdkit', 'nbdkit-plugin-python'):
            self.assertIn(f' {package} ', self.files['compute'])
