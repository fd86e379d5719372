# SPDX-License-Identifier: Apache-2.0
import io
import os

import fixtures
import hypothesis
from hypothesis import strategies
import testtools

from nova_armvm.cmd import nvram_files
from nova_armvm import exception


class NewFileTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).join('file')

    def test_half_a_file_does_not_stay(self):
        def fail(error):
            with nvram_files.new_file(self.path) as stream:
                stream.write(b'half')
                raise error
        self.assertRaises(KeyError, fail, KeyError())
        error = self.assertRaises(exception.FileUnusable, fail,
                                  OSError(28, 'No space left on device'))
        self.assertIn('No space left', str(error))
        self.assertFalse(os.path.exists(self.path))

    def test_permissions_do_not_depend_on_the_umask(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        with nvram_files.new_file(self.path):
            self.assertEqual(0o600, os.stat(self.path).st_mode & 0o777)

    def test_directory_that_is_not_there(self):
        with testtools.ExpectedException(exception.FileUnusable):
            nvram_files.new_file(self.path + '/file').__enter__()


class SparseTest(testtools.TestCase):

    @hypothesis.settings(max_examples=50, deadline=None)
    @hypothesis.given(strategies.lists(strategies.tuples(
        strategies.booleans(),
        strategies.integers(0, nvram_files._HOLE_BYTES + 1)), max_size=5))
    def test_content_is_the_same(self, parts):
        content = b''.join(bytes([kind]) * length for kind, length in parts)
        stream = io.BytesIO()
        nvram_files.write_sparse(stream, content)
        written = stream.getvalue()
        # A file's truncate() makes it longer, that of BytesIO does not.
        self.assertEqual(content, written.ljust(len(content), b'\0'))
