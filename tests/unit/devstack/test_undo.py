# SPDX-License-Identifier: Apache-2.0
from tests.unit.devstack import test_plugin
from tests.unit.devstack import tree

TYPE = test_plugin.TYPE


class UndoTestCase(test_plugin.PluginTestCase):

    def stacked(self, **cloud):
        """Return a node that was stacked, and its cloud before."""
        node = self.node()
        node.new_cloud(**cloud)
        before = node.cloud
        self.works(node.stack())
        return node, before

    def assert_files_as_before(self, node):
        self.assertEqual(tree.NOVA_CONF, node.nova_conf.read_text())
        self.assertEqual(tree.NOVA_CONF, node.cpu_conf.read_text())
        self.assertEqual(tree.TEMPEST_CONF, node.tempest_conf.read_text())
        self.assertEqual(set(), tree.files_below(node.systemd))


class UnstackTest(UndoTestCase):

    def test_everything_is_as_before(self):
        node, before = self.stacked()
        self.assertNotEqual(before, node.cloud)
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)
        self.assert_files_as_before(node)
        self.assertEqual([f'stop_process {test_plugin.SERVICE}'],
                         node.calls('stop_process'))
        # The disks are kept for the next time; they take long.
        self.assertEqual(
            {'guest-U.img', 'guest-V.img', 'guest-W.img'},
            tree.files_below(node.data / tree.PLUGIN))

    def test_twice_is_as_once(self):
        node, before = self.stacked()
        self.works(node.unstack())
        done = self.works(node.unstack())
        self.assertEqual(before, node.cloud)
        self.assert_files_as_before(node)
        self.assertNotIn('could not', done.stdout)

    def test_after_phases_that_ran_twice(self):
        node, before = self.stacked()
        for phase in ('post-config', 'extra', 'test-config'):
            self.works(node.phase(phase))
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)
        self.assert_files_as_before(node)

    def test_stack_after_unstack_is_as_the_first(self):
        node, _ = self.stacked()
        conf, drop_in = node.nova_conf.read_text(), node.drop_in().read_text()
        self.works(node.unstack())
        node.new_cloud()
        before = node.cloud
        self.works(node.stack())
        self.assertEqual(conf, node.nova_conf.read_text())
        self.assertEqual(conf, node.cpu_conf.read_text())
        self.assertEqual(drop_in, node.drop_in().read_text())
        self.assertIn(TYPE, node.cloud['type'])
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_what_was_there_before_stays(self):
        theirs = {'public': False, 'access': [], 'properties': [],
                  'volumes': 7}
        node, before = self.stacked(
            role={'admin': 'r1', 'service': 'r3'},
            assigned=['admin', 'service'], type={TYPE: theirs},
            quota={'volumes': '-1', 'gigabytes': '-1'},
            metadef={name: {'protected': True}
                     for name in test_plugin.METADEFS},
            flavor={'armvm.small': {'id': '7', 'ram': '2048'}})
        self.assertEqual([node.cloud['project']['service']],
                         node.cloud['type'][TYPE]['access'])
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_public_type_needs_no_access(self):
        node, before = self.stacked(type={TYPE: {
            'public': True, 'access': [], 'properties': [], 'volumes': 0}})
        self.assertEqual(before['type'], node.cloud['type'])
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_role_that_others_have_is_only_taken_from_nova(self):
        node, before = self.stacked(role={'admin': 'r1', 'service': 'r3'})
        self.assertEqual(['admin', 'service'], node.cloud['assigned'])
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_type_with_volumes_stays_with_all_that_they_need(self):
        node, before = self.stacked()
        full = node.cloud
        full['type'][TYPE]['volumes'] = 1
        node.cloud = full
        done = self.works(node.unstack())
        self.assertIn('Delete the servers and unstack again', done.stdout)
        left = node.cloud
        for kept in ('type', 'quota', 'assigned', 'role'):
            self.assertEqual(full[kept], left[kept])
        self.assertEqual({}, left['image'])
        self.assert_files_as_before(node)

        left['type'][TYPE]['volumes'] = 0
        node.cloud = left
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_files_are_put_back_while_the_cloud_is_away(self):
        node, before = self.stacked()
        node.cloud = {**node.cloud, 'up': False}
        self.works(node.unstack())
        self.assert_files_as_before(node)
        node.cloud = {**node.cloud, 'up': True}
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_notes_of_a_cloud_that_is_gone_are_not_believed(self):
        node, _ = self.stacked()
        node.cloud = {**node.cloud, 'up': False}
        self.works(node.unstack())
        # In the next, Nova has the role from the beginning.
        node.new_cloud(role={'admin': 'r1', 'service': 'r3'},
                       assigned=['admin', 'service'])
        before = node.cloud
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)
        self.works(node.stack())
        self.works(node.unstack())
        self.assertEqual(before, node.cloud)

    def test_notes_of_files_that_are_gone_are_not_believed(self):
        node = self.node()
        self.works(node.stack())
        # DevStack writes its files anew; now it sets this itself.
        own = tree.NOVA_CONF.replace('username = nova',
                                     'username = nova\nproject_name = service')
        (node.top / 'devstack' / 'nova.conf').write_text(own)
        node.new_cloud()
        self.works(node.stack())
        self.works(node.unstack())
        self.assertEqual(own, node.nova_conf.read_text())

    def test_option_that_somebody_has_changed_stays(self):
        node, _ = self.stacked()
        for path in (node.nova_conf, node.cpu_conf):
            path.write_text(path.read_text().replace(
                'virt_type = qemu', 'virt_type = lxc'))
        self.works(node.unstack())
        said = tree.options(node.nova_conf)
        self.assertEqual('lxc', said['libvirt']['virt_type'])
        self.assertEqual('libvirt.LibvirtDriver',
                         said['DEFAULT']['compute_driver'])

    def test_files_of_others_beside_ours_stay(self):
        node, _ = self.stacked()
        theirs = node.drop_in().with_name('others.conf')
        theirs.touch()
        self.works(node.unstack())
        self.assertEqual([theirs], list(theirs.parent.iterdir()))

    def test_passwords_in_notes_are_for_the_owner_only(self):
        node = self.node()
        (node.top / 'devstack' / 'nova.conf').write_text(
            tree.NOVA_CONF.replace('username = nova', 'password = other'))
        self.works(node.stack())
        notes = node.data / tree.PLUGIN / 'undo' / 'nova.conf'
        self.assertIn('other', notes.read_text())
        self.assertEqual(0o600, notes.stat().st_mode & 0o777)


class CleanTest(UndoTestCase):

    def test_after_unstack(self):
        node, before = self.stacked()
        self.works(node.unstack())
        node.run_directory.mkdir(parents=True)
        (node.run_directory / 'nbd.sock').touch()
        node.cloud = {**node.cloud, 'up': False}
        self.works(node.clean())
        self.assertFalse(node.run_directory.exists())
        self.assertEqual({**before, 'up': False}, node.cloud)
        self.assert_files_as_before(node)
        self.assertEqual(set(), tree.files_below(node.data))
        self.assertEqual(['pip_uninstall nova-armvm'],
                         node.calls('pip_uninstall'))

    def test_without_unstack(self):
        node, before = self.stacked()
        self.works(node.clean())
        self.assertEqual(before, node.cloud)
        self.assert_files_as_before(node)
        self.assertEqual(set(), tree.files_below(node.data))

    def test_on_a_machine_that_was_never_stacked(self):
        node = self.node()
        self.works(node.clean())
        self.assertEqual(set(), tree.files_below(node.data))
        self.assertEqual([], node.command_lines())

    def test_where_settings_were_not_read(self):
        node, _ = self.stacked()
        self.works(node.run('run_phase clean\n'))
        self.assert_files_as_before(node)
        self.assertEqual(set(), tree.files_below(node.data))
