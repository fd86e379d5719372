# SPDX-License-Identifier: Apache-2.0
"""What the tests find in the cloud: images, a network, tempest.conf."""
import dataclasses
import pathlib

from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import process
from tools.sandbox import resources
from tools.sandbox import settings

#: Where Tempest runs; holds its configuration, results and log.
HOME = config.STATE / 'tempest'
CONF = HOME / 'tempest.conf'

_NETWORK = 'shared-leads-nowhere'
_OURS = {'trait:CUSTOM_ARMVM': 'required'}
#: For every step of Nova: the guests are emulated, two at a time.
_PATIENCE = 300


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """UUIDs of what was made, for tempest.conf."""

    image: str
    rescue_image: str
    aarch32_image: str
    flavor: str
    larger_flavor: str


def make() -> Surroundings:
    """Make what is missing, and delete servers that a cut short run left."""
    admin = resources.connect()
    _delete_left_over(admin)
    if admin.network.find_network(_NETWORK) is None:
        made = admin.network.create_network(name=_NETWORK, is_shared=True)
        admin.network.create_subnet(
            network_id=made.id, ip_version=4, cidr='203.0.113.0/24',
            enable_dhcp=False)

    def upload(disk: image.Disk, properties: dict[str, str]) -> str:
        return cloud.upload(admin, disk, {**_OURS, **properties}, 'public')

    def flavor(name: str) -> str:
        return admin.compute.find_flavor(name).id
    return Surroundings(
        upload(image.UNATTENDED, {}), upload(image.UNATTENDED_RESCUE, {}),
        upload(image.UNATTENDED_32, {
            'hw_armvm_execution_state': 'aarch32',
            'trait:CUSTOM_ARMVM_AARCH32': 'required'}),
        flavor(resources.FLAVOR), flavor(resources.LARGER_FLAVOR))


def _delete_left_over(admin) -> None:
    """Delete servers of earlier runs: they take the machine's time."""
    def none_left() -> bool:
        left = list(admin.compute.servers(all_projects=True,
                                          name='^tempest-'))
        for server in left:
            admin.compute.delete_server(server, ignore_missing=True)
        return not left
    process.wait_for(none_left, _PATIENCE, 'the end of old servers', pause=2)


def write(made: Surroundings) -> pathlib.Path:
    """Write tempest.conf; return where it is."""
    HOME.mkdir(parents=True, exist_ok=True)
    settings.write_ini(CONF, {**_of_the_cloud(made), **_of_ours(made)})
    return CONF


def _of_the_cloud(made: Surroundings) -> settings.Sections:
    """Return what Tempest has to know of any cloud."""
    return {
        'DEFAULT': {'log_file': HOME / 'tempest.log', 'debug': False},
        'oslo_concurrency': {'lock_path': HOME / 'locks'},
        'auth': {
            'admin_username': 'admin', 'admin_project_name': 'admin',
            'admin_password': config.credentials()['password'],
            'admin_domain_name': 'Default', 'tempest_roles': 'member',
            'use_dynamic_credentials': True,
            # There are no routers here.
            'create_isolated_networks': False},
        'identity': {
            'uri_v3': config.url('keystone', '/v3'), 'auth_version': 'v3',
            'region': config.REGION, 'v3_endpoint_type': 'public'},
        'service_available': {'swift': False, 'horizon': False},
        'validation': {'run_validation': False},
        'network': {'build_timeout': _PATIENCE},
        'network-feature-enabled': {'floating_ips': False},
        'volume': {'build_timeout': _PATIENCE, 'region': config.REGION},
        'volume-feature-enabled': {'backup': False},
        'compute': {
            'region': config.REGION,
            'image_ref': made.image, 'image_ref_alt': made.rescue_image,
            'flavor_ref': made.flavor, 'flavor_ref_alt': made.larger_flavor,
            'fixed_network_name': _NETWORK, 'min_compute_nodes': 2,
            'max_microversion': 'latest',
            'build_timeout': _PATIENCE},
        'compute-feature-enabled': {
            'resize': True, 'vnc_console': False, 'config_drive': False,
            'metadata_service': False,
            'block_migration_for_live_migration': True},
    }


def _of_ours(made: Surroundings) -> settings.Sections:
    """Return what the plugin has to know."""
    power = (f'/usr/bin/env -C {config.CHECKOUT} {config.BIN}/python -m '
             'tools.sandbox.tempest.power')
    return {'armvm': {
        'image_ref': made.image, 'image_alt_ref': made.rescue_image,
        'aarch32_image_ref': made.aarch32_image, 'gic_versions': '2,3',
        'hosts': 2, 'evacuation': True,
        'host_down_command': f'{power} down {{host}}',
        'host_up_command': f'{power} up {{host}}'}}
