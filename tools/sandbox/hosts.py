# SPDX-License-Identifier: Apache-2.0
"""Compute hosts: each with its own libvirt in namespaces of its own.

The directories that libvirt and Ceph have fixed names for are mounted in the
host's private mount namespace, so the machine's own are not touched and the
mounts go with the last process.
"""
import os
import pathlib
import subprocess
from xml.etree import ElementTree

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox import host_files
from tools.sandbox import infrastructure
from tools.sandbox import network
from tools.sandbox import process

# pid 1 of the namespaces: mounts, then waits to be killed.
_INIT = """\
set -e
hostname "$1"
shift
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
# A mount of sysfs shows the network devices of who made it. In the machine's
# own Nova would not find the taps of this host, and so never remove one.
mount -t sysfs sysfs "$SYS"
mount --rbind /sys/fs "$SYS/fs"
mount --rbind "$SYS" /sys
# Lost with the host's power, as /run of a real one.
mount -t tmpfs -o mode=0755 tmpfs "$FLASH"
touch "$READY"
exec sleep infinity
"""

_PARTS = ('nova-compute', 'libvirtd', 'virtlogd', 'sshd')


class ComputeHost:
    """A host that runs libvirtd, virtlogd and nova-compute."""

    def __init__(self, host: config.Host) -> None:
        self.host = host
        self._ready = host.directory / 'ready'

    def _name(self, part: str) -> str:
        return f'{self.host.name}-{part}'

    def _init(self) -> process.Daemon:
        pairs = [word for name, target in host_files.MOUNTS.items()
                 for word in (str(self.host.directory / name), target)]
        return process.Daemon(
            self._name('init'),
            ('/usr/bin/unshare', '--mount', '--uts', '--net', '--propagation',
             'private', '/bin/sh', '-c', _INIT, 'init', self.host.name,
             *pairs), {'READY': str(self._ready),
                       'SYS': str(self.host.directory / 'sys'),
                       'FLASH': host_files.FLASH_DIRECTORY})

    def inside(self, *command: str | os.PathLike) -> tuple[str, ...]:
        """Return a command that runs in the host's namespaces."""
        pid = self._init().pid()
        if pid is None:
            raise process.SandboxError(f'{self.host.name} is not up')
        # Without --root a sandbox in a chroot would leave it here, for the
        # machine's own libvirt.
        return ('/usr/bin/nsenter', '-t', str(pid), '-m', '-u', '-n',
                '--root', '--', *map(os.fspath, command))

    def run(self, *command: str | os.PathLike, **kwargs) -> str:
        """Run a command inside to its end; return its output."""
        return process.run(*self.inside(*command),
                           log=self._name('setup'), **kwargs)

    def virsh(self, *words: str) -> str:
        """Ask the host's libvirt."""
        return self.run('/usr/bin/virsh', '-q', '-c', 'qemu:///system',
                        *words)

    def start(self) -> None:
        """Start libvirt, the flash service and nova-compute."""
        self.start_libvirt()
        if self.host.driver == config.ARMVM.driver:
            self.start_flash_service()
        self.compute().start()

    def start_libvirt(self) -> None:
        """Start the namespaces and libvirt in them."""
        host_files.write(self.host)
        init = self._init()
        anew = init.pid() is None
        if anew:
            self._ready.unlink(missing_ok=True)
            init.start()
        init.wait_for(self._ready.exists)
        network.connect(self.host, init.pid(), anew)
        self._sshd().start()
        self._libvirt_daemon('virtlogd').start()
        libvirtd = self._libvirtd()
        libvirtd.start()
        libvirtd.wait_for(self._libvirt_answers)
        self._define_ceph_secret()

    def is_up(self) -> bool:
        """Tell whether the host has power."""
        return self._init().pid() is not None

    def restart_libvirtd(self) -> None:
        """End libvirtd and start it again; guests go on."""
        self._libvirtd().stop()
        libvirtd = self._libvirtd()
        libvirtd.start()
        libvirtd.wait_for(self._libvirt_answers)

    def _libvirtd(self) -> process.Daemon:
        # The other host's comes in by TCP for a live migration.
        return self._libvirt_daemon('libvirtd', '--listen')

    def _sshd(self) -> process.Daemon:
        """Return the host's sshd, over which Nova copies disks."""
        conf = self.host.directory / 'etc-ssh' / 'sshd_config'
        return process.Daemon(
            self._name('sshd'),
            self.inside('/usr/sbin/sshd', '-D', '-e', '-f', conf),
            {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'}, (conf,))

    def _libvirt_daemon(self, name: str, *options: str) -> process.Daemon:
        etc = self.host.directory / 'etc-libvirt'
        return process.Daemon(
            self._name(name),
            self.inside(f'/usr/sbin/{name}', '--pid-file',
                        f'/run/libvirt/{name}.pid', *options),
            {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'},
            (etc / 'libvirtd.conf', etc / 'qemu.conf'))

    def _libvirt_answers(self) -> bool:
        return not subprocess.run(
            self.inside('/usr/bin/virsh', '-c', 'qemu:///system', 'uri'),
            capture_output=True).returncode

    def compute(self) -> process.Daemon:
        """Return the host's nova-compute."""
        conf = self.host.directory / 'nova.conf'
        environment = infrastructure.path_environment()
        program = ('-m', 'tools.sandbox.faults.compute')
        if os.environ.get(config.STEPS_VARIABLE):
            environment['PYTHONPATH'] = str(config.CHECKOUT)
        else:
            program = (str(config.BIN / 'nova-compute'),)
        return process.Daemon(
            self._name('nova-compute'),
            self.inside(config.BIN / 'python', *program, '--config-file',
                        conf),
            environment, (conf, config.VENV / '.nova_armvm'))

    def flash_service(self) -> process.Daemon:
        """Return the service that guests of this driver have flash from."""
        return process.Daemon(
            self._name('armvm-nvramd'),
            self.inside(config.BIN / 'armvm-nvramd', '--directory',
                        host_files.FLASH_DIRECTORY, '--state',
                        config.HOST_STATE / 'armvm' / 'nvramd'),
            infrastructure.path_environment(),
            (config.VENV / '.nova_armvm',))

    def start_flash_service(self) -> None:
        """Start the flash service and wait until it can be asked."""
        service = self.flash_service()
        service.start()
        # As it is seen from outside of the host.
        socket = pathlib.Path(
            f'/proc/{self._init().pid()}/root{host_files.FLASH_DIRECTORY}',
            'control', 'control.sock')
        service.wait_for(socket.exists)

    def restart_compute(self) -> None:
        """End nova-compute and start it again; guests go on."""
        self.compute().stop()
        self.compute().start()

    def use_driver(self, driver: str) -> None:
        """Start nova-compute again with another driver; guests go on."""
        self.compute().stop()
        host_files.write(self.host, driver=driver)
        if driver == config.ARMVM.driver:
            self.start_flash_service()
        else:
            # It has volumes open that nobody needs here any more.
            self.flash_service().stop()
        self.compute().start()

    def use_volume_type(self, volume_type: str) -> None:
        """Start nova-compute again with another type for new stores."""
        self.compute().stop()
        host_files.write(self.host, volume_type=volume_type)
        self.compute().start()

    def nvram_of(self, server_id: str) -> tuple[str, str]:
        """Return kind and source of the flash that a guest runs with."""
        nvram = ElementTree.fromstring(
            self.virsh('dumpxml', server_id)).find('os/nvram')
        source = nvram.find('source')
        return nvram.get('type'), source.get('dev') or source.get('name')

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

    def qemu_pid(self, server_id: str) -> int:
        """Return the process of a guest."""
        name = self.virsh('domname', server_id).strip()
        return int((self.host.directory / 'run-libvirt' / 'qemu' /
                    f'{name}.pid').read_text())

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

    def stop(self) -> None:
        """End every process in the host's namespaces, guests included."""
        for part in _PARTS:
            process.stop_named(self._name(part))
        flash = process.Daemon(self._name('armvm-nvramd'), ())
        process.end(lambda: sorted(
            set(self._inhabitants()).difference(flash.processes())))
        # Last: guests write to it.
        flash.stop()
        process.end(self._inhabitants)
        process.stop_named(self._name('init'))

    def kill(self) -> None:
        """End everything at once, guests included, as a loss of power does.

        What the processes have left on disk stays as it is.
        """
        process.end(self._inhabitants)
        self.stop()

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
