# SPDX-License-Identifier: Apache-2.0
"""The configuration files of all services."""
import pathlib
import shutil

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox import infrastructure

Sections = dict[str, dict[str, object]]


def write_ini(path: pathlib.Path, sections: Sections) -> None:
    """Write a configuration file; leave it alone when nothing changed."""
    lines = []
    for section, options in sections.items():
        lines.append(f'[{section}]')
        lines += [f'{name} = {value}' for name, value in options.items()]
    text = '\n'.join(lines) + '\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        path.chmod(0o600)


def user(name: str, project: str = 'service') -> dict[str, object]:
    """Return the options by which a service logs in."""
    return {'auth_type': 'password', 'auth_url': config.url('keystone', '/v3'),
            'username': name, 'password': config.credentials()['password'],
            'project_name': project, 'user_domain_name': 'Default',
            'project_domain_name': 'Default', 'region_name': config.REGION}


def _common(name: str, database: str | None = None) -> Sections:
    directory = config.STATE / name
    directory.mkdir(parents=True, exist_ok=True)
    sections: Sections = {
        'DEFAULT': {'transport_url': infrastructure.transport_url(),
                    'state_path': directory, 'debug': False,
                    'auth_strategy': 'keystone'},
        'database': {'connection': infrastructure.database_url(
            database or name), 'max_pool_size': 20},
        'keystone_authtoken': {
            **user(name), 'www_authenticate_uri': config.url('keystone'),
            'memcached_servers':
                f'{config.ADDRESS}:{config.PORTS["memcached"]}',
            'service_token_roles': 'service',
            'service_token_roles_required': True},
        'oslo_concurrency': {'lock_path': directory / 'locks'},
        'oslo_messaging_notifications': {'driver': 'noop'},
        'oslo_messaging_rabbit': {'rabbit_quorum_queue': False},
    }
    return sections


def write() -> None:
    """Write every file of the control plane."""
    _keystone()
    _glance()
    _placement()
    _neutron()
    _cinder()
    write_ini(config.ETC / 'nova' / 'nova.conf', nova())
    _copy_once(config.VENV / 'etc' / 'nova' / 'api-paste.ini',
               config.ETC / 'nova')


def _copy_once(source: pathlib.Path, directory: pathlib.Path) -> None:
    """Copy a file unless it is there as it is."""
    target = directory / source.name
    if not target.exists() or target.read_bytes() != source.read_bytes():
        shutil.copy(source, target)


def _keystone() -> None:
    sections = _common('keystone')
    del sections['keystone_authtoken']
    here = config.ETC / 'keystone'
    sections['fernet_tokens'] = {'key_repository': here / 'fernet-keys'}
    sections['credential'] = {'key_repository': here / 'credential-keys'}
    sections['cache'] = {
        'enabled': True, 'backend': 'oslo_cache.memcache_pool',
        'memcache_servers':
            f'{config.ADDRESS}:{config.PORTS["memcached"]}'}
    write_ini(here / 'keystone.conf', sections)


def _glance() -> None:
    sections = _common('glance')
    sections['DEFAULT'].update(
        enabled_backends='files:file', enabled_import_methods='[]',
        use_keystone_limits=False)
    sections['glance_store'] = {'default_backend': 'files'}
    sections['files'] = {
        'filesystem_store_datadir': config.IMAGES}
    for reserved in ('os_glance_tasks_store', 'os_glance_staging_store'):
        sections[reserved] = {
            'filesystem_store_datadir': config.STATE / 'glance' / reserved}
    sections['paste_deploy'] = {'flavor': 'keystone'}
    here = config.ETC / 'glance'
    # glance-api looks for the first name, our commands for the second.
    write_ini(here / 'glance-api.conf', sections)
    write_ini(here / 'glance.conf', sections)
    _copy_once(config.VENV / 'etc' / 'glance' / 'glance-api-paste.ini', here)


def _placement() -> None:
    sections = _common('placement')
    sections['placement_database'] = sections.pop('database')
    sections['api'] = {'auth_strategy': 'keystone'}
    write_ini(config.ETC / 'placement' / 'placement.conf', sections)


def _neutron() -> None:
    sections = _common('neutron')
    sections['DEFAULT'].update(
        core_plugin='ml2', service_plugins='',
        api_paste_config=config.VENV / 'etc' / 'neutron' / 'api-paste.ini',
        notify_nova_on_port_status_changes=False,
        notify_nova_on_port_data_changes=False)
    sections['ml2'] = {'type_drivers': 'local', 'tenant_network_types':
                       'local', 'mechanism_drivers': config.PORT_DRIVER}
    write_ini(config.ETC / 'neutron' / 'neutron.conf', sections)


def _cinder() -> None:
    sections = _common('cinder')
    etc = config.VENV / 'etc' / 'cinder'
    sections['DEFAULT'].update(
        enabled_backends=f'{config.BACKEND},{config.BLOCK_BACKEND}',
        default_volume_type='__DEFAULT__',
        api_paste_config=etc / 'api-paste.ini',
        resource_query_filters_file=etc / 'resource_filters.json',
        rootwrap_config=etc / 'rootwrap.conf', my_ip=config.ADDRESS,
        host='sandbox', glance_api_servers=config.url('glance'))
    sections[config.BACKEND] = {
        'volume_driver': 'cinder.volume.drivers.rbd.RBDDriver',
        'volume_backend_name': config.BACKEND, 'rbd_pool': config.POOL,
        'rbd_user': ceph.CINDER_USER, 'rbd_ceph_conf': ceph.CONF,
        'rbd_secret_uuid': config.credentials()['ceph_secret'],
        'rbd_exclusive_cinder_pool': True, 'report_discard_supported': True}
    sections[config.BLOCK_BACKEND] = {
        'volume_driver': 'tools.sandbox.loop_driver.LoopDriver',
        'volume_backend_name': config.BLOCK_BACKEND,
        'loop_directory': config.LOOPS}
    sections['service_user'] = {**user('cinder'),
                                'send_service_user_token': True}
    sections['nova'] = user('nova')
    path = config.ETC / 'cinder' / 'cinder.conf'
    for group in ('cinder_sys_admin', 'privsep_osbrick'):
        sections[group] = privsep(path)
    write_ini(path, sections)


def privsep(path: pathlib.Path) -> dict[str, object]:
    """Return how a service run by root starts its privileged daemon."""
    return {'helper_command':
            f'{config.BIN}/privsep-helper --config-file {path}'}


def nova() -> Sections:
    """Return what every service of Nova needs."""
    sections = _common('nova')
    sections['DEFAULT'].update(
        my_ip=config.ADDRESS, osapi_compute_workers=1,
        graceful_shutdown_timeout=5, manager_shutdown_timeout=3)
    sections['api_database'] = {
        'connection': infrastructure.database_url('nova_api'),
        'max_pool_size': 20}
    for group in ('placement', 'glance', 'neutron', 'cinder',
                  'service_user'):
        sections[group] = user('nova')
    sections['cinder']['os_region_name'] = sections['cinder'].pop(
        'region_name')
    sections['service_user']['send_service_user_token'] = True
    sections['conductor'] = {'workers': 1}
    sections['scheduler'] = {'workers': 1}
    sections['vnc'] = {'enabled': False}
    sections['key_manager'] = {'backend': 'nova.keymgr.conf_key_mgr.'
                               'ConfKeyManager', 'fixed_key': '0' * 64}
    return sections
