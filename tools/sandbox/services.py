# SPDX-License-Identifier: Apache-2.0
"""Keystone, Glance, Placement, Neutron, Cinder and Nova's control plane."""
from collections.abc import Callable
from concurrent import futures
import pathlib
import urllib.error
import urllib.request

from tools.sandbox import config
from tools.sandbox import infrastructure
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import settings

#: WSGI application of each API, and how many threads it has.
_APIS = {
    'keystone': ('keystone.wsgi.api', 4),
    'glance': ('glance.wsgi.api', 8),
    'placement': ('placement.wsgi.api', 4),
    'neutron': ('neutron.wsgi.api', 4),
    'cinder': ('cinder.wsgi.api', 8),
    'nova': ('nova.wsgi.osapi_compute', 8),
}

_WORKERS = {
    'nova-conductor': ('nova-conductor', 'nova'),
    'nova-scheduler': ('nova-scheduler', 'nova'),
    'cinder-scheduler': ('cinder-scheduler', 'cinder'),
    'cinder-volume': ('cinder-volume', 'cinder'),
}


def names() -> tuple[str, ...]:
    """Return the daemons in the order in which they are to end."""
    return (*reversed(_WORKERS), *(f'{api}-api' for api in reversed(_APIS)))


def start_apis() -> None:
    """Write the configuration, make the databases, start the APIs."""
    settings.write()
    _once('databases', _make_databases)
    for name in _APIS:
        _api(name).start()
    for name in _APIS:
        _api(name).wait_for(_answers(name), 90)


def stop(daemon: str) -> None:
    """End one daemon, which others miss until start()."""
    process.stop_named(daemon)


def start(daemon: str) -> None:
    """Start a daemon again; an API answers afterwards."""
    if daemon in _WORKERS:
        _worker(daemon).start()
        return
    name = daemon.removesuffix('-api')
    _api(name).start()
    _api(name).wait_for(_answers(name), 90)


def start_workers() -> None:
    """Start what works behind the APIs.

    Nova's log in to Keystone as they start and end when they are refused, so
    their users have to exist.
    """
    for name in _WORKERS:
        _worker(name).start()


def _environment(service: str) -> dict[str, str]:
    """Say where the configuration is, in each service's own way."""
    directory = str(config.ETC / service)
    upper = service.upper()
    where = ({f'OS_{upper}_CONFIG_FILES': f'{directory}/{service}.conf'}
             if service in ('keystone', 'neutron') else
             {f'OS_{upper}_CONFIG_DIR': directory})
    # Drivers of ours: for block devices and for network ports.
    ours = ({'PYTHONPATH': str(config.CHECKOUT)}
            if service in ('cinder', 'neutron') else {})
    return {**infrastructure.path_environment(), **where, **ours}


def _api(name: str) -> process.Daemon:
    module, threads = _APIS[name]
    command = [
        config.BIN / 'uwsgi', '--http-socket',
        f'{config.ADDRESS}:{config.PORTS[name]}', '--module',
        f'{module}:application', '--virtualenv', config.VENV,
        '--enable-threads', '--lazy-apps', '--master', '--need-app',
        '--die-on-term', '--processes', '1', '--threads', str(threads),
        '--buffer-size', '65535',
        # Nova uploads snapshots in chunks; uWSGI refuses those of 1 MiB and
        # more by default, and Glance then answers 500.
        '--chunked-input-limit', str(64 * 1024 ** 2),
        # uWSGI closes each connection; clients that are not told so meet
        # resets.
        '--add-header', 'Connection: close', '--listen', '64',
        '--thunder-lock', '--disable-logging', '--procname-prefix',
        f'sandbox-{name} ']
    if name == 'cinder':
        command += ['--pyargv',
                    f'--config-file={config.ETC}/cinder/cinder.conf']
    return process.Daemon(f'{name}-api', command, _environment(name),
                          (config.ETC / name,))


def _worker(name: str) -> process.Daemon:
    program, service = _WORKERS[name]
    command = (config.BIN / 'python', config.BIN / program, '--config-file',
               config.ETC / service / f'{service}.conf')
    if name == 'cinder-volume':
        # To move a volume to another back end it opens volumes by os-brick,
        # which looks for keys of Ceph there and nowhere else.
        command = ('/usr/bin/unshare', '--mount', '--propagation', 'private',
                   '/bin/sh', '-c', 'mount --bind "$0" /etc/ceph && exec "$@"',
                   config.CEPH_ETC, *command)
    return process.Daemon(name, command, _environment(service),
                          (config.ETC / service,))


def _answers(name: str) -> Callable[[], bool]:
    """Return a condition: the API answers, with whatever status."""
    def check() -> bool:
        try:
            urllib.request.urlopen(config.url(name, '/'), timeout=30)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True
    return check


def _once(what: str, work: Callable[[], None]) -> None:
    """Do what a sandbox needs once in its life, or again if cut short."""
    stamp = config.STATE / f'.{what}'
    if not stamp.exists():
        with progress.step(what):
            work()
        stamp.touch()


def _run(service: str, program: str, *arguments: str) -> None:
    process.run(config.BIN / program, '--config-file',
                config.ETC / service / f'{service}.conf', *arguments,
                log=f'{service}-setup', environment=_environment(service))


def _make_databases() -> None:
    infrastructure.make_empty_databases()
    with futures.ThreadPoolExecutor(max_workers=3) as pool:
        works = [pool.submit(work) for work in (
            _make_nova_databases, _make_neutron_database, _make_keystone,
            lambda: _run('cinder', 'cinder-manage', 'db', 'sync'),
            lambda: _run('glance', 'glance-manage', 'db_sync'),
            lambda: _run('placement', 'placement-manage', 'db', 'sync'))]
        for work in works:
            work.result()


def _make_nova_databases() -> None:
    _run('nova', 'nova-manage', 'api_db', 'sync')
    _run('nova', 'nova-manage', 'cell_v2', 'map_cell0',
         '--database_connection', infrastructure.database_url('nova_cell0'))
    cells = process.run(
        config.BIN / 'nova-manage', '--config-file',
        config.ETC / 'nova' / 'nova.conf', 'cell_v2', 'list_cells',
        log='nova-setup', environment=_environment('nova'))
    if 'cell1' not in cells:
        _run('nova', 'nova-manage', 'cell_v2', 'create_cell', '--name=cell1')
    _run('nova', 'nova-manage', 'db', 'sync')


def _make_neutron_database() -> None:
    _run('neutron', 'neutron-db-manage', 'upgrade', 'heads')


def _make_keystone() -> None:
    _run('keystone', 'keystone-manage', 'db_sync')
    for directory in ('fernet-keys', 'credential-keys'):
        pathlib.Path(config.ETC / 'keystone' / directory).mkdir(
            parents=True, exist_ok=True)
    _run('keystone', 'keystone-manage', 'fernet_setup', '--keystone-user',
         'root', '--keystone-group', 'root')
    _run('keystone', 'keystone-manage', 'credential_setup',
         '--keystone-user', 'root', '--keystone-group', 'root')
    address = config.url('keystone', '/v3')
    _run('keystone', 'keystone-manage', 'bootstrap', '--bootstrap-password',
         config.credentials()['password'], '--bootstrap-region-id',
         config.REGION, '--bootstrap-public-url', address,
         '--bootstrap-internal-url', address, '--bootstrap-admin-url',
         address)


def discover_hosts() -> None:
    """Map new compute hosts to the cell."""
    _run('nova', 'nova-manage', 'cell_v2', 'discover_hosts')
