# SPDX-License-Identifier: Apache-2.0
"""The servers of the cloud, as Nova's and Glance's APIs tell an operator."""
from collections.abc import Iterator
import typing as ty
import urllib.parse

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading
from oslo_config import cfg

from nova_armvm import exception
from nova_armvm.profile.handlers import nvram
from nova_armvm.store import audit

#: Shows the flavor's extra specs and servers of cells that are down.
_MICROVERSION = '2.69'
_PAGE = 1000


def session_from_conf(conf: cfg.ConfigOpts) -> ty.Any:
    """Log in with what nova.conf says under [cinder].

    :raises keystoneauth1.exceptions.ClientException: it cannot.
    """
    auth = loading.load_auth_from_conf_options(conf, 'cinder')
    return loading.load_session_from_conf_options(conf, 'cinder', auth=auth)


def nova_adapter(conf: cfg.ConfigOpts, session: ty.Any) -> adapter.Adapter:
    """Return Nova's API."""
    return adapter.Adapter(session, service_type='compute',
                           region_name=conf.cinder.os_region_name,
                           default_microversion=_MICROVERSION)


class Cloud:
    """Nova and Glance with the credentials of [cinder]."""

    def __init__(self, nova: adapter.Adapter,
                 glance: adapter.Adapter) -> None:
        """Prepare; nothing is asked yet.

        :param nova: with the microversion of from_conf().
        """
        self._nova = nova
        self._glance = glance

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> 'Cloud':
        """Log in with what nova.conf says under [cinder].

        :raises keystoneauth1.exceptions.ClientException: it cannot.
        """
        session = session_from_conf(conf)
        return cls(
            nova_adapter(conf, session),
            adapter.Adapter(session, service_type='image',
                            region_name=conf.cinder.os_region_name,
                            min_version='2', max_version='2.latest'))

    def servers(self) -> dict[str, audit.Server]:
        """Return every server by uuid: a call for each thousand.

        :raises CloudUnreachable: a page is missing.
        """
        asking = self._images_that_ask()
        return {
            found['id']: _server(found, asking) for found in self._pages(
                self._nova, '/servers/detail', 'servers',
                {'all_tenants': '1'})}

    def server(self, uuid: str) -> audit.Server | None:
        """Ask for one server; None only if Nova says that there is none.

        :raises CloudUnreachable: Nova did not say.
        """
        try:
            answer = self._nova.get(f'/servers/{uuid}')
        except keystone_errors.NotFound as error:
            # Not that of a proxy that does not find Nova.
            if 'itemNotFound' in (error.response.text or ''):
                return None
            raise exception.CloudUnreachable(service='Nova') from error
        except keystone_errors.ClientException as error:
            raise exception.CloudUnreachable(service='Nova') from error
        return _server(answer.json()['server'], set())

    def _images_that_ask(self) -> set[str]:
        """Return the ids of images that ask for persistent variables."""
        name = nvram.PROPERTY.image_name
        return {image['id'] for image in self._pages(
            self._glance, '/images', 'images', {name: nvram.PERSISTENT})}

    @staticmethod
    def _pages(service: adapter.Adapter, path: str, name: str,
               query: dict[str, str]) -> Iterator[dict[str, ty.Any]]:
        query = {**query, 'limit': str(_PAGE)}
        while True:
            try:
                page = service.get(
                    f'{path}?{urllib.parse.urlencode(query)}').json()[name]
            except (keystone_errors.ClientException, ValueError,
                    KeyError) as error:
                raise exception.CloudUnreachable(
                    service=service.service_type) from error
            yield from page
            if not page:
                return
            query['marker'] = page[-1]['id']


def _server(found: dict[str, ty.Any], asking: set[str]) -> audit.Server:
    image = found.get('image') or {}
    flavor = found.get('flavor') or {}
    specs = flavor.get('extra_specs') or {}
    return audit.Server(
        uuid=found['id'], host=found.get('OS-EXT-SRV-ATTR:host'),
        status=found['status'],
        task_state=found.get('OS-EXT-STS:task_state'),
        persistent=(image.get('id') in asking or
                    specs.get(nvram.PROPERTY.flavor_name) == nvram.PERSISTENT))
