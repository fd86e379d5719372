# SPDX-License-Identifier: Apache-2.0
from importlib import metadata
import os
import pathlib
import re
import unittest

from oslo_config import cfg
from tempest.test_discover import plugins

from nova_armvm_tempest_plugin import config
from nova_armvm_tempest_plugin import plugin

#: Words of ours that stand for options of Tempest itself.
_OF_TEMPEST = re.compile(r'``(\w+)``')


class PluginTest(unittest.TestCase):

    def setUp(self):
        self.plugin = plugin.NovaArmVMTempestPlugin()

    def test_tempest_finds_it_by_its_entry_point(self):
        found = metadata.entry_points(group='tempest.test_plugins',
                                      name='nova_armvm_tests')
        self.assertEqual([plugin.NovaArmVMTempestPlugin],
                         [each.load() for each in found])

    def test_tempest_takes_its_options_with_those_of_others(self):
        groups = dict(
            plugins.TempestTestPluginManager().get_plugin_options_list())
        self.assertEqual(config.armvm_opts, groups['armvm'])

    def test_its_tests_are_below_what_it_names(self):
        tests, top = self.plugin.load_tests()
        self.assertEqual('nova_armvm_tempest_plugin/tests',
                         os.path.relpath(tests, top))
        names = {path.stem for path in pathlib.Path(tests).rglob('test_*.py')}
        self.assertIn('test_moves', names)

    def test_options_have_their_defaults_once_registered(self):
        conf = cfg.ConfigOpts()
        self.plugin.register_opts(conf)
        conf([])
        self.assertEqual('', conf.armvm.image_ref)
        self.assertEqual(['3'], conf.armvm.gic_versions)
        self.assertFalse(conf.armvm.evacuation)

    def test_a_version_that_no_interrupt_controller_has_is_refused(self):
        conf = cfg.ConfigOpts()
        self.plugin.register_opts(conf)
        with self.assertRaises(ValueError):
            conf.set_override('gic_versions', ['4'], 'armvm')


class HelpTest(unittest.TestCase):

    def test_every_option_says_what_to_do(self):
        for option in config.armvm_opts:
            with self.subTest(option.name):
                self.assertGreater(len(option.help.split()), 8)

    def test_what_is_left_to_tempest_is_there(self):
        from tempest import config as tempest_config
        known = {option.name for _group, options
                 in tempest_config.list_opts() for option in options}
        named = set(_OF_TEMPEST.findall(config.armvm_group.help))
        self.assertEqual(set(), named - known)
        self.assertIn('live_migration', named)
