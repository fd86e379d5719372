# SPDX-License-Identifier: Apache-2.0
import argparse
import logging
import os
import subprocess
import sys

import fixtures
import testtools
import zstandard

import nova_armvm
from nova_armvm.nvramd import logs
from nova_armvm.nvramd import main


class DirectoriesTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.base = self.useFixture(fixtures.TempDir()).path
        self.directory = os.path.join(self.base, 'run', 'd')
        self.state = os.path.join(self.base, 'lib', 'state')

    def _modes(self):
        return [os.stat(os.path.join(self.directory, name)).st_mode & 0o7777
                for name in ('', 'control', 'flash')]

    def test_directories_are_made_for_whom_they_are_for(self):
        main.make_directories(self.directory, self.state, os.getgid())
        self.assertEqual([0o750, 0o700, 0o700], self._modes())
        self.assertEqual(0o700, os.stat(self.state).st_mode & 0o7777)

    def test_wrong_modes_are_corrected(self):
        main.make_directories(self.directory, self.state, None)
        for name in '', 'control', 'flash':
            os.chmod(os.path.join(self.directory, name), 0o777)
        main.make_directories(self.directory, self.state, None)
        self.assertEqual([0o750, 0o700, 0o700], self._modes())

    def test_one_service_a_directory(self):
        main.make_directories(self.directory, self.state, None)
        with open(os.path.join(self.directory, 'nbd.sock'), 'wb'):
            pass
        main.lock(self.directory)
        self.assertFalse(os.path.exists(
            os.path.join(self.directory, 'nbd.sock')))
        error = self.assertRaises(main.CannotStart, main.lock, self.directory)
        self.assertIn(f'another service (process {os.getpid()})', str(error))


class EmbeddedPythonTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path

    def _nbdkit(self, text):
        """Have nbdkit say what a program says."""
        path = os.path.join(self.directory, 'nbdkit')
        with open(path, 'w', encoding='ascii') as stream:
            stream.write(f'#!/bin/sh\n{text}\n')
        os.chmod(path, 0o755)
        self.useFixture(fixtures.EnvironmentVariable('PATH', self.directory))

    def test_version_is_read(self):
        self._nbdkit('echo name=python; echo python_version=3.13.5')
        self.assertEqual((3, 13), main.embedded_version())

    def test_what_does_not_do_is_told(self):
        for text, reason in (('exit 1', 'install nbdkit and its Python'),
                             ('echo name=python', 'nbdkit 1.32'),
                             ('echo python_version=x.y', 'nbdkit 1.32'),
                             ('echo python_version=3.9.2', 'at least 3.11')):
            self._nbdkit(text)
            error = self.assertRaises(main.CannotStart, main.embedded_version)
            self.assertIn(reason, str(error))

    def test_host_without_nbdkit(self):
        self.useFixture(fixtures.EnvironmentVariable('PATH', self.directory))
        error = self.assertRaises(main.CannotStart, main.embedded_version)
        self.assertIn('install nbdkit', str(error))

    def test_the_same_version_gets_the_packages_of_this_one(self):
        path = main.python_path(sys.version_info[:2], self.directory)
        package = os.path.dirname(os.path.dirname(nova_armvm.__file__))
        self.assertEqual(package, path[0])
        self.assertIn(os.path.dirname(os.path.dirname(zstandard.__file__)),
                      path)
        # Its standard library stays its own.
        self.assertNotIn(os.path.dirname(os.__file__), path)

    def test_another_version_gets_this_package_alone(self):
        for _time in range(2):
            path = main.python_path((3, 99), self.directory)
        self.assertEqual([os.path.join(self.directory, 'python')], path)
        self.assertEqual(['nova_armvm'], os.listdir(path[0]))
        self.assertTrue(os.path.exists(os.path.join(
            path[0], 'nova_armvm', 'nvramd', 'plugin.py')))

    def test_nothing_of_nova_is_needed(self):
        """Run it as the distribution's Python does, with this package only.

        zstandard is the only other module, and is imitated.
        """
        path = main.python_path((3, 99), self.directory)[0]
        with open(os.path.join(path, 'zstandard.py'), 'wb'):
            pass
        subprocess.run(
            [sys.executable, '-S', '-c', 'from nova_armvm.nvramd import '
             'control, service; import sys; assert not {"nova", "oslo_log", '
             '"oslo_config", "lxml"} & set(sys.modules)'],
            env={'PYTHONPATH': path}, check=True)


class CommandTest(testtools.TestCase):

    def test_nbdkit_is_told_what_the_plugin_needs(self):
        options = argparse.Namespace(state='/s', log_level='INFO')
        command = main.command('/d', options, 36)
        self.assertEqual(['nbdkit', '--foreground'], command[:2])
        self.assertIn('/d/nbd.sock', command)
        self.assertLessEqual({'directory=/d', 'state=/s', 'gid=36',
                              'log_level=INFO'}, set(command))
        self.assertTrue(os.path.exists(command[command.index('python') + 1]))

    def test_version(self):
        done = subprocess.run(
            [sys.executable, '-m', 'nova_armvm.nvramd.main', '--version'],
            capture_output=True, text=True, check=True)
        self.assertRegex(done.stdout, r'^\d+\.\d+|^unknown')

    def test_failure_to_start_is_one_line(self):
        done = subprocess.run(
            [sys.executable, '-m', 'nova_armvm.nvramd.main', '--directory',
             '/proc/none', '--state', '/proc/none'],
            capture_output=True, text=True)
        self.assertEqual(1, done.returncode)
        self.assertIn('ERROR Failed to start: ', done.stderr)
        self.assertNotIn('Traceback', done.stderr)


class LogsTest(testtools.TestCase):

    def test_journal_is_told_the_level_of_each_line(self):
        formatter = logs._JournalFormatter('%(message)s')
        for level, number in ((logging.ERROR, 3), (logging.WARNING, 4),
                              (logging.INFO, 6), (logging.DEBUG, 7)):
            record = logging.LogRecord('x', level, 'x', 1, 'a\nb', (), None)
            self.assertEqual(f'<{number}>a\n<{number}>b',
                             formatter.format(record))
