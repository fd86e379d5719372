# SPDX-License-Identifier: Apache-2.0
"""A machine as DevStack sees it, small enough for a test: a fixture."""
import configparser
import json
import os
import pathlib
import shlex
import stat
import subprocess
import sys

import fixtures

from tests.unit.devstack import cloud as clouds

HERE = pathlib.Path(__file__).parent
CHECKOUT = HERE.parents[2]
PLUGIN = 'nova-armvm'
PASSWORD = 'not-for-the-log'

CONTROLLER = 'keystone,n-api,n-cpu,n-cond,n-sch,g-api,c-api,c-vol,tempest'
SUBNODE = 'n-cpu,c-vol,placement-client,q-agt'

#: What DevStack writes; the processor model stands for one of x86.
NOVA_CONF = """\
[DEFAULT]
debug = True
compute_driver = libvirt.LibvirtDriver

[libvirt]
cpu_models = Nehalem
cpu_mode = custom
virt_type = kvm
live_migration_uri = qemu+ssh://stack@%s/system

[cinder]
os_region_name = RegionOne
auth_type = password
username = nova

[key_manager]
fixed_key = 00
"""
TEMPEST_CONF = """\
[DEFAULT]
debug = True

[compute]
flavor_ref_alt = 84
flavor_ref = 42

[service_available]
cinder = True
"""

_SCRIPTS = {
    'sudo': 'echo "sudo $*" >> "$CALLS"\n'
            'exec "$@"\n',
    'systemctl': 'echo "systemctl $*" >> "$CALLS"\n',
    'uname': 'echo "$FAKE_ARCH"\n',
    # Finds the driver, and builds disks of the guest.
    'python3': 'echo "ARMVM_SANDBOX=${ARMVM_SANDBOX:-} python3 $*" '
               '>> "$CALLS"\n'
               'if [[ "$1" == "-m" ]]; then\n'
               '    echo -n "disk ${*: -2:1}" > "${*: -1}"\n'
               'else\n'
               '    exit "${FAKE_IMPORT_STATUS:-0}"\n'
               'fi\n',
}

_STACK = """\
run_phase override_defaults
run_phase source
run_phase stack pre-install
run_phase stack install
cp "$TOP_DIR/nova.conf" "$NOVA_CONF"
run_phase stack post-config
cp "$NOVA_CONF" "$NOVA_CPU_CONF"
run_phase stack extra
cp "$TOP_DIR/tempest.conf" "$TEMPEST_CONFIG"
run_phase stack test-config
"""


class Tree(fixtures.Fixture):
    """Directories, files, commands and a cloud; runs what DevStack runs.

    :param services: what is enabled on this node.
    :param arch: of the machine.
    :param settings: what local.conf says.
    """

    def __init__(self, services: str = CONTROLLER, arch: str = 'x86_64',
                 **settings: str) -> None:
        self.services = services
        self.arch = arch
        self.settings = settings
        self.distribution = 'ubuntu'
        self.import_status = 0

    def _setUp(self) -> None:
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.bin = self.top / 'bin'
        self.etc = self.top / 'etc'
        self.data = self.top / 'stack' / 'data'
        self.systemd = self.etc / 'systemd'
        self.apparmor = self.etc / 'apparmor.d'
        self.run_directory = self.top / 'run' / 'armvm-nvramd'
        for path in (self.bin, self.systemd, self.etc / 'glance',
                     self.data, self.top / 'devstack' / 'files'):
            path.mkdir(parents=True)
        (self.top / 'stack' / PLUGIN).symlink_to(CHECKOUT)
        (self.top / 'devstack' / 'nova.conf').write_text(NOVA_CONF)
        (self.top / 'devstack' / 'tempest.conf').write_text(TEMPEST_CONF)
        self.nova_conf = self.etc / 'nova.conf'
        self.cpu_conf = self.etc / 'nova-cpu.conf'
        self.tempest_conf = self.etc / 'tempest.conf'
        self.calls_file = self.top / 'calls'
        self.calls_file.touch()
        self.cloud_file = self.top / 'cloud.json'
        self.new_cloud()
        self._make_commands()

    def _make_commands(self) -> None:
        scripts = {name: f'#!/bin/bash\n{text}'
                   for name, text in _SCRIPTS.items()}
        for name in ('openstack', 'glance-manage'):
            scripts[name] = (
                f'#!/bin/bash\nexec {sys.executable} -I -S -B '
                f'{HERE / "cloud.py"} {name} "$@"\n')
        for name, text in scripts.items():
            path = self.bin / name
            path.write_text(text)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    # The cloud.
    def new_cloud(self, **changes: object) -> None:
        """Replace the cloud, as DevStack does each time that it stacks."""
        self.cloud = {**clouds.fresh(), **changes}

    @property
    def cloud(self) -> clouds.State:
        return json.loads(self.cloud_file.read_text())

    @cloud.setter
    def cloud(self, state: clouds.State) -> None:
        self.cloud_file.write_text(json.dumps(state))

    # What the plugin did.
    def calls(self, beginning: str = '') -> list[str]:
        """Return what was called, with a beginning."""
        return [line for line in self.calls_file.read_text().splitlines()
                if line.startswith(beginning)]

    def command_lines(self) -> list[list[str]]:
        """Return the command lines of the commands of the cloud."""
        return [json.loads(line) for line in self.calls('[')]

    def drop_in(self, service: str = 'n-cpu') -> pathlib.Path:
        return (self.systemd / f'devstack@{service}.service.d' /
                'nova-armvm.conf')

    # Runs.
    def _variables(self) -> dict[str, object]:
        stack = self.top / 'stack'
        return {
            'TOP_DIR': self.top / 'devstack', 'DEST': stack,
            'FILES': self.top / 'devstack' / 'files', 'DATA_DIR': self.data,
            'ENABLED_SERVICES': self.services,
            'NOVA_CONF': self.nova_conf, 'NOVA_CPU_CONF': self.cpu_conf,
            'TEMPEST_CONFIG': self.tempest_conf,
            'GLANCE_CONF_DIR': self.etc / 'glance',
            'GLANCE_BIN_DIR': self.bin, 'NOVA_BIN_DIR': self.bin,
            'NOVA_STATE_PATH': self.data / 'nova',
            'KEYSTONE_SERVICE_URI': 'http://192.0.2.1/identity',
            'REGION_NAME': 'RegionOne', 'SERVICE_PASSWORD': PASSWORD,
            'SERVICE_PROJECT_NAME': 'service',
            'SERVICE_DOMAIN_NAME': 'Default',
            'CINDER_ENABLED_BACKENDS': 'lvm:lvmdriver-1,ceph:ceph',
            'LIBVIRT_TYPE': 'kvm', 'PYTHON': self.bin / 'python3',
            'TEMPEST_PLUGINS': '0',
            # What is set in local.conf comes last.
            **self.settings,
        }

    def run(self, script: str, *options: str,
            **environment: str) -> subprocess.CompletedProcess:
        """Run a piece of DevStack.

        :param options: of bash's ``set -o``.
        :param environment: what is exported, beside what always is.
        """
        lines = [f'source {HERE / "library.sh"}']
        lines += [f'{name}={shlex.quote(str(value))}'
                  for name, value in self._variables().items()]
        lines += [f'enable_plugin {PLUGIN} https://example.org/{PLUGIN}']
        lines += [f'set -o {option}' for option in options]
        return subprocess.run(
            ['bash', '-c', '\n'.join([*lines, script])], text=True,
            capture_output=True, cwd=self.top, env={
                'PATH': f'{self.bin}:/usr/bin:/bin', 'LC_ALL': 'C',
                'HOME': str(self.top), 'HERE': str(HERE),
                'CALLS': str(self.calls_file),
                'FAKE_CLOUD': str(self.cloud_file),
                'FAKE_ARCH': self.arch,
                'FAKE_DISTRIBUTION': self.distribution,
                'FAKE_IMPORT_STATUS': str(self.import_status),
                'SYSTEMD_DIR': str(self.systemd),
                'APPARMOR_DIR': str(self.apparmor),
                'ARMVM_SERVICE_DIR': str(self.run_directory),
                **environment})

    def stack(self, script: str = _STACK) -> subprocess.CompletedProcess:
        """Run all phases of stack.sh, which ends at the first failure."""
        return self.run(script, 'errexit', 'nounset', 'xtrace',
                        OS_CLOUD='devstack-admin')

    def phase(self, phase: str) -> subprocess.CompletedProcess:
        """Run one phase of stack.sh."""
        return self.stack(f'run_phase source\nrun_phase stack {phase}\n')

    def unstack(self) -> subprocess.CompletedProcess:
        """Run unstack.sh, which goes on after failures."""
        return self.run('run_phase source\nrun_phase unstack\n', 'xtrace')

    def clean(self) -> subprocess.CompletedProcess:
        """Run clean.sh, which comes with the environment of an openrc."""
        return self.run('run_phase source\nrun_phase clean\n', 'xtrace',
                        OS_USERNAME='demo', OS_PASSWORD=PASSWORD,
                        OS_AUTH_URL='http://192.0.2.1/identity')


def options(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """Return what a configuration file says, by section and option."""
    parser = configparser.RawConfigParser(default_section='none of them')
    parser.read_string(path.read_text())
    return {section: dict(parser[section]) for section in parser.sections()}


def files_below(top: pathlib.Path) -> set[str]:
    """Return the names of all files below a directory."""
    return {os.path.relpath(os.path.join(directory, name), top)
            for directory, _, names in os.walk(top) for name in names}
