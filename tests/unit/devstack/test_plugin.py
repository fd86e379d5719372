# SPDX-License-Identifier: Apache-2.0
import testtools

from tests.unit.devstack import tree

TYPE = 'armvm-nvram'
METADEFS = {'OS::Compute::ArmVM', 'OS::Compute::ArmVMImage'}

CREDENTIALS = {
    'auth_type': 'password', 'auth_url': 'http://192.0.2.1/identity',
    'username': 'nova', 'password': tree.PASSWORD,
    'user_domain_name': 'Default', 'project_name': 'service',
    'project_domain_name': 'Default',
}
ARMVM = {
    'nvram_volume_type': TYPE, 'nvram_default': 'persistent',
    'nvram_reconnect_seconds': '300', 'image_check': 'warn',
}
SERVICE = 'armvm-nvramd'
RULE = '/run/armvm-nvramd/nbd.sock rw,'


class PluginTestCase(testtools.TestCase):

    def node(self, *arguments, **settings):
        return self.useFixture(tree.Tree(*arguments, **settings))

    def works(self, done):
        self.assertEqual(0, done.returncode, done.stderr[-3000:])
        return done

    def configured(self, node):
        """Return a node's nova.conf after the phase that sets it."""
        node.nova_conf.write_text(tree.NOVA_CONF)
        self.works(node.phase('post-config'))
        return tree.options(node.nova_conf)

    def image_named(self, node, name):
        (found,) = [image for image in node.cloud['image'].values()
                    if image['name'] == name]
        return found


class StackTest(PluginTestCase):

    def test_node_that_emulates(self):
        node = self.node()
        self.works(node.stack())

        expected = tree.options(node.top / 'devstack' / 'nova.conf')
        expected['DEFAULT']['compute_driver'] = 'armvm.ArmVMLibvirtDriver'
        expected['cinder'].update(CREDENTIALS)
        expected['service_user'] = {**CREDENTIALS,
                                    'send_service_user_token': 'True'}
        expected['armvm'] = ARMVM
        expected['libvirt'].update(virt_type='qemu', cpu_mode='none')
        del expected['libvirt']['cpu_models']
        self.assertEqual(expected, tree.options(node.nova_conf))
        self.assertEqual(expected, tree.options(node.cpu_conf))

        self.assertEqual(
            {'Unit': {'startlimitintervalsec': '0'},
             'Service': {'restart': 'always', 'restartsec': '5'}},
            tree.options(node.drop_in()))
        self.assertIn('systemctl daemon-reload', node.calls())
        self._check_cloud(node)
        self._check_tempest(node)

    def _check_cloud(self, node):
        cloud = node.cloud
        self.assertEqual(['admin', 'service'], cloud['assigned'])
        self.assertEqual(
            {'public': False, 'access': [cloud['project']['service']],
             'properties': ['volume_backend_name=lvmdriver-1'],
             'volumes': 0}, cloud['type'][TYPE])
        self.assertEqual({'volumes': '-1', 'gigabytes': '-1',
                          'snapshots': '10'}, cloud['quota'])
        self.assertLessEqual(METADEFS, set(cloud['metadef']))
        emulated = {
            'hw_architecture': 'aarch64',
            'hw_emulation_architecture': 'aarch64',
            'hw_machine_type': 'virt', 'hw_firmware_type': 'uefi',
            'hw_armvm_nvram': 'persistent',
            'trait:CUSTOM_ARMVM': 'required'}
        for letter in 'UV':
            self.assertEqual(
                {'name': f'armvm-guest-{letter}', 'public': True,
                 'content': f'disk {letter}', 'format': 'raw',
                 'properties': emulated},
                self.image_named(node, f'armvm-guest-{letter}'))
        self.assertEqual(
            {**emulated, 'hw_architecture': 'armv7l',
             'hw_emulation_architecture': 'armv7l',
             'hw_armvm_execution_state': 'aarch32',
             'trait:CUSTOM_ARMVM_AARCH32': 'required'},
            self.image_named(node, 'armvm-guest-W')['properties'])

    def _check_tempest(self, node):
        images = {image['name'][-1]: number
                  for number, image in node.cloud['image'].items()}
        expected = tree.options(node.top / 'devstack' / 'tempest.conf')
        expected['armvm'] = {
            'image_ref': images['U'], 'image_alt_ref': images['V'],
            'aarch32_image_ref': images['W'], 'gic_versions': '2,3',
            'hosts': '1'}
        expected['compute'] = {'flavor_ref': 'id-of-armvm.small',
                               'flavor_ref_alt': 'id-of-armvm.medium'}
        self.assertEqual(expected, tree.options(node.tempest_conf))

    def test_arm_node_with_kvm(self):
        node = self.node(arch='aarch64')
        self.works(node.stack())
        libvirt = tree.options(node.cpu_conf)['libvirt']
        self.assertEqual('kvm', libvirt['virt_type'])
        self.assertEqual('host-passthrough', libvirt['cpu_mode'])
        self.assertNotIn('cpu_models', libvirt)
        properties = self.image_named(node, 'armvm-guest-U')['properties']
        self.assertNotIn('hw_emulation_architecture', properties)
        self.assertEqual(2, len(node.cloud['image']))
        ours = tree.options(node.tempest_conf)['armvm']
        self.assertEqual('3', ours['gic_versions'])
        self.assertEqual('', ours['aarch32_image_ref'])

    def test_arm_node_without_kvm(self):
        node = self.node(arch='aarch64', LIBVIRT_TYPE='qemu')
        libvirt = self.configured(node)['libvirt']
        self.assertEqual('qemu', libvirt['virt_type'])
        self.assertEqual('custom', libvirt['cpu_mode'])
        self.assertEqual('cortex-a57', libvirt['cpu_models'])

    def test_what_local_conf_says_counts(self):
        node = self.node(
            ARMVM_NVRAM_VOLUME_TYPE='own', ARMVM_NVRAM_DEFAULT='volatile',
            ARMVM_NVRAM_RECONNECT_SECONDS='60', ARMVM_IMAGE_CHECK='enforce',
            ARMVM_VOLUME_BACKEND='ceph', ARMVM_GUEST='False',
            ARMVM_TEMPEST_HOSTS='2', ARMVM_TEMPEST_GIC_VERSIONS='3')
        self.works(node.stack())
        self.assertEqual(
            {'nvram_volume_type': 'own', 'nvram_default': 'volatile',
             'nvram_reconnect_seconds': '60', 'image_check': 'enforce'},
            tree.options(node.nova_conf)['armvm'])
        self.assertEqual(['volume_backend_name=ceph'],
                         node.cloud['type']['own']['properties'])
        self.assertEqual({}, node.cloud['image'])
        self.assertEqual(
            {'image_ref': '', 'image_alt_ref': '', 'aarch32_image_ref': '',
             'gic_versions': '3', 'hosts': '2'},
            tree.options(node.tempest_conf)['armvm'])
        self.assertEqual([], node.calls('ARMVM_SANDBOX=/'))

    def test_every_phase_twice_is_as_once(self):
        node = self.node()
        self.works(node.stack())
        once = (node.nova_conf.read_text(), node.cpu_conf.read_text(),
                node.tempest_conf.read_text(), node.drop_in().read_text(),
                node.cloud)
        for phase in ('pre-install', 'install', 'post-config', 'extra',
                      'test-config'):
            self.works(node.phase(phase))
        self.assertEqual(once, (
            node.nova_conf.read_text(), node.cpu_conf.read_text(),
            node.tempest_conf.read_text(), node.drop_in().read_text(),
            node.cloud))

    def test_trace_is_as_before_and_shows_no_password(self):
        node = self.node(ARMVM_GUEST='False')
        node.nova_conf.write_text(tree.NOVA_CONF)
        done = self.works(node.stack(
            'run_phase source\n'
            'run_phase stack post-config\n'
            '[[ $- == *x* ]] && echo still traced\n'
            'set +o xtrace\n'
            'run_phase stack extra\n'
            '[[ $- != *x* ]] && echo still silent\n'))
        self.assertIn('still traced', done.stdout)
        self.assertIn('still silent', done.stdout)
        self.assertNotIn(tree.PASSWORD, done.stdout)
        # DevStack's own line that sets it is before the trace begins.
        self.assertNotIn(tree.PASSWORD, done.stderr)


class InstallTest(PluginTestCase):

    def packages(self, node):
        self.works(node.phase('pre-install'))
        return {package for line in node.calls('install_package')
                for package in line.split()[1:]}

    def test_debian_and_ubuntu(self):
        self.assertEqual(
            {'qemu-system-arm', 'qemu-efi-aarch64', 'qemu-efi-arm',
             'qemu-utils', 'nbdkit', 'nbdkit-plugin-python',
             'python3-zstandard', 'cpio', 'dosfstools', 'gdisk',
             'grub-common', 'mtools', 'debian-archive-keyring'},
            self.packages(self.node()))

    def test_fedora_without_a_guest(self):
        node = self.node(ARMVM_GUEST='False')
        node.distribution = 'fedora'
        self.assertEqual(
            {'qemu-system-aarch64', 'edk2-aarch64', 'edk2-arm', 'qemu-img',
             'nbdkit', 'nbdkit-python-plugin', 'python3-zstandard'},
            self.packages(node))

    def test_fedora_cannot_build_the_guest(self):
        node = self.node()
        node.distribution = 'fedora'
        done = node.phase('pre-install')
        self.assertNotEqual(0, done.returncode)
        self.assertIn('set ARMVM_GUEST=False', done.stderr)

    def test_other_distributions_are_refused(self):
        node = self.node()
        node.distribution = 'other'
        done = node.phase('pre-install')
        self.assertNotEqual(0, done.returncode)
        self.assertIn('Support for this distribution', done.stderr)

    def test_driver_is_installed_editable_beside_nova(self):
        node = self.node(ARMVM_GUEST='False')
        self.works(node.phase('install'))
        self.assertEqual(
            [f'setup_develop {node.top}/stack/{tree.PLUGIN}',
             'ARMVM_SANDBOX= python3 -c import nova.virt.armvm'],
            node.calls())

    def test_driver_that_nova_does_not_find_ends_it(self):
        node = self.node()
        node.import_status = 1
        done = node.phase('install')
        self.assertNotEqual(0, done.returncode)
        self.assertIn('Nova does not find the driver', done.stderr)

    def test_guest_is_built_from_the_archive_that_is_named(self):
        node = self.node(ARMVM_AARCH32='False',
                         ARMVM_GUEST_ARCHIVE='http://archive.example/debian',
                         ARMVM_GUEST_KEYRING='/keys.gpg')
        self.works(node.phase('install'))
        state = node.data / tree.PLUGIN
        self.assertEqual(
            [f'ARMVM_SANDBOX={state}/guest python3 -m '
             'tools.sandbox.guest.build '
             '--archive http://archive.example/debian --keyring /keys.gpg '
             f'{letter} {state}/guest-{letter}.img' for letter in 'UV'],
            node.calls(f'ARMVM_SANDBOX={state}'))

    def test_tempest_plugins_of_others_stay(self):
        for before, after in (('0', '{ours}'), ('/others', '/others {ours}'),
                              ('/a {ours} /b', '/a {ours} /b')):
            node = self.node()
            ours = f'{node.top}/stack/{tree.PLUGIN}'
            node.settings['TEMPEST_PLUGINS'] = before.format(ours=ours)
            done = self.works(node.stack(
                'run_phase source\necho "$TEMPEST_PLUGINS"\n'))
            self.assertEqual(after.format(ours=ours), done.stdout.strip())


class FlashServiceTest(PluginTestCase):

    def test_it_is_started_with_what_it_needs(self):
        node = self.node()
        self.configured(node)
        self.assertEqual(
            [f'run_process {SERVICE} {node.bin}/{SERVICE} '
             f'--directory {node.run_directory} '
             f'--state {node.data}/nova/armvm/nvramd kvm'],
            node.calls('run_process'))
        self.assertEqual(
            {'Unit': {'before': 'devstack@n-cpu.service',
                      'startlimitintervalsec': '0'},
             'Service': {'restart': 'always', 'restartsec': '1',
                         'runtimedirectory': SERVICE,
                         'runtimedirectorypreserve': 'yes',
                         'supplementarygroups': 'disk'}},
            tree.options(node.drop_in(SERVICE)))

    def test_its_unit_is_complete_before_it_starts(self):
        node = self.node()
        self.configured(node)
        calls = node.calls()
        self.assertLess(
            len(calls) - calls[::-1].index('systemctl daemon-reload') - 1,
            next(number for number, call in enumerate(calls)
                 if call.startswith('run_process')))

    def test_confined_qemu_may_connect(self):
        node = self.node()
        file = self.apparmor(node)
        file.parent.mkdir(parents=True)
        file.write_text('/srv/images/* rw,\n')
        for _time in range(2):
            self.configured(node)
            self.assertEqual(f'/srv/images/* rw,\n{RULE}\n',
                             file.read_text())
        self.works(node.unstack())
        self.assertEqual('/srv/images/* rw,\n', file.read_text())

    def test_addition_to_the_profile_goes_when_nobody_else_had_one(self):
        node = self.node()
        file = self.apparmor(node)
        self.configured(node)
        self.assertEqual(f'{RULE}\n', file.read_text())
        self.works(node.unstack())
        self.assertFalse(file.exists())

    def apparmor(self, node):
        """Give a node AppArmor; return the file with its own additions."""
        base = node.apparmor / 'abstractions' / 'libvirt-qemu'
        base.parent.mkdir(parents=True)
        base.touch()
        return node.apparmor / 'local' / 'abstractions' / 'libvirt-qemu'

    def test_node_without_apparmor_is_left_alone(self):
        node = self.node()
        self.configured(node)
        self.assertFalse(node.apparmor.exists())


class SubnodeTest(PluginTestCase):

    def test_only_nova_is_configured(self):
        node = self.node(tree.SUBNODE)
        self.works(node.stack())
        said = tree.options(node.cpu_conf)
        self.assertEqual('armvm.ArmVMLibvirtDriver',
                         said['DEFAULT']['compute_driver'])
        self.assertEqual(ARMVM, said['armvm'])
        self.assertEqual('True',
                         said['service_user']['send_service_user_token'])
        self.assertEqual([], node.command_lines())
        self.assertEqual([], node.calls('ARMVM_SANDBOX=/'))
        self.assertEqual(tree.TEMPEST_CONF, node.tempest_conf.read_text())
        self.assertTrue(node.drop_in().exists())
        self.assertEqual(1, len(node.calls(f'run_process {SERVICE} ')))

    def test_unstack_needs_no_cloud(self):
        node = self.node(tree.SUBNODE)
        self.works(node.stack())
        self.works(node.unstack())
        self.assertEqual([], node.command_lines())
        self.assertEqual(tree.NOVA_CONF, node.nova_conf.read_text())
        self.assertEqual(tree.NOVA_CONF, node.cpu_conf.read_text())
        self.assertEqual(set(), tree.files_below(node.systemd))

    def test_controller_without_guests_of_its_own(self):
        node = self.node('keystone,n-api,n-cond,g-api,c-api')
        self.works(node.stack())
        said = tree.options(node.nova_conf)
        self.assertEqual('libvirt.LibvirtDriver',
                         said['DEFAULT']['compute_driver'])
        self.assertEqual('kvm', said['libvirt']['virt_type'])
        # For nova-api and armvm-manage.
        self.assertEqual(ARMVM, said['armvm'])
        self.assertFalse(node.drop_in().exists())
        self.assertFalse(node.drop_in(SERVICE).exists())
        self.assertEqual([], node.calls('run_process'))
        self.assertIn(TYPE, node.cloud['type'])

    def test_node_without_nova_is_left_alone(self):
        node = self.node('c-vol,mysql')
        node.nova_conf.write_text(tree.NOVA_CONF)
        for phase in ('pre-install', 'install', 'post-config', 'extra',
                      'test-config'):
            self.works(node.phase(phase))
        self.works(node.unstack())
        self.assertEqual([], node.calls())
        self.assertEqual(tree.NOVA_CONF, node.nova_conf.read_text())
