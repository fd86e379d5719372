# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import tempfile

import fixtures
import testtools

from nova_armvm.cmd import image
from tests.unit.image import disks


class CheckTest(testtools.TestCase):

    def run_command(self, content: bytes, *words: str
                    ) -> tuple[int, str, str]:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.useFixture(fixtures.MonkeyPatch(
                'sys.argv', ['armvm-image', 'check', file.name, *words]))
            printed, complaint = io.StringIO(), io.StringIO()
            with (contextlib.redirect_stdout(printed),
                  contextlib.redirect_stderr(complaint)):
                status = image.main()
        return status, printed.getvalue(), complaint.getvalue()

    def test_image_that_complies(self):
        status, printed, _ = self.run_command(disks.good())
        self.assertEqual(0, status)
        self.assertIn('IMG-5', printed)
        self.assertIn('PE32+ for AArch64', printed)

    def test_image_with_warnings_complies(self):
        self.assertEqual(0, self.run_command(disks.good(bits=16))[0])

    def test_image_that_does_not_comply(self):
        status, printed, _ = self.run_command(bytes(disks.MIB))
        self.assertEqual(image.NOT_COMPLIANT, status)
        self.assertIn('no GUID Partition Table', printed)

    def test_json(self):
        status, printed, _ = self.run_command(disks.good(), '-f', 'json')
        self.assertEqual(0, status)
        self.assertIs(True, json.loads(printed)['compliant'])

    def test_image_that_cannot_be_looked_into(self):
        status, printed, complaint = self.run_command(
            b'KDMV\1\0\0\0' + bytes(disks.MIB))
        self.assertEqual(image.FAILED, status)
        self.assertEqual('', printed)
        self.assertIn('vmdk', complaint)

    def test_limit_is_kept(self):
        status, _, complaint = self.run_command(
            disks.good(), '--read-limit', '1')
        self.assertEqual(0, status, complaint)

    def test_wrong_usage(self):
        for words in (('--read-limit', '0'), ('--read-limit', 'x'),
                      ('-f', 'yaml')):
            with (testtools.ExpectedException(SystemExit),
                  contextlib.redirect_stderr(io.StringIO())):
                self.run_command(b'', *words)

    def test_missing_file(self):
        self.useFixture(fixtures.MonkeyPatch(
            'sys.argv', ['armvm-image', 'check', '/nowhere']))
        complaint = io.StringIO()
        with contextlib.redirect_stderr(complaint):
            self.assertEqual(image.FAILED, image.main())
        self.assertIn('/nowhere', complaint.getvalue())
