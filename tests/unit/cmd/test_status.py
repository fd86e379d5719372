# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os
import subprocess
import sys
from unittest import mock

import fixtures
from oslo_upgradecheck import upgradecheck

from nova_armvm.cmd import status
from nova_armvm.host import flash_service
from nova_armvm.store import cinder
from nova_armvm.store import metadata
from tests.fixtures.cinder import fixture as cinder_fixture
from tests.fixtures.cinder import identity
from tests.unit.cmd import test_host
from tests.unit.cmd import test_nvram_audit
from tests.unit.store import test_audit

CONF = test_host.CONF
SUCCESS, WARNING, FAILURE = upgradecheck.Code


class StatusTestCase(test_host.HostTestCase):
    """A deployment in which all is well, until a test breaks something."""

    def setUp(self):
        super().setUp()
        self.set('armvm', nvram_volume_type='__DEFAULT__')
        self.cloud = test_nvram_audit.Servers()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.compute.Cloud.from_conf',
            staticmethod(lambda conf: self.cloud)))

    def results(self):
        checks = status.Checks(CONF)
        return {name: check(checks)
                for name, check in checks._upgrade_checks}

    def wrong(self):
        """Return the checks that are not content: code and details."""
        return {name: (result.code, result.details)
                for name, result in self.results().items() if result.code}

    def only(self, name, code):
        """Return the details of the one check that is not content."""
        wrong = self.wrong()
        self.assertEqual([name], list(wrong))
        self.assertEqual(code, wrong[name][0])
        return wrong[name][1]


class ChecksTest(StatusTestCase):

    def test_all_is_well(self):
        self.assertEqual({}, self.wrong())
        self.assertIn('libvirt 11.3.0, QEMU 10.0.2',
                      self.results()['libvirt and QEMU'].details)

    def test_option_with_another_value(self):
        path = self.useFixture(fixtures.TempDir()).join('nova.conf')
        with open(path, 'w', encoding='utf-8') as stream:
            stream.write('[armvm]\nnvram_default = sometimes\n')
        CONF(['--config-file', path], project='nova')
        self.assertIn('sometimes', self.only('Options', FAILURE))

    def test_another_driver(self):
        CONF.set_override('compute_driver', 'libvirt.LibvirtDriver')
        self.assertIn('libvirt.LibvirtDriver', self.only('Options', WARNING))

    def test_wrong_password(self):
        self.set('cinder', password='wrong')
        wrong = self.wrong()
        code, details = wrong['Credentials']
        self.assertEqual(FAILURE, code)
        self.assertIn('[cinder] were refused', details)
        self.assertNotIn('wrong', details)

    def test_roles_that_are_missing(self):
        self.cinder.identity.add(identity.Account(
            'nova', cinder_fixture.PASSWORD, cinder_fixture.SERVICE_PROJECT,
            'service', ('admin',)))
        wrong = self.wrong()
        for name in ('Credentials', 'Service token'):
            self.assertEqual(FAILURE, wrong[name][0])
            self.assertIn('lacks the role "service"', wrong[name][1])

    def test_service_token_is_off(self):
        self.set('service_user', send_service_user_token=False)
        self.assertIn('send_service_user_token',
                      self.only('Service token', FAILURE))

    def test_credentials_are_missing(self):
        self.set('cinder', auth_type=None)
        wrong = self.wrong()
        self.assertEqual(FAILURE, wrong['Credentials'][0])
        for name in ('Volume type', 'Quota of the service project',
                     'Stores of servers'):
            self.assertEqual(WARNING, wrong[name][0])
            self.assertIn('Not checked', wrong[name][1])

    def test_volume_type_that_cannot_hold_stores(self):
        self.cinder.store.add_type('secret', encrypted=True)
        self.set('armvm', nvram_volume_type='secret')
        self.assertIn('encrypted', self.only('Volume type', FAILURE))

    def test_volume_type_that_nobody_named(self):
        self.set('armvm', nvram_volume_type=None)
        self.assertIn('"__DEFAULT__"', self.only('Volume type', WARNING))

    def test_controller_names_no_type(self):
        self.set('armvm', nvram_volume_type=None)
        CONF.set_override('compute_driver', None)
        self.assertEqual({}, self.wrong())
        self.assertIn('"__DEFAULT__"', self.results()['Volume type'].details)

    def test_quota(self):
        for limit, code, words in ((0, FAILURE, 'no room'),
                                   (9, WARNING, 'room for 9 more')):
            with self.subTest(limit):
                self.cinder.store.quota[cinder_fixture.SERVICE_PROJECT] = (
                    limit)
                self.assertIn(words, self.only(
                    'Quota of the service project', code))

    def test_service_that_is_away_is_a_warning(self):
        self.cinder.unreachable = True
        wrong = self.wrong()
        self.assertEqual({WARNING}, {code for code, _ in wrong.values()})
        self.assertIn('could not be reached', wrong['Volume type'][1])

    def test_software_and_firmware(self):
        self.libvirt.version = 9_001_000
        self.set('armvm', firmware_descriptor_dirs=['/does/not/exist'])
        wrong = self.wrong()
        self.assertEqual(['libvirt and QEMU', 'Firmware'], list(wrong))
        self.assertEqual({FAILURE}, {code for code, _ in wrong.values()})

    def test_flash_service(self):
        self.service.error = flash_service.FlashServiceAway('away')
        self.assertIn('start armvm-nvramd',
                      self.only('Flash service', FAILURE))
        CONF.set_override('compute_driver', None)
        self.assertEqual({}, self.wrong())

    def test_controller_has_no_libvirt_and_that_is_fine(self):
        for libvirt in (None, test_host.Libvirt(away=True)):
            self.useFixture(fixtures.MonkeyPatch(
                'nova_armvm.cmd.hypervisor.libvirt', libvirt))
            CONF.set_override('compute_driver', None)
            self.assertEqual({}, self.wrong())
            self.assertIn('Not checked', self.results()['Firmware'].details)

    def test_compute_host_whose_libvirt_is_away(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt',
            test_host.Libvirt(away=True)))
        wrong = self.wrong()
        self.assertEqual(['libvirt and QEMU', 'Firmware'], list(wrong))
        self.assertEqual({WARNING}, {code for code, _ in wrong.values()})
        self.assertIn('no such socket', wrong['Firmware'][1])


class StoresTest(StatusTestCase):

    def servers(self, count):
        found = [test_audit.server(uuid=f'server-{number:02}',
                                   persistent=True)
                 for number in range(count)]
        self.cloud = test_nvram_audit.Servers(found, found)

    def test_server_whose_store_is_missing(self):
        self.servers(1)
        details = self.only('Stores of servers', FAILURE)
        self.assertIn('server-00', details)
        self.assertIn('armvm-manage nvram audit', details)

    def test_many_are_counted_and_not_all_named(self):
        self.servers(30)
        details = self.only('Stores of servers', FAILURE)
        self.assertIn('and 20 more', details)
        self.assertNotIn('server-10', details)

    def test_what_was_left_behind_is_a_warning(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.store.cinder.StoreVolumes.all_stores',
            lambda volumes: [test_audit.store()]))
        real = status.nvram_audit.look
        with mock.patch.object(
                status.nvram_audit, 'look',
                lambda volumes, cloud, now, age: real(
                    volumes, cloud, test_audit.NOW, age)):
            self.assertIn('1 volumes or attachments',
                          self.only('Stores of servers', WARNING))

    def test_nova_that_is_away_is_a_warning(self):
        def fail():
            raise status.exception.CloudUnreachable(service='Nova')
        self.cloud.servers = fail
        self.assertIn('Nova', self.only('Stores of servers', WARNING))

    def test_store_of_each_server_is_there(self):
        self.servers(1)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.store.cinder.StoreVolumes.all_stores',
            lambda volumes: [cinder.StoreVolume(
                'volume-1', 'in-use', {metadata.INSTANCE_KEY: 'server-00'},
                {'attachment': 'host-1'})]))
        self.assertEqual({}, self.wrong())


class OutputTest(StatusTestCase):

    def test_nothing_that_a_terminal_would_obey(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt',
            test_host.Libvirt(firmware='')))
        self.libvirt.version = 9_001_000
        error = test_host.test_spec.LibvirtError('\x1b[2J\x9b')

        def fail(uri):
            raise error
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt.open', fail))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = status.Checks(CONF).check()
        self.assertEqual(WARNING, code)
        self.assertIn('\\x1b[2J', printed.getvalue())
        self.assert_harmless(printed.getvalue())


class MainTest(test_host.stage.CommandTestCase):
    """As a process of its own: it parses its words once."""

    def run_main(self, *words):
        return subprocess.run(
            [sys.executable, '-m', 'nova_armvm.cmd.status', *words],
            capture_output=True, text=True, timeout=120,
            env={**os.environ, 'PYTHONWARNINGS': 'ignore'})

    def test_exit_status_is_the_worst_result(self):
        done = self.run_main('--config-file', '/dev/null', 'upgrade', 'check',
                             '--json')
        checks = json.loads(done.stdout)['checks']
        self.assertEqual(9, len(checks))
        self.assertEqual(done.returncode,
                         max(check['result'] for check in checks))
        self.assertEqual(FAILURE, done.returncode)

    def test_file_that_is_not_there(self):
        done = self.run_main('--config-file', '/does/not/exist', 'upgrade',
                             'check')
        self.assertEqual(255, done.returncode)
        self.assertIn('/does/not/exist', done.stderr)
        self.assertNotIn('Traceback', done.stderr)
