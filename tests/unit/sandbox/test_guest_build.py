# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import pathlib

import fixtures
import testtools

from tools.sandbox.guest import build


class BuildTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name, path in (('STATE', self.top), ('LOGS', self.top / 'logs')):
            self.useFixture(fixtures.MonkeyPatch(
                f'tools.sandbox.config.{name}', path))
        built = self.top / 'built'
        built.write_bytes(b'disk' * 1000)
        self.archives = {}
        self.patch('image.build', lambda disk: built)
        self.patch('debian.unpacked', self.archives.__setitem__)
        self.patch('build.shutil.which', lambda name, path: name)
        self.target = self.top / 'wanted' / 'guest.img'
        self.target.parent.mkdir()

    def patch(self, name, value):
        self.useFixture(fixtures.MonkeyPatch(
            f'tools.sandbox.guest.{name}', value))

    def run_command(self, *words):
        complaint = io.StringIO()
        with contextlib.redirect_stderr(complaint):
            status = build.main(['A', str(self.target), *words])
        return status, complaint.getvalue()

    def test_file_has_the_disk_and_nothing_else_is_left_beside_it(self):
        self.assertEqual((0, ''), self.run_command())
        self.assertEqual(b'disk' * 1000, self.target.read_bytes())
        self.assertEqual([self.target], list(self.target.parent.iterdir()))

    def test_file_that_is_there_is_replaced(self):
        self.target.write_bytes(b'old')
        self.assertEqual(0, self.run_command()[0])
        self.assertEqual(b'disk' * 1000, self.target.read_bytes())

    def test_packages_come_from_this_machines_own_archive(self):
        self.run_command()
        self.assertEqual([None], list(self.archives.values()))

    def test_packages_come_from_the_archive_that_is_named(self):
        self.run_command('--archive', 'http://archive.example/debian')
        (archive,) = self.archives.values()
        self.assertEqual('http://archive.example/debian', archive.uri)
        self.assertEqual(build.KEYRING, archive.signed_by)

    def test_missing_commands_are_named_by_their_packages(self):
        self.patch('build.shutil.which', lambda name, path:
                   None if name in ('sgdisk', 'mcopy') else name)
        self.assertEqual(
            (1, 'The guest could not be built: please install: gdisk '
                'mtools\n'), self.run_command())
        self.assertFalse(self.target.exists())

    def test_directory_that_is_missing_is_said_to_be_so(self):
        self.target.parent.rmdir()
        status, complaint = self.run_command()
        self.assertEqual(1, status)
        self.assertIn('No such file or directory', complaint)
