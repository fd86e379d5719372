# SPDX-License-Identifier: Apache-2.0
import unittest

from tools.sandbox import config
from tools.sandbox import shell


class EnvironmentTest(unittest.TestCase):

    def test_another_cloud_of_the_user_is_left_out(self):
        made = shell.environment(
            {'OS_CLOUD': 'production', 'OS_TOKEN': 'x', 'HOME': '/root'},
            'admin', 'secret')
        self.assertNotIn('OS_CLOUD', made)
        self.assertNotIn('OS_TOKEN', made)
        self.assertEqual('/root', made['HOME'])

    def test_user_logs_in_to_the_project_of_its_name(self):
        made = shell.environment({}, config.TENANT, 'secret')
        self.assertEqual((config.TENANT, config.TENANT, 'secret'),
                         (made['OS_USERNAME'], made['OS_PROJECT_NAME'],
                          made['OS_PASSWORD']))

    def test_commands_of_the_sandbox_come_first(self):
        made = shell.environment({'PATH': '/elsewhere'}, 'admin', 'secret')
        self.assertEqual(str(config.BIN), made['PATH'].split(':')[0])
