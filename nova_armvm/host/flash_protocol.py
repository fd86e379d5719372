# SPDX-License-Identifier: Apache-2.0
"""What the flash service and its clients say to each other.

One JSON object a line on a unix stream socket: a request, then its answer.
Bytes travel as base64. Imports nothing of the service nor of Nova.
"""
import base64
import binascii
import dataclasses
import json
import socket
import time
import typing as ty
import uuid

#: Raised with every change that an older side would misunderstand.
VERSION = 1

#: Longest line: a region of 768 KiB is exactly 1 MiB in base64.
LINE_MAX = 1024 * 1024 + 64 * 1024

_PIECE = 64 * 1024

#: Names below the directory of the service.
NBD_SOCKET = 'nbd.sock'
CONTROL_DIRECTORY = 'control'
CONTROL_SOCKET = f'{CONTROL_DIRECTORY}/control.sock'
DIRECTORY = '/run/armvm-nvramd'

Message = dict[str, ty.Any]


class ProtocolError(Exception):
    """What was received does not follow the protocol."""


@dataclasses.dataclass(frozen=True)
class PathConnection:
    """A volume that is a block device or a file of this host."""

    path: str
    kind: str = 'path'


@dataclasses.dataclass(frozen=True)
class RbdConnection:
    """A volume that is an RBD image.

    :ivar monitors: addresses with ports.
    :ivar user: Ceph user without ``client.``.
    :ivar keyring: text of a keyring or a bare key; None to have librados
        find one.
    :ivar conf: path of a ceph.conf; None for none.
    """

    pool: str
    image: str
    monitors: tuple[str, ...] = ()
    user: str = 'admin'
    keyring: str | None = dataclasses.field(default=None, repr=False)
    cluster_name: str = 'ceph'
    conf: str | None = None
    kind: str = 'rbd'


Connection = PathConnection | RbdConnection
_KINDS: dict[str, type] = {'path': PathConnection, 'rbd': RbdConnection}


def connection_to_message(connection: Connection) -> Message:
    """Return a connection as JSON can hold it."""
    return dataclasses.asdict(connection)


def connection_from_message(message: ty.Any) -> Connection:
    """Return the connection in a request or record.

    :raises ProtocolError: if a field is missing, unknown or no text.
    """
    if not isinstance(message, dict) or message.get('kind') not in (
            list(_KINDS)):
        raise ProtocolError('the connection is of an unknown kind')
    fields = dict(message)
    monitors = fields.pop('monitors', None)
    if any(value is not None and not isinstance(value, str)
           for value in fields.values()):
        raise ProtocolError('a field of the connection is no text')
    if monitors is not None:
        if not (isinstance(monitors, list | tuple)
                and all(isinstance(one, str) for one in monitors)):
            raise ProtocolError('the monitors are no list of texts')
        fields['monitors'] = tuple(monitors)
    try:
        return _KINDS[message['kind']](**fields)
    except TypeError as error:
        raise ProtocolError('the connection lacks a field or has an unknown '
                            'one') from error


def encode_bytes(content: bytes) -> str:
    """Return bytes as they travel."""
    return base64.b64encode(content).decode('ascii')


def decode_bytes(value: ty.Any) -> bytes:
    """Return bytes that travelled.

    :raises ProtocolError: if they are not base64.
    """
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ProtocolError('bytes are not base64') from error


def encode_line(message: Message) -> bytes:
    """Return a message as a line.

    :raises ProtocolError: if the line would be longer than LINE_MAX.
    """
    line = json.dumps(message, separators=(',', ':')).encode('ascii') + b'\n'
    if len(line) > LINE_MAX:
        raise ProtocolError(f'a message of {len(line)} bytes is too long')
    return line


def decode_line(line: bytes) -> Message:
    """Return the message in a line.

    :raises ProtocolError: if it is not one JSON object.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError('the line is not JSON') from error
    if not isinstance(message, dict):
        raise ProtocolError('the line is no JSON object')
    return message


def receive_line(connection: socket.socket, timeout: float,
                 begun: bytes = b'') -> tuple[bytes, bytes]:
    """Return the next line and what came behind it.

    :param timeout: seconds for the whole line.
    :param begun: what has come already.
    :raises ProtocolError: if it is longer than LINE_MAX.
    :raises OSError: if it does not come, or not to its end.
    """
    deadline = time.monotonic() + timeout
    line = bytearray(begun)
    while (end := line.find(b'\n')) < 0:
        if len(line) > LINE_MAX:
            raise ProtocolError('a line is too long')
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError('timed out')
        connection.settimeout(left)
        part = connection.recv(_PIECE)
        if not part:
            raise ConnectionResetError('the other side has hung up')
        line += part
    return bytes(line[:end + 1]), bytes(line[end + 1:])


def is_instance(value: ty.Any) -> bool:
    """Return whether a value is a uuid in its usual form."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False
