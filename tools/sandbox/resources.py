# SPDX-License-Identifier: Apache-2.0
"""Users, projects, endpoints, quotas and types: once a sandbox's life.

Runs in the virtual environment, in one process with one session.
"""
import openstack
from openstack import exceptions

from tools.sandbox import config

SERVICE_USERS = ('nova', 'cinder', 'glance', 'placement', 'neutron')

_ENDPOINTS = {
    'glance': ('image', ''),
    'placement': ('placement', ''),
    'neutron': ('network', ''),
    'cinder': ('block-storage', '/v3/%(project_id)s'),
    'nova': ('compute', '/v2.1'),
}
#: Names of service types under which a client of ours looks for Cinder.
_CINDER_TYPES = ('block-storage', 'volumev3')

FLAVOR, LARGER_FLAVOR = 'armvm.small', 'armvm.medium'
#: Memory of each in MiB.
_FLAVORS = {FLAVOR: 512, LARGER_FLAVOR: 640}


def connect(user: str = 'admin', project: str = 'admin'):
    """Return a connection as a user of the sandbox."""
    return openstack.connect(
        auth_url=config.url('keystone', '/v3'), username=user,
        password=config.credentials()['password'], project_name=project,
        user_domain_name='Default', project_domain_name='Default',
        region_name=config.REGION, identity_api_version='3',
        compute_default_microversion='2.90', load_yaml_config=False,
        load_envvars=False)


def make() -> None:
    """Make what is missing."""
    cloud = connect()
    _identities(cloud)
    _catalog(cloud)
    # A new session: the first had no catalog entries to work with.
    cloud = connect()
    _volume_types(cloud)
    _quota(cloud)
    for name, memory in _FLAVORS.items():
        if cloud.compute.find_flavor(name) is None:
            cloud.compute.create_flavor(name=name, vcpus=1, ram=memory,
                                        disk=1)


def _project(cloud, name: str):
    return (cloud.identity.find_project(name) or
            cloud.identity.create_project(name=name, domain_id='default'))


def _identities(cloud) -> None:
    roles = {name: cloud.identity.find_role(name) or
             cloud.identity.create_role(name=name)
             for name in ('admin', 'member', 'reader', 'service')}
    service = _project(cloud, 'service')
    for name in SERVICE_USERS:
        user = _user(cloud, name)
        for role in ('admin', 'service'):
            cloud.identity.assign_project_role_to_user(
                service, user, roles[role])
    tenant = _project(cloud, config.TENANT)
    user = _user(cloud, config.TENANT)
    for role in ('member', 'reader'):
        cloud.identity.assign_project_role_to_user(tenant, user, roles[role])


def _user(cloud, name: str):
    return cloud.identity.find_user(name) or cloud.identity.create_user(
        name=name, password=config.credentials()['password'],
        domain_id='default')


def _catalog(cloud) -> None:
    known = {service.type for service in cloud.identity.services()}
    for name, (kind, path) in _ENDPOINTS.items():
        for each in (_CINDER_TYPES if name == 'cinder' else (kind,)):
            if each in known:
                continue
            service = cloud.identity.create_service(name=name, type=each)
            for interface in ('public', 'internal'):
                cloud.identity.create_endpoint(
                    service_id=service.id, interface=interface,
                    region_id=config.REGION, url=config.url(name, path))


def _volume_types(cloud) -> None:
    service = cloud.identity.find_project('service')
    for name, backend in ((config.VOLUME_TYPE, config.BACKEND),
                          (config.BLOCK_VOLUME_TYPE, config.BLOCK_BACKEND)):
        if cloud.block_storage.find_type(name) is None:
            made = cloud.block_storage.create_type(
                name=name, is_public=False,
                extra_specs={'volume_backend_name': backend})
            cloud.block_storage.add_type_access(made, service.id)
    cloud.block_storage.update_quota_set(service, volumes=-1, gigabytes=-1)


def _quota(cloud) -> None:
    """Let the ordinary user have as many servers as the tools want."""
    tenant = cloud.identity.find_project(config.TENANT)
    cloud.compute.update_quota_set(tenant, instances=-1, cores=-1, ram=-1)


def make_zones() -> None:
    """Put each compute host into its zone."""
    cloud = connect()
    there = {found.name: found for found in cloud.compute.aggregates()}
    for host in config.HOSTS:
        if host.zone not in there:
            there[host.zone] = cloud.compute.create_aggregate(
                name=host.zone, availability_zone=host.zone)
        zone = there[host.zone]
        if host.name in (zone.hosts or ()):
            continue
        try:
            cloud.compute.add_host_to_aggregate(zone, host.name)
        except exceptions.ConflictException:
            # A run that was cut short has done it.
            continue


if __name__ == '__main__':
    make()
