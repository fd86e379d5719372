# SPDX-License-Identifier: Apache-2.0
"""A Glance that keeps images and their content."""
import dataclasses
import json
import re
import types
import uuid

import fixtures
from keystoneauth1 import adapter
from keystoneauth1 import session
from keystoneauth1 import token_endpoint
import requests_mock
from requests_mock.contrib import fixture as requests_fixture


@dataclasses.dataclass
class Image:
    """An image."""

    name: str
    content: bytes
    properties: dict[str, str]
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def size(self) -> int:
        return len(self.content)


class GlanceFixture(fixtures.Fixture):
    """The service.

    :ivar refuses_ranges: the store has whole images only.
    :ivar asked: the ranges that were asked for.
    :ivar shift: answers are about another part, so many bytes on.
    :ivar surplus: answers are so many bytes too long.
    :ivar cut: whole answers end there.
    :ivar protected: nothing may be changed.
    :ivar patches: how often something was.
    :ivar full: no content can be uploaded.
    """

    endpoint = 'http://glance.test/v2'

    def _setUp(self):
        self.images: dict[str, Image] = {}
        self.refuses_ranges = self.protected = self.full = False
        self.asked: list[tuple[int, int]] = []
        self.shift = self.surplus = self.patches = 0
        self.cut = None
        self.useFixture(requests_fixture.Fixture()).register_uri(
            requests_mock.ANY, re.compile(f'{self.endpoint}/images'),
            content=self._answer)

    def _answer(self, request, context) -> bytes:
        """Answer as Glance's v2 API does, in what the commands use."""
        if request.method == 'POST':
            return self._make(request.json(), context)
        image = self.images[request.path.split('/')[3]]
        if request.method == 'PATCH':
            return self._change(image, request.json(), context)
        if request.method == 'DELETE':
            del self.images[image.id]
            context.status_code = 204
            return b''
        if request.method == 'PUT':
            return self._upload(image, request.body, context)
        if request.path.endswith('/file'):
            return self._content(image, request.headers.get('Range'), context)
        context.headers['Content-Type'] = 'application/json'
        return json.dumps({
            'id': image.id, 'name': image.name, 'size': image.size,
            'tags': [], **image.properties}).encode()

    def _make(self, wanted: dict[str, str], context) -> bytes:
        made = Image(wanted.pop('name'), b'', wanted)
        self.images[made.id] = made
        context.status_code = 201
        return json.dumps({'id': made.id}).encode()

    def _upload(self, image: Image, content: bytes, context) -> bytes:
        if self.full:
            context.status_code = 413
            return b''
        image.content = content
        context.status_code = 204
        return b''

    def _content(self, image: Image, wanted: str | None, context) -> bytes:
        if wanted is None or self.refuses_ranges:
            return image.content[:self.cut]
        first, last = map(int, re.fullmatch(r'bytes=(\d+)-(\d+)',
                                            wanted).groups())
        self.asked.append((first, last))
        context.status_code = 206
        context.headers['Content-Range'] = (
            f'bytes {first + self.shift}-{last + self.shift}/{image.size}')
        return image.content[first:last + 1 + self.surplus]

    def _change(self, image: Image, changes: list[dict], context) -> bytes:
        if self.protected:
            context.status_code = 403
            return b'{}'
        self.patches += 1
        for change in changes:
            if change['op'] == 'remove':
                del image.properties[change['path'][1:]]
            else:
                image.properties[change['path'][1:]] = change['value']
        return b'{}'

    def add(self, name: str, content: bytes, **properties: str) -> Image:
        """Upload an image."""
        made = Image(name, bytes(content), properties)
        self.images[made.id] = made
        return made

    def adapter(self) -> adapter.Adapter:
        """Return a client that is logged in."""
        return adapter.Adapter(session.Session(
            token_endpoint.Token(self.endpoint, 'token')),
            endpoint_override=self.endpoint)

    def app(self) -> types.SimpleNamespace:
        """Return what a command has of OpenStackClient."""
        client = self.adapter()
        client.find_image = lambda name: next(
            (image for image in self.images.values()
             if name in (image.name, image.id)), None)
        return types.SimpleNamespace(client_manager=types.SimpleNamespace(
            sdk_connection=types.SimpleNamespace(image=client)))
