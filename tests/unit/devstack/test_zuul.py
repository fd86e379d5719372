# SPDX-License-Identifier: Apache-2.0
import re

import testtools
import yaml

from tests.unit.devstack import tree

#: What Zuul and the jobs of DevStack and Tempest that ours stand on know.
_JOB = {'name', 'parent', 'abstract', 'description', 'required-projects',
        'irrelevant-files', 'timeout', 'nodeset', 'vars'}
_VARIABLES = {'devstack_plugins', 'tempest_plugins', 'tox_envlist',
              'tempest_test_regex', 'tempest_concurrency',
              'devstack_services', 'devstack_localrc', 'devstack_local_conf'}
#: Of DevStack itself.
_DEVSTACK = {'NOVA_USE_SERVICE_TOKEN'}


class ZuulTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        stream = (tree.CHECKOUT / '.zuul.yaml').read_text()
        self.items = {'nodeset': {}, 'job': {}}
        for item in yaml.safe_load(stream):
            ((kind, content),) = item.items()
            if kind == 'project':
                self.project = content
            else:
                self.items[kind][content['name']] = content
        self.jobs = self.items['job']

    def lineage(self, name):
        """Return a job and those of ours that it inherits from."""
        while name in self.jobs:
            yield self.jobs[name]
            name = self.jobs[name]['parent']

    def variables(self, name):
        """Return the variables of a job as Zuul merges them."""
        def merged(child, parent):
            for key, value in parent.items():
                if isinstance(value, dict) and key in child:
                    merged(child[key], value)
                else:
                    child.setdefault(key, value)
            return child
        every = {}
        for job in self.lineage(name):
            merged(every, job.get('vars', {}))
        return every

    def test_both_jobs_run_for_every_change(self):
        for pipeline in ('check', 'gate'):
            self.assertEqual(
                ['nova-armvm-tempest-arm64', 'nova-armvm-tempest-emulated'],
                self.project[pipeline]['jobs'])

    def test_jobs_stand_on_tempest_with_devstack(self):
        for name in self.project['check']['jobs']:
            parents = list(self.lineage(name))
            self.assertEqual('devstack-tempest', parents[-1]['parent'])
            self.assertNotIn('abstract', parents[0])

    def test_jobs_say_only_what_zuul_and_their_parents_know(self):
        for job in self.jobs.values():
            self.assertEqual(set(), set(job) - _JOB)
            self.assertEqual(set(), set(job.get('vars', {})) - _VARIABLES)

    def test_one_runs_on_arm_and_one_emulates(self):
        labels = []
        for name in self.project['check']['jobs']:
            nodeset = self.items['nodeset'][self.jobs[name]['nodeset']]
            (node,) = nodeset['nodes']
            labels.append(node['label'])
            # Tempest's play runs on the group of this name.
            self.assertEqual([{'name': 'tempest',
                               'nodes': [node['name']]}], nodeset['groups'])
        self.assertEqual(['ubuntu-noble-arm64', 'ubuntu-noble'], labels)

    def test_plugins_are_this_project_where_zuul_puts_it(self):
        for name in self.project['check']['jobs']:
            said = self.variables(name)
            self.assertEqual({tree.PLUGIN: f'/opt/stack/{tree.PLUGIN}'},
                             said['devstack_plugins'])
            self.assertEqual([tree.PLUGIN], said['tempest_plugins'])

    def test_what_is_tested_together_is_checked_out(self):
        wanted = {f'openstack/{name}' for name in (
            'cinder', 'devstack', 'glance', 'nova', 'tempest')}
        for name in self.project['check']['jobs']:
            self.assertEqual(wanted, {
                project for job in self.lineage(name)
                for project in job.get('required-projects', ())})

    def test_regular_expression_chooses_the_tests_of_the_plugin(self):
        for name in self.project['check']['jobs']:
            said = self.variables(name)
            # The only environment of Tempest that takes an expression.
            self.assertEqual('all', said['tox_envlist'])
            chosen = re.compile(said['tempest_test_regex'])
            self.assertTrue(chosen.search(
                'nova_armvm_tempest_plugin.tests.scenario.test_moves.Test.a'))
            self.assertFalse(chosen.search('tempest.api.compute.test_x.T.a'))

    def test_every_setting_is_one_of_the_plugin(self):
        settings = (tree.CHECKOUT / 'devstack' / 'settings').read_text()
        for name in self.project['check']['jobs']:
            for setting in self.variables(name)['devstack_localrc']:
                if setting not in _DEVSTACK:
                    self.assertIn(f'{setting}=$', settings)

    def test_plugin_stacks_with_the_settings_of_each_job(self):
        for name, arch in (('nova-armvm-tempest-arm64', 'aarch64'),
                           ('nova-armvm-tempest-emulated', 'x86_64')):
            settings = {key: str(value) for key, value in self.variables(
                name)['devstack_localrc'].items()}
            node = self.useFixture(tree.Tree(arch=arch, **settings))
            done = node.stack()
            self.assertEqual(0, done.returncode, done.stderr[-2000:])
            self.assertEqual(
                'enforce',
                tree.options(node.cpu_conf)['armvm']['image_check'])
            self.assertEqual(
                arch == 'x86_64',
                tree.options(node.tempest_conf)['armvm']
                ['aarch32_image_ref'] != '')
