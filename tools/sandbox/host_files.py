# SPDX-License-Identifier: Apache-2.0
"""The files of a compute host, and where they appear inside of it."""
import pathlib
import shutil
import uuid

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox import process
from tools.sandbox import settings

#: Where each directory of the host appears inside.
MOUNTS = {
    'var-lib-libvirt': '/var/lib/libvirt',
    'var-cache-libvirt': '/var/cache/libvirt',
    'var-log-libvirt': '/var/log/libvirt',
    'run-libvirt': '/run/libvirt',
    'etc-libvirt': '/etc/libvirt',
    'etc-ceph': '/etc/ceph',
    'etc-ssh': '/etc/ssh',
    'nova': str(config.HOST_STATE),
}

#: Where the flash service has its sockets and memory; a file system of its
#: own on each host, which lasts as long as the host has power.
FLASH_DIRECTORY = '/run/armvm-nvramd'

#: Demanded by sshd; Debian makes it when the machine's own starts.
_SSHD_EMPTY = pathlib.Path('/run/sshd')

_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
migration_address = "{address}"
"""

_LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
tcp_port = "{port}"
auth_tcp = "none"
"""

_SSHD_CONF = """\
ListenAddress {address}:{port}
HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
Subsystem sftp internal-sftp
"""

_SSH_CONF = """\
Host *
    User root
    Port {port}
    IdentityFile {keys}/user
    UserKnownHostsFile {keys}/known_hosts
    StrictHostKeyChecking yes
    LogLevel ERROR
"""


def write(host: config.Host, driver: str | None = None,
          volume_type: str = config.VOLUME_TYPE) -> None:
    """Write all files of a host that are not there as they should be.

    :param driver: value of ``compute_driver``, if not the host's own.
    :param volume_type: of the volumes with UEFI variables.
    """
    for name, target in MOUNTS.items():
        pathlib.Path(target).mkdir(parents=True, exist_ok=True)
        (host.directory / name).mkdir(parents=True, exist_ok=True)
    (host.directory / 'sys').mkdir(exist_ok=True)
    pathlib.Path(FLASH_DIRECTORY).mkdir(exist_ok=True)
    _libvirt(host)
    _ssh(host)
    for path in (ceph.CONF, ceph.CINDER_KEYRING):
        target = host.directory / 'etc-ceph' / path.name
        if not target.exists() or target.read_bytes() != path.read_bytes():
            shutil.copy(path, target)
    (host.state_path / 'instances').mkdir(exist_ok=True)
    settings.write_ini(host.directory / 'nova.conf',
                       _nova(host, driver or host.driver, volume_type))


def _write(path: pathlib.Path, text: str) -> None:
    """Write a file unless it is there as it is: its daemon goes on."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _libvirt(host: config.Host) -> None:
    etc = host.directory / 'etc-libvirt'
    for name in ('qemu', 'nwfilter', 'secrets', 'storage'):
        (etc / name).mkdir(exist_ok=True)
    # libvirt refuses to migrate to a host that it takes for itself.
    identity = uuid.uuid5(uuid.UUID(config.credentials()['ceph_fsid']),
                          host.name)
    _write(etc / 'qemu.conf', _QEMU_CONF.format(address=host.address))
    _write(etc / 'virtlogd.conf', '')
    _write(etc / 'libvirtd.conf', _LIBVIRTD_CONF.format(
        uuid=identity, address=host.address, port=config.PORTS['libvirt']))


def _ssh(host: config.Host) -> None:
    """Let root go from host to host, with keys of the sandbox."""
    _SSHD_EMPTY.mkdir(mode=0o755, exist_ok=True)
    keys = config.ETC / 'ssh'
    if not (keys / 'known_hosts').exists():
        shutil.rmtree(keys, ignore_errors=True)
        keys.mkdir(mode=0o700, parents=True)
        for name in ('host', 'user'):
            process.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C',
                        f'sandbox {name}', '-f', keys / name, log='ssh')
        # Last: it says that the rest is complete.
        _write(keys / 'known_hosts', '* ' + (keys / 'host.pub').read_text())
    etc = host.directory / 'etc-ssh'
    _write(etc / 'sshd_config', _SSHD_CONF.format(
        address=host.address, port=config.PORTS['ssh'], keys=keys))
    _write(etc / 'ssh_config', _SSH_CONF.format(
        port=config.PORTS['ssh'], keys=keys))


def _nova(host: config.Host, driver: str,
          volume_type: str) -> settings.Sections:
    sections = settings.nova()
    conf = host.directory / 'nova.conf'
    del sections['database'], sections['api_database']
    sections['DEFAULT'].update(
        host=host.name, compute_driver=driver, my_ip=host.address,
        state_path=config.HOST_STATE, use_cow_images=True,
        instances_path=config.HOST_STATE / 'instances',
        vif_plugging_is_fatal=False, vif_plugging_timeout=0,
        resume_guests_state_on_host_boot=True,
        reserved_host_memory_mb=0, ram_allocation_ratio=3.0,
        cpu_allocation_ratio=32.0, disk_allocation_ratio=10.0,
        rootwrap_config=config.VENV / 'etc' / 'nova' / 'rootwrap.conf')
    sections['oslo_concurrency'] = {
        'lock_path': config.HOST_STATE / 'locks'}
    sections['libvirt'] = {
        'virt_type': 'qemu', 'cpu_mode': 'none', 'images_type': 'qcow2',
        'live_migration_inbound_addr': host.address,
        'live_migration_uri':
            f'qemu+tcp://%s:{config.PORTS["libvirt"]}/system',
        'live_migration_permit_post_copy': host.post_copy}
    # libvirt compares no CPUs of guests that are emulated.
    sections['workarounds'] = {'skip_cpu_compare_on_dest': True}
    for group in ('nova_sys_admin', 'privsep_osbrick',
                  'vif_plug_ovs_privileged'):
        sections[group] = settings.privsep(conf)
    if driver == config.ARMVM.driver:
        sections['armvm'] = {'nvram_volume_type': volume_type,
                             'image_check': 'enforce'}
    return sections
