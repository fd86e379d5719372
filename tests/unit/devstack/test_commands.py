# SPDX-License-Identifier: Apache-2.0
"""What the plugin says to real programs is understood by them."""
from importlib import metadata
import re
from unittest import mock

from nova.conf import compute
from nova.conf import libvirt
from nova.conf import service_token
from oslo_config import cfg

from nova_armvm import conf as armvm_conf
from nova_armvm.virt import preflight
from nova_armvm_tempest_plugin import config as tempest_options
from tests.unit.devstack import test_plugin
from tests.unit.devstack import tree
from tools.sandbox.guest import build

#: Entry points of the client's commands that the plugin uses.
_GROUPS = ('openstack.identity.v3', 'openstack.volume.v3',
           'openstack.image.v2', 'openstack.compute.v2', 'openstack.common')


def _client_commands():
    return {point.name: point for group in _GROUPS
            for point in metadata.entry_points(group=group)}


class ClientTest(test_plugin.PluginTestCase):

    def test_openstackclient_understands_every_command_line(self):
        node = self.node()
        self.works(node.stack())
        self.works(node.phase('extra'))
        self.works(node.unstack())
        # Nothing is made where an operator's type has no access yet.
        node.new_cloud(type={test_plugin.TYPE: {
            'public': False, 'access': [], 'properties': [], 'volumes': 0}})
        self.works(node.stack())
        self.works(node.unstack())
        commands = _client_commands()
        said = set()
        for program, *words in node.command_lines():
            if program != 'openstack':
                continue
            self.assertEqual('--os-cloud', words[0])
            said.add(self._parse(commands, words[2:]))
        self.assertEqual({
            'flavor_create', 'flavor_delete', 'flavor_show',
            'image_create', 'image_delete', 'image_metadef_namespace_delete',
            'image_metadef_namespace_set', 'image_metadef_namespace_show',
            'image_show', 'project_show', 'quota_set', 'quota_show',
            'role_add', 'role_assignment_list', 'role_create', 'role_delete',
            'role_remove', 'role_show', 'volume_type_create',
            'volume_type_delete', 'volume_type_set', 'volume_type_show',
            'volume_type_unset'}, said)

    def _parse(self, commands, words):
        """Return the name of a command whose own parser takes the words."""
        for length in range(4, 0, -1):
            name = '_'.join(words[:length])
            if name in commands:
                command = commands[name].load()(mock.MagicMock(), None)
                command.get_parser(name).parse_args(words[length:])
                return name
        self.fail(f'the client has no command {words}')

    def test_metadefs_are_loaded_from_a_directory_with_our_file(self):
        node = self.node()
        self.works(node.stack())
        (line,) = [line for line in node.command_lines()
                   if line[0] == 'glance-manage']
        self.assertEqual(
            ['glance-manage', '--config-file',
             str(node.etc / 'glance' / 'glance-api.conf'), 'db_load_metadefs',
             f'{node.top}/stack/{tree.PLUGIN}/etc/glance/metadefs'], line)


class NovaTest(test_plugin.PluginTestCase):

    def read(self, node):
        """Return what Nova and the driver read from a node's file."""
        node.nova_conf.write_text(tree.NOVA_CONF)
        self.works(node.phase('post-config'))
        conf = cfg.ConfigOpts()
        for module in (compute, libvirt, service_token, armvm_conf):
            module.register_opts(conf)
        conf.register_opts([cfg.StrOpt('auth_type')], group='cinder')
        conf(['--config-file', str(node.nova_conf)], project='nova')
        return conf

    def test_values_are_those_that_nova_knows(self):
        conf = self.read(self.node())
        self.assertEqual('armvm.ArmVMLibvirtDriver', conf.compute_driver)
        self.assertEqual('qemu', conf.libvirt.virt_type)
        self.assertEqual('none', conf.libvirt.cpu_mode)
        self.assertEqual([], conf.libvirt.cpu_models)
        self.assertEqual('armvm-nvram', conf.armvm.nvram_volume_type)
        self.assertEqual('warn', conf.armvm.image_check)

    def test_driver_has_nothing_to_say_against_them(self):
        conf = self.read(self.node(arch='aarch64'))
        self.assertEqual([], list(preflight.configuration_problems(conf)))

    def test_every_option_of_the_group_is_set_or_left_to_its_default(self):
        """A new option of the driver is thought about here."""
        conf = self.read(self.node())
        known = {option.name for option in armvm_conf.armvm_opts}
        self.assertEqual(
            known - {'firmware_descriptor_dirs', 'nvramd_directory'},
            {name for name in known
             if conf.get_location(name, 'armvm').location is
             cfg.Locations.user})


class TempestTest(test_plugin.PluginTestCase):

    def test_values_are_those_that_the_tempest_plugin_knows(self):
        node = self.node()
        self.works(node.stack())
        conf = cfg.ConfigOpts()
        conf.register_opts(tempest_options.armvm_opts, group='armvm')
        conf(['--config-file', str(node.tempest_conf)], project='tempest')
        self.assertEqual(['2', '3'], conf.armvm.gic_versions)
        self.assertEqual(1, conf.armvm.hosts)
        self.assertIn(conf.armvm.image_ref, node.cloud['image'])
        known = {option.name for option in tempest_options.armvm_opts}
        said = set(tree.options(node.tempest_conf)['armvm'])
        self.assertEqual(set(), said - known)

    def test_disks_of_the_guest_are_those_that_can_be_built(self):
        node = self.node()
        self.works(node.phase('install'))
        built = {line.split()[-2] for line in node.calls()
                 if 'guest.build' in line}
        self.assertEqual({'U', 'V', 'W'}, built)
        self.assertEqual(set(), built - set(build.disks()))
        self.assertTrue(all(build.disks()[letter].unattended
                            for letter in built))


class DocumentedTest(test_plugin.PluginTestCase):

    def setUp(self):
        super().setUp()
        directory = tree.CHECKOUT / 'devstack'
        self.readme = (directory / 'README.rst').read_text()
        self.settings = (directory / 'settings').read_text()

    def test_every_setting_is_explained(self):
        names = set(re.findall(r'^ *(ARMVM_\w+)=', self.settings,
                               re.MULTILINE)) - {'ARMVM_DIR'}
        self.assertEqual(set(), {name for name in names
                                 if f'``{name}``' not in self.readme})

    def test_no_setting_is_explained_that_there_is_not(self):
        # The directory of the sandbox is not of the plugin.
        explained = (set(re.findall(r'ARMVM_\w+', self.readme)) -
                     {'ARMVM_SANDBOX'})
        self.assertEqual(set(), {name for name in explained
                                 if f'{name}=' not in self.settings})

    def test_local_conf_for_one_node(self):
        node = self.node(**self._settings(0))
        self.works(node.stack())
        self.assertIn(test_plugin.TYPE, node.cloud['type'])

    def test_local_conf_for_the_first_of_two_nodes(self):
        node = self.node(**self._settings(1))
        self.works(node.stack())
        self.assertEqual('2',
                         tree.options(node.tempest_conf)['armvm']['hosts'])

    def test_local_conf_for_the_second_of_two_nodes(self):
        settings = self._settings(2)
        node = self.node(settings.pop('ENABLED_SERVICES'), **settings)
        self.works(node.stack())
        self.assertEqual([], node.command_lines())
        self.assertEqual(
            'armvm.ArmVMLibvirtDriver',
            tree.options(node.cpu_conf)['DEFAULT']['compute_driver'])

    def _settings(self, number):
        """Return what one local.conf of the page sets."""
        text = self.readme.split('[[local|localrc]]')[number + 1]
        block = re.match(r'((?:\n(?: {3}.*)?)+)', text).group(1)
        self.assertIn('enable_plugin nova-armvm ', block)
        # What depends on the machine, and DevStack's own references.
        return {name: value for name, value in re.findall(
            r'^ {3}([A-Z_]+)=(\S*)$', block, re.MULTILINE)
            if not value.startswith('$')}
