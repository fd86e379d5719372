# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json

import fixtures
from nova import conf as nova_conf
from oslo_config import cfg
import testtools

from nova_armvm.cmd import dialogue
from nova_armvm.cmd import manage
from nova_armvm.cmd import spec
from nova_armvm import exception

_CAPABILITIES = """\
<capabilities><guest><os_type>hvm</os_type>
<arch name="aarch64"><domain type="kvm"/></arch></guest></capabilities>
"""
_DOMAIN_CAPABILITIES = """\
<domainCapabilities><domain>{kind}</domain>
<os supported="yes"><enum name="firmware">{firmware}</enum></os>
<features><gic supported="yes"><enum name="version"><value>3</value></enum>
</gic></features></domainCapabilities>
"""


class LibvirtError(Exception):
    """Stands for libvirt.libvirtError."""


class Libvirt:
    """A libvirt with machines of ARM, as the Python module."""

    libvirtError = LibvirtError

    def __init__(self, firmware='<value>efi</value>', away=False):
        self._firmware = firmware
        self._away = away
        self.opened = 0

    def open(self, uri):
        if self._away:
            raise LibvirtError('no such socket')
        self.opened += 1
        return self

    def close(self):
        self.opened -= 1

    def getCapabilities(self):
        return _CAPABILITIES

    def getDomainCapabilities(self, emulator, arch, board, kind, flags):
        return _DOMAIN_CAPABILITIES.format(kind=kind, firmware=self._firmware)


class SpecTest(testtools.TestCase):

    def run_command(self, libvirt, *words):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt', libvirt))
        self.useFixture(fixtures.MonkeyPatch(
            'sys.argv', ['armvm-manage', '--config-file', '/dev/null',
                         'spec', *words]))
        # The command reads Nova's configuration, of which there is one.
        self.addCleanup(nova_conf.CONF.reset)
        printed, complaint = io.StringIO(), io.StringIO()
        with (contextlib.redirect_stdout(printed),
              contextlib.redirect_stderr(complaint)):
            status = manage.main()
        return status, printed.getvalue(), complaint.getvalue()

    def test_capable_host(self):
        libvirt = Libvirt()
        status, printed, _ = self.run_command(libvirt)
        self.assertEqual(0, status)
        self.assertIn('GICv3', printed)
        self.assertIn('not by this firmware', printed)
        self.assertEqual(0, libvirt.opened, 'the connection is closed')

    def test_host_that_breaks_a_demand(self):
        status, printed, _ = self.run_command(Libvirt(firmware=''))
        self.assertEqual(dialogue.FOUND, status)
        self.assertIn('install it', printed)

    def test_json_has_every_row(self):
        status, printed, _ = self.run_command(
            Libvirt(), '--version', '1.0', '--format', 'json')
        rows = {row['id']: row for row in json.loads(printed)}
        self.assertEqual('met', rows['HW-1']['outcome'])
        self.assertNotIn('HW-2', rows)

    def test_host_without_libvirt(self):
        status, _, complaint = self.run_command(Libvirt(away=True))
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('no such socket', complaint)

    def test_machine_without_the_python_module(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt', None))
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.StrOpt('connection_uri'), group='libvirt')
        self.assertRaises(exception.HypervisorUnreachable, spec.look, conf,
                          '2.0')
