# SPDX-License-Identifier: Apache-2.0
"""RBD images as volumes, over one connection per Ceph user.

Images made by Cinder have the exclusive lock: librbd takes it with a write
and hands it over when another live client asks, which costs some 20 ms (Ceph
16). A client that died keeps it for about 28 seconds, until its watch ends;
a service that is started again takes it from the process that it replaces.

Who may write is decided by the log (nova_armvm.nvramd.slots), not by that
lock. So librbd does not blocklist whom it takes the lock from: all images of
that host share the client that would be shut out.
"""
import collections
import contextlib
import errno
import logging
import threading
import types
import typing as ty

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import errors

LOG = logging.getLogger(__name__)

#: Seconds until an operation of a cluster that is away fails.
_OPERATION_TIMEOUT = 20
_CONNECT_TIMEOUT = 10


def _bindings() -> tuple[types.ModuleType, types.ModuleType]:
    """Return the rados and rbd modules, which only hosts with Ceph have."""
    try:
        # Loaded with the first image: a host without Ceph has no librados.
        import rados  # noqa: H303
        import rbd  # noqa: H303
    except ImportError as error:
        raise errors.VolumeFailed(
            'an RBD image cannot be opened: install python3-rados and '
            f'python3-rbd ({error})') from error
    return rados, rbd


def is_there() -> bool:
    """Return whether RBD images can be opened on this host."""
    try:
        _bindings()
    except errors.VolumeFailed:
        return False
    return True


@contextlib.contextmanager
def _translated() -> ty.Iterator[None]:
    """Turn the errors of librados and librbd into OSError."""
    rados, rbd = _bindings()
    try:
        yield
    except (rados.Error, rbd.Error) as error:
        number = getattr(error, 'errno', None) or errno.EIO
        raise OSError(abs(number), f'Ceph: {error}') from error


def key_of(keyring: str) -> str:
    """Return the key in the text of a keyring, or a bare key itself."""
    for line in keyring.splitlines():
        name, found, value = line.partition('=')
        # Base64 ends in "=", too.
        if found and name.strip() == 'key':
            return value.strip()
    return keyring.strip()


class Cluster:
    """A connection to a cluster as one user, shared by its images."""

    def __init__(self, connection: flash_protocol.RbdConnection) -> None:
        """Connect.

        :raises OSError: if it fails.
        """
        rados, _rbd = _bindings()
        options = {
            'rbd_cache': 'false', 'rbd_blocklist_on_break_lock': 'false',
            'client_mount_timeout': str(_CONNECT_TIMEOUT),
            'rados_mon_op_timeout': str(_OPERATION_TIMEOUT),
            'rados_osd_op_timeout': str(_OPERATION_TIMEOUT)}
        if connection.monitors:
            options['mon_host'] = ','.join(connection.monitors)
        if connection.keyring:
            options['key'] = key_of(connection.keyring)
        with _translated():
            self.rados = rados.Rados(
                rados_id=connection.user, clustername=connection.cluster_name,
                conffile=connection.conf, conf=options)
            self.rados.connect(timeout=_CONNECT_TIMEOUT)
            self.client = f'client.{self.rados.get_instance_id()}'
        self._blocklisted: set[str] = set()
        self._lock = threading.Lock()

    def blocklist(self, address: str) -> None:
        """Shut out a dead client, so that nobody waits for its answers."""
        with self._lock:
            if address not in self._blocklisted:
                self.rados.blocklist_add(address, 0)
                self._blocklisted.add(address)

    def close(self) -> None:
        """Disconnect."""
        self.rados.shutdown()


class Clusters:
    """The clusters that are in use, each connected once per user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connecting: dict[tuple, threading.Lock] = (
            collections.defaultdict(threading.Lock))
        self._clusters: dict[tuple, Cluster] = {}
        self._users: dict[Cluster, int] = collections.Counter()

    def acquire(self, connection: flash_protocol.RbdConnection) -> Cluster:
        """Return the connection to a cluster, made when there is none.

        :raises OSError: if it cannot be connected.
        """
        key = (connection.cluster_name, connection.monitors, connection.user,
               connection.keyring, connection.conf)
        with self._lock:
            connecting = self._connecting[key]
        # A cluster that does not answer holds up nobody else's.
        with connecting:
            with self._lock:
                if key in self._clusters:
                    cluster = self._clusters[key]
                    self._users[cluster] += 1
                    return cluster
            cluster = Cluster(connection)
            with self._lock:
                self._clusters[key] = cluster
                self._users[cluster] += 1
            return cluster

    def abandon(self, cluster: Cluster) -> None:
        """Have the next one who asks connected anew."""
        with self._lock:
            self._forget(cluster)

    def release(self, cluster: Cluster) -> None:
        """Disconnect when nobody uses it any more."""
        with self._lock:
            self._users[cluster] -= 1
            if self._users[cluster]:
                return
            del self._users[cluster]
            self._forget(cluster)
        cluster.close()

    def _forget(self, cluster: Cluster) -> None:
        for key, known in list(self._clusters.items()):
            if known is cluster:
                del self._clusters[key]


class RbdVolume:
    """An RBD image.

    :ivar client: name of the Ceph client that has it open.
    """

    def __init__(self, clusters: Clusters,
                 connection: flash_protocol.RbdConnection,
                 predecessor: str | None = None) -> None:
        """Open it.

        :param predecessor: name of the Ceph client of this host's service
            before, which is dead.
        :raises VolumeFailed: if it cannot be opened.
        """
        self._clusters = clusters
        self._connection = connection
        self._predecessor = predecessor
        self._image: ty.Any = None
        self._closed = False
        # Held for each operation: none may be under way when it is closed.
        self._lock = threading.RLock()
        try:
            self._open()
        except OSError as error:
            raise errors.VolumeFailed(
                f'the RBD image {connection.pool}/{connection.image} cannot '
                f'be opened: {error.strerror}') from error

    def _open(self) -> None:
        _rados, rbd = _bindings()
        self._cluster = self._clusters.acquire(self._connection)
        self.client = self._cluster.client
        try:
            with _translated():
                self._pool = self._cluster.rados.open_ioctx(
                    self._connection.pool)
                image = rbd.Image(self._pool, self._connection.image)
                self._take_lock_of_predecessor(image)
                self.size = image.size()
            self._image = image
        except BaseException:
            self._clusters.release(self._cluster)
            raise

    def _take_lock_of_predecessor(self, image: ty.Any) -> None:
        if self._predecessor in (None, self.client):
            return
        # An empty list where nobody holds the lock.
        lockers = image.list_lockers() or {}
        for client, cookie, address in lockers['lockers'] if lockers else ():
            if client == self._predecessor:
                LOG.info('Took the lock of RBD image %s/%s from client %s of '
                         'the service before', self._connection.pool,
                         self._connection.image, client)
                # Else the messages about it wait for an answer for seconds.
                self._cluster.blocklist(address)
                image.break_lock(client, cookie)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read as bytes.Volume does."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b''
        return self._do(lambda image: image.read(offset, length))

    def write_at(self, offset: int, content: bytes) -> None:
        """Write as bytes.Volume does: without a cache it is durable."""
        self._do(lambda image: image.write(content, offset))

    def discard(self, offset: int, length: int) -> bool:
        """Give a range back as bytes.Volume does."""
        try:
            self._do(lambda image: image.discard(offset, length))
        except OSError:
            return False
        return True

    def _do(self, action: ty.Callable[[ty.Any], ty.Any]) -> ty.Any:
        """Do something with the image, once more if that was shut out."""
        with self._lock:
            try:
                return self._attempt(action)
            except OSError as error:
                if error.errno != errno.ESHUTDOWN or self._closed:
                    raise
            LOG.warning('Ceph has blocklisted client %s of this service; '
                        'connects again', self.client)
            self._clusters.abandon(self._cluster)
            self._drop()
            return self._attempt(action)

    def _attempt(self, action: ty.Callable[[ty.Any], ty.Any]) -> ty.Any:
        if self._closed:
            raise OSError(errno.EBADF, 'the volume is closed')
        if self._image is None:
            self._open()
        with _translated():
            return action(self._image)

    def close(self) -> None:
        """Close it as bytes.Volume does."""
        with self._lock:
            self._closed = True
            self._drop()

    def abandon(self) -> None:
        """Give the lock of the image back, unless an operation hangs."""
        if self._lock.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        if self._image is None:
            return
        try:
            with _translated():
                self._image.close()
                self._pool.close()
        except OSError as error:
            LOG.warning('Failed to close RBD image %s/%s: %s',
                        self._connection.pool, self._connection.image,
                        error.strerror)
        self._image = None
        self._clusters.release(self._cluster)
