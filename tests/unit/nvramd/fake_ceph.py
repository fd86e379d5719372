# SPDX-License-Identifier: Apache-2.0
"""The parts of the modules rados and rbd that are used, without Ceph."""
import sys
import types
from unittest import mock

import fixtures


class RadosError(Exception):

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class RbdError(Exception):
    """No relative of the other one, as in Ceph."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class Cluster:
    """What is on the other side.

    :ivar images: content by pool/name.
    :ivar lockers: who has the lock of an image, by the same.
    :ivar clients: every connection that was made.
    """

    def __init__(self) -> None:
        self.images: dict[str, bytearray] = {}
        self.lockers: dict[str, tuple[str, str, str]] = {}
        self.clients: list['Rados'] = []
        self.open: list['Image'] = []
        self.is_away = False

    def modules(self) -> dict[str, types.ModuleType]:
        rados, rbd = types.ModuleType('rados'), types.ModuleType('rbd')
        rados.Error, rbd.Error = RadosError, RbdError
        rados.Rados = lambda **options: Rados(self, options)
        rbd.Image = lambda pool, name: Image(self, pool, name)
        return {'rados': rados, 'rbd': rbd}


class Rados:
    """A client."""

    def __init__(self, cluster: Cluster, options: dict) -> None:
        self.cluster, self.options = cluster, options
        self.is_blocklisted = self.is_shut_down = False
        self.blocklisted: list[str] = []

    def connect(self, timeout: int) -> None:
        if self.cluster.is_away:
            raise RadosError('error connecting to the cluster', 110)
        self.number = 100 + len(self.cluster.clients)
        self.cluster.clients.append(self)

    def get_instance_id(self) -> int:
        return self.number

    def open_ioctx(self, pool: str) -> 'Pool':
        return Pool(self, pool)

    def blocklist_add(self, address: str, _seconds: int) -> None:
        self.blocklisted.append(address)

    def shutdown(self) -> None:
        self.is_shut_down = True


class Pool:

    def __init__(self, client: Rados, name: str) -> None:
        self.client, self.name = client, name

    def close(self) -> None:
        pass


class Image:

    def __init__(self, cluster: Cluster, pool: Pool, name: str) -> None:
        self.client, self.name = pool.client, f'{pool.name}/{name}'
        if self.name not in cluster.images:
            raise RbdError('error opening image', 2)
        self._cluster = cluster
        cluster.open.append(self)

    def _content(self) -> bytearray:
        if self._cluster.is_away:
            raise RbdError('timed out', 110)
        if self.client.is_blocklisted:
            raise RbdError('RBD connection was shut down', 108)
        return self._cluster.images[self.name]

    def size(self) -> int:
        return len(self._content())

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._content()[offset:offset + length])

    def write(self, content: bytes, offset: int) -> int:
        self._content()[offset:offset + len(content)] = content
        return len(content)

    def discard(self, offset: int, length: int) -> None:
        self._content()[offset:offset + length] = bytes(length)

    def list_lockers(self) -> dict | list:
        locker = self._cluster.lockers.get(self.name)
        return {'lockers': [locker]} if locker else []

    def break_lock(self, client: str, _cookie: str) -> None:
        if self._cluster.lockers[self.name][0] != client:
            raise RbdError('no such lock', 2)
        del self._cluster.lockers[self.name]

    def close(self) -> None:
        self._cluster.open.remove(self)


class CephFixture(fixtures.Fixture):
    """Puts a cluster in the place of the modules."""

    def _setUp(self) -> None:
        self.cluster = Cluster()
        modules = mock.patch.dict(sys.modules, self.cluster.modules())
        modules.start()
        self.addCleanup(modules.stop)
