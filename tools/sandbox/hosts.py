# SPDX-License-Identifier: Apache-2.0
"""Compute hosts: each with its own libvirt in namespaces of its own.

The directories that libvirt and Ceph have fixed names for are mounted in the
host's private mount namespace, so the machine's own are not touched and the
mounts go with the last process.
"""
import os
import pathlib
import shutil
import subprocess
import uuid

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox import infrastructure
from tools.sandbox import process
from tools.sandbox import settings

#: Where each directory of the host appears inside.
_MOUNTS = {
    'var-lib-libvirt': '/var/lib/libvirt',
    'var-cache-libvirt': '/var/cache/libvirt',
    'var-log-libvirt': '/var/log/libvirt',
    'run-libvirt': '/run/libvirt',
    'etc-libvirt': '/etc/libvirt',
    'etc-ceph': '/etc/ceph',
}

_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""

# pid 1 of the namespaces: mounts, then waits to be killed.
_INIT = """\
set -e
hostname "$1"
shift
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
touch "$READY"
exec sleep infinity
"""


class ComputeHost:
    """A host that runs libvirtd, virtlogd and nova-compute."""

    def __init__(self, host: config.Host) -> None:
        self.host = host
        self._ready = host.directory / 'ready'

    def _name(self, part: str) -> str:
        return f'{self.host.name}-{part}'

    def _init(self) -> process.Daemon:
        pairs = [word for name, target in _MOUNTS.items()
                 for word in (str(self.host.directory / name), target)]
        return process.Daemon(
            self._name('init'),
            ('/usr/bin/unshare', '--mount', '--uts', '--propagation',
             'private', '/bin/sh', '-c', _INIT, 'init', self.host.name,
             *pairs), {'READY': str(self._ready)})

    def inside(self, *command: str | os.PathLike) -> tuple[str, ...]:
        """Return a command that runs in the host's namespaces."""
        pid = self._init().pid()
        if pid is None:
            raise process.SandboxError(f'{self.host.name} is not up')
        # Without --root a sandbox in a chroot would leave it here, for the
        # machine's own libvirt.
        return ('/usr/bin/nsenter', '-t', str(pid), '-m', '-u', '--root',
                '--', *map(os.fspath, command))

    def run(self, *command: str | os.PathLike, **kwargs) -> str:
        """Run a command inside to its end; return its output."""
        return process.run(*self.inside(*command),
                           log=self._name('setup'), **kwargs)

    def virsh(self, *words: str) -> str:
        """Ask the host's libvirt."""
        return self.run('/usr/bin/virsh', '-q', '-c', 'qemu:///system',
                        *words)

    def start(self) -> None:
        """Start libvirt and nova-compute."""
        self.start_libvirt()
        self.compute().start()

    def start_libvirt(self) -> None:
        """Start the namespaces and libvirt in them."""
        self._write_files()
        init = self._init()
        if init.pid() is None:
            self._ready.unlink(missing_ok=True)
            init.start()
        init.wait_for(self._ready.exists)
        self._libvirt_daemon('virtlogd').start()
        libvirtd = self._libvirt_daemon('libvirtd')
        libvirtd.start()
        libvirtd.wait_for(self._libvirt_answers)
        self._define_ceph_secret()

    def _libvirt_daemon(self, name: str) -> process.Daemon:
        etc = self.host.directory / 'etc-libvirt'
        return process.Daemon(
            self._name(name),
            self.inside(f'/usr/sbin/{name}', '--pid-file',
                        f'/run/libvirt/{name}.pid'),
            {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'},
            (etc / 'libvirtd.conf', etc / 'qemu.conf'))

    def _libvirt_answers(self) -> bool:
        return not subprocess.run(
            self.inside('/usr/bin/virsh', '-c', 'qemu:///system', 'uri'),
            capture_output=True).returncode

    def compute(self) -> process.Daemon:
        """Return the host's nova-compute."""
        conf = self.host.directory / 'nova.conf'
        return process.Daemon(
            self._name('nova-compute'),
            self.inside(config.BIN / 'python', config.BIN / 'nova-compute',
                        '--config-file', conf),
            infrastructure.path_environment(),
            (conf, config.VENV / '.nova_armvm'))

    def restart_compute(self) -> None:
        """End nova-compute and start it again; guests go on."""
        self.compute().stop()
        self.compute().start()

    def lose_power_of(self, server_id: str) -> None:
        """End a guest as a power failure does, then start nova-compute.

        Nova brings it up again (resume_guests_state_on_host_boot).
        """
        self.compute().stop()
        self.virsh('destroy', server_id)
        self.compute().start()

    def console(self, server_id: str) -> pathlib.Path:
        """Return the file with what a server's console has shown."""
        return (self.host.state_path / 'instances' / server_id /
                'console.log')

    def terminal(self, server_id: str) -> str:
        """Return the pseudo-terminal on which a server's console listens."""
        return self.virsh('ttyconsole', server_id).strip()

    def _define_ceph_secret(self) -> None:
        identity = config.credentials()['ceph_secret']
        path = self.host.directory / 'secret.xml'
        path.write_text(
            f'<secret ephemeral="no" private="no"><uuid>{identity}</uuid>'
            '<usage type="ceph"><name>client.cinder secret</name></usage>'
            '</secret>')
        # Each time: one that a cut short run has defined has no value yet.
        self.virsh('secret-define', str(path))
        key = self.host.directory / 'secret.key'
        key.touch(mode=0o600)
        key.write_text(ceph.cinder_key())
        self.virsh('secret-set-value', identity, '--file', str(key))
        key.unlink()

    def _write_files(self) -> None:
        top = self.host.directory
        for name, target in _MOUNTS.items():
            pathlib.Path(target).mkdir(parents=True, exist_ok=True)
            (top / name).mkdir(parents=True, exist_ok=True)
        etc = top / 'etc-libvirt'
        if not (etc / 'libvirtd.conf').exists():
            for name in ('qemu', 'nwfilter', 'secrets', 'storage'):
                (etc / name).mkdir(exist_ok=True)
            (etc / 'qemu.conf').write_text(_QEMU_CONF)
            (etc / 'virtlogd.conf').write_text('')
            (etc / 'libvirtd.conf').write_text(
                f'host_uuid = "{uuid.uuid4()}"\n'
                'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n')
        for path in (ceph.CONF, ceph.CINDER_KEYRING):
            target = top / 'etc-ceph' / path.name
            if not target.exists() or (
                    target.read_bytes() != path.read_bytes()):
                shutil.copy(path, target)
        settings.write_ini(top / 'nova.conf', self._nova())

    def _nova(self) -> settings.Sections:
        sections = settings.nova()
        conf = self.host.directory / 'nova.conf'
        del sections['database'], sections['api_database']
        sections['DEFAULT'].update(
            host=self.host.name, compute_driver=self.host.driver,
            state_path=self.host.state_path, use_cow_images=True,
            instances_path=self.host.state_path / 'instances',
            vif_plugging_is_fatal=False, vif_plugging_timeout=0,
            resume_guests_state_on_host_boot=True,
            reserved_host_memory_mb=0, ram_allocation_ratio=2.0,
            cpu_allocation_ratio=16.0, disk_allocation_ratio=10.0,
            rootwrap_config=config.VENV / 'etc' / 'nova' / 'rootwrap.conf')
        sections['oslo_concurrency'] = {
            'lock_path': self.host.state_path / 'locks'}
        sections['libvirt'] = {'virt_type': 'qemu', 'cpu_mode': 'none',
                               'images_type': 'qcow2'}
        for group in ('nova_sys_admin', 'privsep_osbrick',
                      'vif_plug_ovs_privileged'):
            sections[group] = settings.privsep(conf)
        if self.host is config.ARMVM:
            sections['armvm'] = {'nvram_volume_type': config.VOLUME_TYPE}
        (self.host.state_path / 'instances').mkdir(parents=True,
                                                   exist_ok=True)
        return sections

    def stop(self) -> None:
        """End every process in the host's namespaces, guests included."""
        for part in ('nova-compute', 'libvirtd', 'virtlogd'):
            process.stop_named(self._name(part))
        process.end(self._inhabitants)
        process.stop_named(self._name('init'))

    def _inhabitants(self) -> list[int]:
        """Return what sees this host's directories, even without its init."""
        mine = self.host.directory / 'run-libvirt'
        return [pid for pid in process.all_pids()
                if pid != self._init().pid() and _sees(pid, mine)]


def _sees(pid: int, directory: pathlib.Path) -> bool:
    try:
        return directory.samefile(f'/proc/{pid}/root/run/libvirt')
    except OSError:
        return False
