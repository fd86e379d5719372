# SPDX-License-Identifier: Apache-2.0
"""An NBD client that does what it is told, wrong or not.

Written from the protocol's description (NetworkBlockDevice/nbd,
doc/proto.md): fixed newstyle, simple replies.
"""
import socket
import struct
import time

_REQUEST = struct.Struct('>IHHQQI')
_REPLY = struct.Struct('>IIQ')
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_OPTION = struct.Struct('>8sII')
_OPTION_REPLY = struct.Struct('>QIII')
_GO, _ACK, _INFO = 7, 1, 3
READ, WRITE, DISCONNECT, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FUA = 1


class Refused(Exception):
    """The server has no such export for us."""


class Client:
    """A connection to one export.

    :ivar size: in bytes, as the server says.
    """

    def __init__(self, path: str, name: str, timeout: float = 20.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._handle = 0
        self.size = 0
        try:
            self._socket.connect(path)
            self._negotiate(name.encode())
        except BaseException:
            self._socket.close()
            raise

    def _negotiate(self, name: bytes) -> None:
        hello = self._receive(18)
        if hello[:16] != b'NBDMAGICIHAVEOPT':
            raise AssertionError(hello)
        go = struct.pack('>I', len(name)) + name + struct.pack('>H', 0)
        self._socket.sendall(struct.pack('>I', 3) + _OPTION.pack(
            b'IHAVEOPT', _GO, len(go)) + go)
        while True:
            _magic, _option, kind, length = _OPTION_REPLY.unpack(
                self._receive(_OPTION_REPLY.size))
            content = self._receive(length)
            if kind & 0x80000000:
                raise Refused(content.decode())
            if kind == _INFO and content[:2] == b'\0\0':
                self.size, _flags = struct.unpack('>QH', content[2:12])
            if kind == _ACK:
                return

    def _receive(self, length: int) -> bytes:
        content = b''
        while len(content) < length:
            part = self._socket.recv(length - len(content))
            if not part:
                raise ConnectionResetError('the server has hung up')
            content += part
        return content

    def send(self, kind: int, offset: int, length: int,
             content: bytes = b'', flags: int = 0) -> None:
        """Send a request and do not wait."""
        self._handle += 1
        self._socket.sendall(_REQUEST.pack(
            _REQUEST_MAGIC, flags, kind, self._handle, offset, length) +
            content)

    def answer(self) -> int:
        """Return the error in the next answer, 0 for none."""
        magic, error, handle = _REPLY.unpack(self._receive(_REPLY.size))
        if (magic, handle) != (_REPLY_MAGIC, self._handle):
            raise AssertionError((magic, handle))
        return error

    def write(self, offset: int, content: bytes, flags: int = 0) -> int:
        self.send(WRITE, offset, len(content), content, flags)
        return self.answer()

    def read(self, offset: int, length: int) -> bytes:
        self.send(READ, offset, length)
        error = self.answer()
        if error:
            raise OSError(error, 'the read failed')
        return self._receive(length)

    def close(self) -> None:
        self._socket.close()


class Persistent:
    """Connects again when the connection is lost, and repeats the request.

    As QEMU does within its reconnect delay.

    :ivar lost: how often that was.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._client: Client | None = None
        self.lost = 0

    def write(self, offset: int, content: bytes) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                if self._client is None:
                    self._client = Client(self._path, self._name)
                error = self._client.write(offset, content)
                break
            except (OSError, Refused):
                if time.monotonic() > end:
                    raise
                self.lost += self._client is not None
                self.close()
                time.sleep(0.02)
        if error:
            raise OSError(error, 'the write failed')

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
