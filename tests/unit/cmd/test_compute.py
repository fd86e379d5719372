# SPDX-License-Identifier: Apache-2.0
import types
import unittest
import urllib.parse

from keystoneauth1 import exceptions as keystone_errors

from nova_armvm.cmd import compute
from nova_armvm import exception
from nova_armvm.store import audit

FLAVOR = {'extra_specs': {}}


class Service:
    """An API that answers lists by pages and keeps what it was asked."""

    service_type = 'compute'

    def __init__(self, name, found):
        self.name = name
        self.found = found
        self.asked = []
        self.error = None

    def get(self, url):
        self.asked.append(url)
        if self.error is not None:
            raise self.error
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        ids = [each['id'] for each in self.found]
        begin = ids.index(query['marker']) + 1 if 'marker' in query else 0
        page = self.found[begin:begin + int(query['limit'])]
        return types.SimpleNamespace(json=lambda: {self.name: page})


def server(number, image=None, specs=None):
    return {'id': f'server-{number}', 'status': 'ACTIVE',
            'OS-EXT-SRV-ATTR:host': 'host', 'OS-EXT-STS:task_state': None,
            'image': {'id': image} if image else '',
            'flavor': {'extra_specs': specs or {}}}


class ServersTest(unittest.TestCase):

    def cloud(self, servers, images=()):
        self.nova = Service('servers', servers)
        self.glance = Service('images', list(images))
        return compute.Cloud(self.nova, self.glance)

    def test_calls_grow_with_thousands(self):
        found = self.cloud([server(number)
                            for number in range(10000)]).servers()
        self.assertEqual(10000, len(found))
        self.assertEqual(11, len(self.nova.asked))
        self.assertEqual(1, len(self.glance.asked))

    def test_servers_of_all_projects_are_asked_for(self):
        self.cloud([server(1)]).servers()
        self.assertIn('all_tenants=1', self.nova.asked[0])

    def test_what_nova_says(self):
        self.assertEqual(
            {'server-1': audit.Server('server-1', 'host', 'ACTIVE', None)},
            self.cloud([server(1)]).servers())

    def test_server_of_a_cell_that_is_down(self):
        found = self.cloud([{'id': 'a', 'status': 'UNKNOWN'}]).servers()
        self.assertFalse(found['a'].at_rest)

    def test_image_that_asks_for_persistent_variables(self):
        found = self.cloud([server(1, 'tagged'), server(2, 'other')],
                           [{'id': 'tagged'}]).servers()
        self.assertEqual([True, False], [
            found[uuid].persistent for uuid in sorted(found)])

    def test_flavor_that_asks_for_persistent_variables(self):
        found = self.cloud([server(1, specs={
            'armvm:nvram': 'persistent'})]).servers()
        self.assertTrue(found['server-1'].persistent)

    def test_page_that_is_missing_ends_it(self):
        cloud = self.cloud([server(1)])
        self.nova.error = keystone_errors.ServiceUnavailable()
        self.assertRaises(exception.CloudUnreachable, cloud.servers)


class ServerTest(unittest.TestCase):

    def ask(self, error):
        nova = Service('servers', [])
        nova.error = error
        return compute.Cloud(nova, Service('images', [])).server('uuid')

    def not_found(self, text):
        return keystone_errors.NotFound(
            response=types.SimpleNamespace(text=text))

    def test_nova_knows_of_none(self):
        self.assertIsNone(self.ask(self.not_found(
            '{"itemNotFound": {"code": 404}}')))

    def test_proxy_that_finds_no_nova_proves_nothing(self):
        self.assertRaises(exception.CloudUnreachable, self.ask,
                          self.not_found('<h1>404 Not Found</h1>'))

    def test_any_other_error_proves_nothing(self):
        for error in (keystone_errors.ConnectFailure('no'),
                      keystone_errors.Forbidden(),
                      keystone_errors.InternalServerError()):
            with self.subTest(error):
                self.assertRaises(exception.CloudUnreachable, self.ask,
                                  error)
