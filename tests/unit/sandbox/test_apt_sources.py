# SPDX-License-Identifier: Apache-2.0
import pathlib
import tempfile
import unittest

from tools.sandbox import apt_sources


class ConfiguredTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)
        (self.top / 'sources.list.d').mkdir()

    def put(self, name, text):
        (self.top / name).write_text(text)

    def test_one_line_format(self):
        self.put('sources.list',
                 '# deb http://commented bookworm main\n'
                 'deb [signed-by=/k.gpg] http://mirror/debian bookworm main\n')
        self.assertEqual(
            [apt_sources.Source('http://mirror/debian', ('bookworm',),
                                ('main',), '/k.gpg')],
            apt_sources.configured(self.top))

    def test_deb822_format(self):
        self.put('sources.list.d/debian.sources',
                 'Types: deb\nURIs: http://mirror/debian\n'
                 'Suites: bookworm bookworm-updates\nComponents: main\n'
                 'Signed-By: /k.gpg\n\n'
                 'Enabled: no\nTypes: deb\nURIs: http://other\n'
                 'Suites: bookworm\nComponents: main\n')
        self.assertEqual(
            [apt_sources.Source('http://mirror/debian',
                                ('bookworm', 'bookworm-updates'), ('main',),
                                '/k.gpg')],
            apt_sources.configured(self.top))

    def test_backports_come_from_the_same_archive(self):
        like = apt_sources.Source('http://mirror/debian', ('bookworm',),
                                  ('main',), '/k.gpg')
        self.assertEqual(
            'deb [signed-by=/k.gpg] http://mirror/debian '
            'bookworm-backports main\n',
            apt_sources.line(like, 'bookworm-backports'))
