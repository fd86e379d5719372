# SPDX-License-Identifier: Apache-2.0
"""The socket on which the driver and commands talk to the service.

One thread a connection, because a request may wait for a volume; slow
clients, long lines and too many connections are cut off.
"""
import logging
import os
import selectors
import socket
import threading

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import requests
from nova_armvm.nvramd import service

LOG = logging.getLogger(__name__)

CONNECTIONS_MAX = 64
#: Seconds for a whole line to come or to go.
LINE_TIMEOUT = 10.0
#: Seconds that a connection may be silent between two requests.
IDLE_TIMEOUT = 60.0
_PIECE = 64 * 1024
#: Connections that the kernel keeps until they are accepted.
_QUEUE = 512


class Server:
    """Answers requests until it is stopped."""

    def __init__(self, stores: service.Service, directory: str) -> None:
        """Stand ready; nothing listens yet.

        :param directory: of the service, which must be there.
        """
        self._stores = stores
        self._path = os.path.join(directory, flash_protocol.CONTROL_SOCKET)
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        self._wake, self._waker = socket.socketpair()

    def start(self) -> None:
        """Listen.

        :raises OSError: if that is not possible.
        """
        directory = os.path.dirname(self._path)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        try:
            # Of a service that is dead: the lock says that there is no other.
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Nobody but the owner gets through the directory meanwhile.
        listener.bind(self._path)
        os.chmod(self._path, 0o600)
        listener.listen(_QUEUE)
        listener.setblocking(False)
        self._thread = threading.Thread(target=self._accept, args=(listener,),
                                        name='control', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more and drop the connections. Idempotent."""
        if self._thread is None:
            return
        self._waker.send(b'.')
        self._thread.join()
        self._thread = None
        with self._lock:
            for connection in self._connections:
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _events in selector.select():
                    if key.fileobj is self._wake:
                        return
                    self._accept_one(listener)

    def _accept_one(self, listener: socket.socket) -> None:
        try:
            connection, _address = listener.accept()
        except OSError as error:
            # Gone again, or no file descriptors left for the moment.
            LOG.warning('Failed to accept a control connection: %s', error)
            return
        if not self._places.acquire(blocking=False):
            LOG.warning('Refused a control connection: there are %d',
                        CONNECTIONS_MAX)
            connection.close()
            return
        with self._lock:
            self._connections.add(connection)
        threading.Thread(target=self._serve, args=(connection,),
                         name='control-connection', daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        except (OSError, flash_protocol.ProtocolError) as error:
            LOG.debug('Dropped a control connection: %s', error)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()
            self._places.release()

    def _converse(self, connection: socket.socket) -> None:
        rest = b''
        while True:
            connection.settimeout(IDLE_TIMEOUT)
            # Only the first byte may take its time.
            rest = rest or connection.recv(_PIECE)
            if not rest:
                return
            line, rest = flash_protocol.receive_line(connection, LINE_TIMEOUT,
                                                     rest)
            reply = requests.answer(self._stores, line)
            connection.settimeout(LINE_TIMEOUT)
            connection.sendall(reply)
