# SPDX-License-Identifier: Apache-2.0
import json
import os
from unittest import mock

import fixtures
from nova import conf as nova_conf

from nova_armvm.cmd import dialogue
from nova_armvm.cmd import host
from nova_armvm.cmd import hypervisor
from nova_armvm import conf as armvm_conf
from nova_armvm import exception
from nova_armvm.host import flash_service
from tests.fixtures.cinder import fixture as cinder_fixture
from tests.fixtures import firmware
from tests.unit.cmd import stage
from tests.unit.cmd import test_spec

CONF = nova_conf.CONF


class Libvirt(test_spec.Libvirt):
    """A libvirt that tells its version."""

    version = 11_003_000

    def getLibVersion(self):
        return self.version

    def getVersion(self):
        return 10_000_002


class FlashService:
    """The flash service of the host.

    :ivar error: raised instead of an answer.
    :ivar rbd: it can open RBD images.
    """

    error, rbd = None, True

    def hello(self, timeout=None):
        if self.error is not None:
            raise self.error
        return flash_service.Greeting(1, 4711, 3, self.rbd)


class HostTestCase(stage.CommandTestCase):
    """A host on which everything is there, until a test takes it away."""

    def setUp(self):
        super().setUp()
        armvm_conf.register_opts(CONF)
        self.cinder = self.useFixture(cinder_fixture.CinderFixture())
        self.firmware = self.useFixture(firmware.FirmwareFixture())
        self.libvirt = Libvirt()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt', self.libvirt))
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.virt.boot_order.libvirt_qemu', object()))
        self.service = FlashService()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.host.flash_service.FlashService',
            lambda directory: self.service))
        self.set('armvm', firmware_descriptor_dirs=[self.firmware.directory])
        CONF.set_override('compute_driver', 'armvm.ArmVMLibvirtDriver')
        CONF([], project='nova', default_config_files=[])

    def set(self, group, **options):
        for name, value in options.items():
            CONF.set_override(name, value, group)

    def report(self):
        return host.look(CONF)

    def problem(self):
        problem, = self.report().problems
        self.assert_harmless(host.as_table(self.report()))
        return problem


class LookTest(HostTestCase):

    def test_nothing_is_missing(self):
        report = self.report()
        self.assertEqual((), report.problems)
        self.assertEqual(('11.3.0', '10.0.2'), (report.libvirt, report.qemu))
        self.assertEqual(0, self.libvirt.opened, 'the connection is closed')

    def test_table_tells_what_there_is(self):
        shown = host.as_table(self.report())
        for words in ('GIC', 'aarch64', '40-secure-aarch64.json',
                      'enrolled keys', str(firmware.FLASH_SIZE),
                      'CUSTOM_ARMVM_GIC_V3', '__DEFAULT__',
                      'flash service 1 (with RBD)',
                      'Nothing is missing.'):
            self.assertIn(words, shown)
        self.assertNotIn('x86_64', shown)

    def test_programs_get_the_same(self):
        found = json.loads(host.as_json(self.report()))
        self.assertEqual(['3'], found['machines'][0]['gic_versions'])
        self.assertEqual('aarch64', found['machines'][0]['execution_state'])
        self.assertEqual({firmware.FLASH_SIZE},
                         {each['flash_size'] for each in found['firmware']})
        self.assertTrue(found['traits']['CUSTOM_ARMVM'])
        self.assertEqual(1000, found['stores_left'])
        self.assertEqual({'version': 1, 'rbd': True, 'exports': 3},
                         found['flash_service'])

    def test_firmware_whose_files_are_gone(self):
        for each in self.firmware.known:
            os.unlink(each.template)
        self.assertIn('No firmware for aarch64', self.problem())
        self.assertIn('not installed', host.as_table(self.report()))

    def test_template_that_cannot_be_read_is_no_crash(self):
        with mock.patch.dict(os.environ, PATH='/does/not/exist'):
            report = self.report()
        self.assertIn('qemu-img', ' '.join(report.problems))
        self.assertIsNone(report.firmware[0].flash_size)

    def test_libvirt_that_is_too_old(self):
        self.libvirt.version = 9_001_000
        self.assertIn('9.2.0', self.problem())

    def test_host_without_machines_of_arm(self):
        self.libvirt._firmware = ''
        self.assertIn('qemu-system-arm', self.problem())
        self.assertFalse(self.report().traits['CUSTOM_ARMVM'])

    def test_another_driver(self):
        CONF.set_override('compute_driver', 'libvirt.LibvirtDriver')
        self.assertIn('compute_driver is libvirt.LibvirtDriver',
                      self.problem())

    def test_options_that_are_missing(self):
        self.set('cinder', auth_type=None)
        self.assertIn('[cinder] auth_type', self.problem())
        self.assertIsNone(self.report().storage)

    def test_volume_type(self):
        self.cinder.store.add_type('secret', encrypted=True)
        self.cinder.store.add_type('shared',
                                   extra_specs={'multiattach': '<is> True'})
        for name, words in (('secret', 'encrypted'),
                            ('shared', 'multi-attach'),
                            ('absent', 'unknown')):
            with self.subTest(name):
                self.set('armvm', nvram_volume_type=name)
                self.assertIn(words, self.problem())

    def test_quota_without_room(self):
        self.cinder.store.quota[cinder_fixture.SERVICE_PROJECT] = 0
        self.assertIn('openstack quota set', self.problem())

    def test_flash_service_that_does_not_answer(self):
        self.service.error = flash_service.FlashServiceAway('away')
        self.assertIn('start armvm-nvramd', self.problem())
        self.assertIn('no flash service', host.as_table(self.report()))
        self.assertIsNone(json.loads(host.as_json(self.report()))[
            'flash_service'])

    def test_flash_service_of_another_release(self):
        self.service.error = flash_service.Incompatible('version 2')
        self.assertIn('another release', self.problem())

    def test_flash_service_that_cannot_open_the_volumes(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.virt.preflight._RBD_PROTOCOLS', ('local',)))
        self.service.rbd = False
        self.assertIn('python3-rados', self.problem())

    def test_cinder_that_is_away(self):
        self.cinder.unreachable = True
        self.assertIn('could not be reached', self.problem())

    def test_no_libvirt(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt', None))
        self.assertRaises(exception.HypervisorUnreachable, self.report)


class CommandTest(stage.CommandTestCase):

    def run_host(self, *words, problems=()):
        report = host.Report('host-1', '11.3.0', '10.0.2', {}, (), {}, None,
                             problems)
        with mock.patch.object(host, 'look', lambda conf: report):
            return self.run_command('host', *words)

    def test_exit_status_tells_whether_something_is_missing(self):
        for words in ((), ('-f', 'json')):
            self.assertEqual(dialogue.DONE, self.run_host(*words)[0])
            status, printed, _ = self.run_host(
                *words, problems=('There is no firmware.',))
            self.assertEqual(dialogue.FOUND, status)
            self.assertIn('There is no firmware.', printed)

    def test_problems_are_harmless(self):
        # run_command() fails for what a terminal would obey.
        self.assertIn('\\x1b', self.run_host(problems=('\x1b[2J',))[1])


class VersionTest(stage.CommandTestCase):

    def test_numbers_of_libvirt_are_taken_apart(self):
        for number, wanted in ((11_003_000, (11, 3, 0)), (9_002_001,
                                                          (9, 2, 1))):
            self.assertEqual(wanted, hypervisor.version(number))
        self.assertEqual('11.3.0', hypervisor.words((11, 3, 0)))
