# SPDX-License-Identifier: Apache-2.0
import io
import pathlib
import re
import tempfile
import unittest
from unittest import mock

import subunit
from testtools import content

from tools.sandbox.tempest import __main__ as program
from tools.sandbox.tempest import figures
from tools.sandbox.tempest import surroundings

MADE = surroundings.Surroundings('image-1', 'image-2', 'image-3', 'flavor-1',
                                 'flavor-2')


def stream(*tests: tuple[str, str, str]) -> bytes:
    """Return the results of tests: name, status and reason."""
    written = io.BytesIO()
    results = subunit.StreamResultToBytes(written)
    for name, status, reason in tests:
        if reason:
            results.status(
                test_id=name, file_name='reason', eof=True,
                file_bytes=reason.encode(),
                mime_type=repr(content.text_content('').content_type))
        results.status(test_id=name, test_status=status)
    return written.getvalue()


class FiguresTest(unittest.TestCase):

    def test_each_end_of_a_test_is_counted_once(self):
        counted = figures.count(stream(
            ('a', 'success', ''), ('b', 'success', ''), ('c', 'fail', ''),
            ('d', 'skip', 'no such host'), ('e', 'exists', '')))
        self.assertEqual('Tempest: 2 passed, 1 failed, 1 skipped in 12s',
                         counted.line(12.3))
        self.assertEqual(['c'], counted.failed)
        self.assertEqual(['d: no such host'], counted.skipped)

    def test_a_test_that_never_ended_has_failed(self):
        counted = figures.count(stream(('a', 'inprogress', '')))
        self.assertEqual(['a'], counted.failed)


class ExitStatusTest(unittest.TestCase):

    def status(self, status: int, *tests: tuple[str, str, str]) -> int:
        with (mock.patch.object(program.surroundings, 'make'),
              mock.patch.object(program.surroundings, 'write'),
              mock.patch.object(program, 'run', return_value=(
                  figures.count(stream(*tests)), status)),
              mock.patch('sys.argv', ['tempest']),
              mock.patch('sys.stdout', io.StringIO())):
            return program.main()

    def test_nothing_else_than_success_is_success(self):
        passed = ('a', 'success', '')
        self.assertEqual(0, self.status(0, passed, ('b', 'skip', 'why')))
        self.assertEqual(1, self.status(1, passed, ('b', 'fail', '')))
        # It died after its first test, or found nothing to do.
        self.assertEqual(1, self.status(1, passed))
        self.assertEqual(1, self.status(0, ('b', 'skip', 'why')))
        self.assertEqual(1, self.status(0))


#: Lists two tests that match anything, and notes which it was told to run.
_TEMPEST = """\
#!/bin/sh
case "$*" in
*--list-tests*--regex\\ nothing) ;;
*--list-tests*) printf '%s\\n' noise 'a.test_moves.B.c[id-1]' \
    'a.test_evacuation.B.c[id-2]' ;;
*) echo "$* of $(cat tests)" >>ran
   [ ! -e fail ] || case "$*" in *--serial*) ;; *) exit 1 ;; esac ;;
esac
"""


class RunTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)
        for name, text in (('tempest', _TEMPEST), ('stestr', '#!/bin/sh\n')):
            (self.top / name).write_text(text)
            (self.top / name).chmod(0o755)
        for owner, name, value in (
                (program.config, 'BIN', self.top),
                (surroundings, 'HOME', self.top),
                (surroundings, 'CONF', self.top / 'tempest.conf')):
            patch = mock.patch.object(owner, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def ran(self) -> list[str]:
        noted = self.top / 'ran'
        return noted.read_text().splitlines() if noted.exists() else []

    def test_evacuation_runs_by_itself_and_counts_with_the_others(self):
        self.assertEqual(0, program.run('everything')[1])
        first, second = self.ran()
        self.assertIn('test_moves', first)
        self.assertNotIn('test_evacuation', first)
        self.assertIn('--serial --combine of a.test_evacuation', second)

    def test_a_failure_is_not_forgotten_when_what_follows_succeeds(self):
        (self.top / 'fail').touch()
        self.assertEqual(1, program.run('everything')[1])
        self.assertEqual(2, len(self.ran()))

    def test_nothing_runs_when_nothing_matches(self):
        counted, _status = program.run('nothing')
        self.assertEqual(0, counted.passed)
        self.assertEqual([], self.ran())


class SelectionTest(unittest.TestCase):

    def test_our_tests_and_smoke_tests_of_nova_are_chosen(self):
        chosen = re.compile(program._TESTS)
        for name, runs in (
                ('nova_armvm_tempest_plugin.tests.scenario.test_start.A.b'
                 '[id-1]', True),
                ('tempest.api.compute.test_versions.A.b[id-1,smoke]', True),
                ('tempest.api.compute.test_versions.A.b[id-1]', False),
                ('tempest.api.compute.smoke.A.b[id-1]', False),
                ('tempest.api.volume.test_versions.A.b[id-1,smoke]', False)):
            with self.subTest(name):
                self.assertEqual(runs, bool(chosen.search(name)))


class ConfigurationTest(unittest.TestCase):

    @mock.patch.object(surroundings.config, 'credentials', lambda: {
        'password': 'x'})
    def test_every_option_is_one_that_tempest_knows(self):
        from tempest import config
        known = {getattr(group, 'name', group): {
            option.dest for option in options}
            for group, options in config.list_opts()}
        for section, options in {
                **surroundings._of_the_cloud(MADE),
                **surroundings._of_ours(MADE)}.items():
            if section in ('DEFAULT', 'oslo_concurrency'):
                continue
            with self.subTest(section):
                self.assertEqual(
                    set(), {name.replace('-', '_') for name in options}
                    - known[section])
