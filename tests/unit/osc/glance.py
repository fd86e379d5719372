# SPDX-License-Identifier: Apache-2.0
"""A Glance that keeps images and their content, over HTTP."""
import contextlib
import dataclasses
import http.server
import json
import re
import threading
import types
import uuid

import fixtures
from keystoneauth1 import adapter
from keystoneauth1 import session
from keystoneauth1 import token_endpoint


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


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers as Glance's v2 API does, in what the commands use."""

    def log_message(self, *_arguments):
        """Say nothing."""

    def _answer(self, status: int, body: bytes,
                headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        # A client may have seen enough.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def _image(self) -> Image:
        return self.server.glance.images[self.path.split('/')[3]]

    def do_GET(self):
        image, glance = self._image(), self.server.glance
        if not self.path.endswith('/file'):
            self._answer(200, json.dumps({
                'id': image.id, 'name': image.name, 'size': image.size,
                'tags': [], **image.properties}).encode(),
                {'Content-Type': 'application/json'})
            return
        wanted = self.headers.get('Range')
        if wanted is None or glance.refuses_ranges:
            self._answer(200, image.content[:glance.cut])
            return
        first, last = map(int, re.fullmatch(r'bytes=(\d+)-(\d+)',
                                            wanted).groups())
        glance.asked.append((first, last))
        shift = glance.shift
        self._answer(206, image.content[first:last + 1 + glance.surplus], {
            'Content-Range':
                f'bytes {first + shift}-{last + shift}/{image.size}'})

    def do_PATCH(self):
        glance = self.server.glance
        changes = json.loads(self.rfile.read(
            int(self.headers['Content-Length'])))
        if glance.protected:
            self._answer(403, b'{}')
            return
        glance.patches += 1
        for change in changes:
            self._image().properties[change['path'][1:]] = change['value']
        self._answer(200, b'{}')


class GlanceFixture(fixtures.Fixture):
    """The service.

    :ivar refuses_ranges: the store has whole images only.
    :ivar asked: the ranges that were asked for.
    :ivar shift: answers are about another part, so many bytes on.
    :ivar surplus: answers are so many bytes too long.
    :ivar cut: whole answers end there.
    :ivar protected: nothing may be changed.
    :ivar patches: how often something was.
    """

    def _setUp(self):
        self.images: dict[str, Image] = {}
        self.refuses_ranges = self.protected = False
        self.asked: list[tuple[int, int]] = []
        self.shift = self.surplus = self.patches = 0
        self.cut = None
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
        server.glance = self
        thread = threading.Thread(target=server.serve_forever,
                                  kwargs={'poll_interval': 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.endpoint = f'http://127.0.0.1:{server.server_port}/v2'

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
