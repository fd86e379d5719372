# SPDX-License-Identifier: Apache-2.0
"""A Ceph cluster of one monitor, one manager and one OSD on a file."""
import json
import os
import shutil
import uuid

from tools.sandbox import config
from tools.sandbox import process

_OSD_BYTES = 40 * 1024 ** 3
_DATA = config.STATE / 'ceph'
CONF = config.CEPH_ETC / 'ceph.conf'
KEYRING = config.CEPH_ETC / 'ceph.client.admin.keyring'

CINDER_USER = 'cinder'
CINDER_KEYRING = config.CEPH_ETC / f'ceph.client.{CINDER_USER}.keyring'


def _settings() -> str:
    ports = config.PORTS
    mon = (f'[v2:{config.ADDRESS}:{ports["ceph-mon-v2"]},'
           f'v1:{config.ADDRESS}:{ports["ceph-mon-v1"]}]')
    return f"""[global]
fsid = {config.credentials()['ceph_fsid']}
mon initial members = a
mon host = {mon}
public addr = {config.ADDRESS}
keyring = {config.CEPH_ETC}/$cluster.$name.keyring
run dir = {config.RUN}
admin socket = {config.RUN}/$cluster-$name.$pid.asok
log file = {config.LOGS}/ceph-$name.log
crash dir = {_DATA}/crash
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = false
[mon]
mon data = {_DATA}/mon
[mgr]
mgr data = {_DATA}/mgr
mgr initial modules =
[osd]
osd data = {_DATA}/osd
osd memory target = 939524096
bluestore block size = {_OSD_BYTES}
bluestore cache autotune = false
bluestore cache size = 134217728
osd scrub load threshold = 0
"""


def command(*words: str) -> str:
    """Run ``ceph`` as the administrator."""
    return process.run('/usr/bin/ceph', '--conf', CONF, '--keyring', KEYRING,
                       '--connect-timeout', '30', *words, log='ceph-setup')


def start() -> None:
    """Make the cluster when there is none, start it, wait for its pool."""
    config.CEPH_ETC.mkdir(parents=True, exist_ok=True)
    _DATA.mkdir(parents=True, exist_ok=True)
    if not CONF.exists() or CONF.read_text() != _settings():
        CONF.write_text(_settings())
    if not (_DATA / 'mon').exists():
        _make_monitor()
    _daemon('mon', 'a').start()
    # The client waits for a quorum by itself.
    command('mon', 'stat')
    _make_and_start_manager()
    _make_and_start_osd()
    if not CINDER_KEYRING.exists():
        _make_pool()


def _daemon(kind: str, name: str) -> process.Daemon:
    return process.Daemon(
        f'ceph-{kind}', (f'/usr/bin/ceph-{kind}', '-f', '-i', name, '--conf',
                         os.fspath(CONF)), configuration=(CONF,))


def names() -> tuple[str, ...]:
    """Return the daemons in the order in which they are to end."""
    return ('ceph-osd', 'ceph-mgr', 'ceph-mon')


def pids() -> list[int]:
    """Return the processes of the cluster."""
    found = (process.recorded_pid(config.RUN / f'{name}.json')
             for name in names())
    return [pid for pid in found if pid is not None]


def _make_monitor() -> None:
    scratch = _DATA / 'monmap'
    mon_keyring = _DATA / 'mon.keyring'
    process.run('ceph-authtool', '--create-keyring', mon_keyring,
                '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *')
    process.run('ceph-authtool', '--create-keyring', KEYRING, '--gen-key',
                '-n', 'client.admin', '--cap', 'mon', 'allow *', '--cap',
                'osd', 'allow *', '--cap', 'mgr', 'allow *')
    process.run('ceph-authtool', mon_keyring, '--import-keyring', KEYRING)
    ports = config.PORTS
    process.run('monmaptool', '--create', '--clobber', '--fsid',
                config.credentials()['ceph_fsid'], '--addv', 'a',
                f'[v2:{config.ADDRESS}:{ports["ceph-mon-v2"]},'
                f'v1:{config.ADDRESS}:{ports["ceph-mon-v1"]}]', scratch)
    made = _DATA / 'mon.new'
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    process.run('ceph-mon', '--conf', CONF, '--mkfs', '-i', 'a', '--monmap',
                scratch, '--keyring', mon_keyring, '--mon-data', made)
    made.rename(_DATA / 'mon')


def _make_and_start_manager() -> None:
    keyring = config.CEPH_ETC / 'ceph.mgr.a.keyring'
    if not keyring.exists():
        (_DATA / 'mgr').mkdir(exist_ok=True)
        command('auth', 'get-or-create', 'mgr.a', 'mon', 'allow profile mgr',
                'osd', 'allow *', '-o', os.fspath(keyring))
    _daemon('mgr', 'a').start()


def _make_and_start_osd() -> None:
    data, keyring = _DATA / 'osd', config.CEPH_ETC / 'ceph.osd.0.keyring'
    if not keyring.exists():
        # What a run that was cut short has made of it is made again.
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        command('osd', 'purge-new', '0', '--yes-i-really-mean-it')
        identity = str(uuid.uuid4())
        process.run('ceph-authtool', '--create-keyring', data / 'keyring',
                    '--gen-key', '-n', 'osd.0')
        key = process.run('ceph-authtool', data / 'keyring', '-n', 'osd.0',
                          '--print-key').strip()
        process.run('/usr/bin/ceph', '--conf', CONF, '--keyring', KEYRING,
                    'osd', 'new', identity, '0', '-i', '-', log='ceph-setup',
                    stdin=json.dumps({'cephx_secret': key}))
        process.run('ceph-osd', '--conf', CONF, '-i', '0', '--mkfs',
                    '--osd-uuid', identity, '--keyring', data / 'keyring')
        keyring.write_text((data / 'keyring').read_text())
    _daemon('osd', '0').start()
    process.wait_for(
        lambda: json.loads(command('osd', 'stat', '-f', 'json'))[
            'num_up_osds'] == 1, 60, 'the OSD',
        config.LOGS / 'ceph-osd.log')


def _make_pool() -> None:
    command('osd', 'pool', 'create', config.POOL, '8')
    process.run('rbd', '--conf', CONF, '--keyring', KEYRING, 'pool', 'init',
                config.POOL)
    made = command('auth', 'get-or-create', f'client.{CINDER_USER}', 'mon',
                   'profile rbd', 'osd', f'profile rbd pool={config.POOL}',
                   'mgr', f'profile rbd pool={config.POOL}')
    CINDER_KEYRING.write_text(made)
    CINDER_KEYRING.chmod(0o600)


def cinder_key() -> str:
    """Return the key of Cinder's Ceph user, for libvirt's secret."""
    return process.run('ceph-authtool', CINDER_KEYRING, '-n',
                       f'client.{CINDER_USER}', '--print-key').strip()
