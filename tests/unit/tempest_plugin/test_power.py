# SPDX-License-Identifier: Apache-2.0
import pathlib
import subprocess
import tempfile
import unittest

from nova_armvm_tempest_plugin import power


class RunTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)

    def test_the_command_gets_the_name_of_the_host(self):
        power.run(f'touch "{self.top}/power of {{host}}"', 'compute-1')
        self.assertEqual(['power of compute-1'],
                         [path.name for path in self.top.iterdir()])

    def test_a_name_is_one_word_and_no_command(self):
        power.run(f'touch {self.top}/{{host}}', 'a; exit 3')
        self.assertEqual(['a; exit 3'],
                         [path.name for path in self.top.iterdir()])

    def test_a_command_that_fails_ends_the_test(self):
        with self.assertRaises(subprocess.CalledProcessError):
            power.run('false', 'compute-1')
