# SPDX-License-Identifier: Apache-2.0
"""The part of the NBD protocol that QEMU needs for a flash, in memory.

Fixed newstyle negotiation and simple replies
(https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). One
request is served at a time, by whoever calls serve_one(): the recorder looks
at the guest's console before each request, so that writes and what the guest
says have one order.
"""
from collections.abc import Callable
import socket
import struct

_MAGIC, _OPTION_MAGIC = 0x4e42444d41474943, 0x49484156454F5054
_REPLY_MAGIC = 0x3e889045565a9
_REQUEST_MAGIC, _ANSWER_MAGIC = 0x25609513, 0x67446698
#: Fixed newstyle, no zeroes behind the answer to EXPORT_NAME.
_HANDSHAKE_FLAGS = 3
#: Flags are there; flush is understood.
_TRANSMISSION_FLAGS = 5
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _INFORMATION, _UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT, _FLUSH = range(4)
_REQUEST = struct.Struct('>IHHQQI')
_EINVAL = 22


class Disconnected(Exception):
    """The client is gone."""


class Connection:
    """A client of a flash."""

    def __init__(self, stream: socket.socket, flash: bytearray,
                 written: Callable[[int, bytes], None]) -> None:
        """Negotiate with a client.

        :param flash: what is served.
        :param written: is called with offset and content of each write,
            before the flash holds it.
        :raises Disconnected: if the client goes away.
        """
        self._stream, self._flash, self._written = stream, flash, written
        self._negotiate()

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        self._stream.close()

    def _receive(self, length: int) -> bytes:
        parts = []
        while length:
            try:
                part = self._stream.recv(min(length, 1 << 20))
            except ConnectionError as error:
                raise Disconnected from error
            if not part:
                raise Disconnected
            parts.append(part)
            length -= len(part)
        return b''.join(parts)

    def _send(self, content: bytes) -> None:
        try:
            self._stream.sendall(content)
        except OSError as error:
            raise Disconnected from error

    def _negotiate(self) -> None:
        self._send(struct.pack('>QQH', _MAGIC, _OPTION_MAGIC,
                               _HANDSHAKE_FLAGS))
        self._receive(4)
        export = struct.pack('>QH', len(self._flash), _TRANSMISSION_FLAGS)
        while True:
            _magic, option, length = struct.unpack('>QII', self._receive(16))
            self._receive(length)
            if option == _EXPORT_NAME:
                self._send(export)
                return
            if option in (_INFO, _GO):
                self._answer(option, _INFORMATION, b'\0\0' + export)
            known = option in (_INFO, _GO, _ABORT)
            self._answer(option, _ACK if known else _UNSUPPORTED)
            if option == _ABORT:
                raise Disconnected
            if option == _GO:
                return

    def _answer(self, option: int, kind: int, content: bytes = b'') -> None:
        self._send(struct.pack('>QIII', _REPLY_MAGIC, option, kind,
                               len(content)) + content)

    def serve_one(self) -> None:
        """Take one request and answer it.

        :raises Disconnected: if the client goes away.
        """
        magic, _flags, kind, handle, offset, length = _REQUEST.unpack(
            self._receive(_REQUEST.size))
        if magic != _REQUEST_MAGIC or kind == _DISCONNECT:
            raise Disconnected
        content, error = b'', 0
        if kind == _READ:
            content = bytes(self._flash[offset:offset + length])
        elif kind == _WRITE:
            received = self._receive(length)
            self._written(offset, received)
            self._flash[offset:offset + length] = received
        elif kind != _FLUSH:
            error = _EINVAL
        self._send(struct.pack('>IIQ', _ANSWER_MAGIC, error, handle) + content)
