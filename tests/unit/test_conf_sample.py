# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = TOP / 'etc' / 'nova' / 'nova-armvm.conf.sample'


class SampleTest(unittest.TestCase):

    def test_sample_is_what_the_options_generate(self):
        generator = os.path.join(os.path.dirname(sys.executable),
                                 'oslo-config-generator')
        with tempfile.TemporaryDirectory() as scratch:
            fresh = pathlib.Path(scratch) / 'sample'
            subprocess.run(
                [generator, '--namespace', 'nova_armvm', '--wrap-width',
                 '79', '--output-file', fresh], check=True)
            self.assertEqual(
                fresh.read_text(), SAMPLE.read_text(),
                'stale: run "tox -e genconfig" and commit the result')
