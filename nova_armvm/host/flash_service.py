# SPDX-License-Identifier: Apache-2.0
"""Client of this host's flash service, one method a verb.

Each call opens a connection of its own, so one object serves any number of
threads. Every verb of the service is idempotent or says that it was done.
"""
from collections.abc import Mapping
import dataclasses
import os
import socket
import time
import typing as ty

from nova_armvm.host import flash_protocol

#: Seconds; a volume on a slow back end answers within.
TIMEOUT = 60.0
_QUEUE_PAUSE = 0.05


class FlashServiceError(Exception):
    """The flash service did not do what it was asked for."""


class FlashServiceAway(FlashServiceError):
    """The flash service does not answer, or not in time."""


class Invalid(FlashServiceError):
    """The service does not understand the request."""


class Incompatible(FlashServiceError):
    """The log or the service is of another version, or for another flash."""


class NotOpen(FlashServiceError):
    """The volume of the instance is not open in the service."""


class NotServed(FlashServiceError):
    """The flash of the instance is not served."""


class AlreadyServed(FlashServiceError):
    """The flash of the instance is served, which forbids the request."""


class Busy(FlashServiceError):
    """QEMU is connected to the flash, which forbids the request."""


class NotALog(FlashServiceError):
    """The volume holds no log of versions."""


class ForeignLog(FlashServiceError):
    """The volume holds the log of another instance, or another log."""


class Fenced(FlashServiceError):
    """Another host has taken the store over."""


class VolumeFailed(FlashServiceError):
    """The volume cannot be opened, read or written."""


class VersionUnknown(FlashServiceError):
    """The log has no such version."""


class StaleSequence(FlashServiceError):
    """The log has another newest version than was expected."""


ERRORS: Mapping[str, type[FlashServiceError]] = {
    error.__name__: error for error in (
        Invalid, Incompatible, NotOpen, NotServed, AlreadyServed, Busy,
        NotALog, ForeignLog, Fenced, VolumeFailed, VersionUnknown,
        StaleSequence)}


@dataclasses.dataclass(frozen=True)
class Greeting:
    """The service.

    :ivar version: of the protocol.
    :ivar exports: how many instances it has open.
    :ivar rbd: it can open RBD images.
    """

    version: int
    pid: int
    exports: int
    rbd: bool = False


@dataclasses.dataclass(frozen=True)
class VersionInfo:
    """One version of a store.

    :ivar time: seconds since 1970.
    :ivar length: of the canonical store in bytes; 0: unformatted.
    :ivar sha256: of the canonical store, hexadecimal.
    """

    sequence: int
    epoch: int
    time: float
    reason: str
    length: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class OwnerInfo:
    """Who may write the log: the host that claimed the last epoch."""

    epoch: int
    name: str


@dataclasses.dataclass(frozen=True)
class Opened:
    """A volume that the service has opened.

    :ivar content: ``log``, ``qcow2``, ``blank`` or ``foreign``.
    :ivar instance_on_volume: whose log it is.
    :ivar flash_size: in bytes.
    """

    content: str
    instance_on_volume: str | None = None
    flash_size: int | None = None
    newest: VersionInfo | None = None
    owner: OwnerInfo | None = None


@dataclasses.dataclass(frozen=True)
class StoredStore:
    """A version with its content.

    :ivar store: canonical store; empty: unformatted.
    """

    store: bytes = dataclasses.field(repr=False)
    flash_size: int
    version: VersionInfo


@dataclasses.dataclass(frozen=True)
class ExportState:
    """One instance of the service.

    :ivar served: QEMU may connect.
    :ivar mode: ``start`` or ``incoming`` while served.
    :ivar connected: connections of QEMU.
    :ivar state: of the flash: ``whole``, ``open`` or ``unformatted``.
    :ivar sequence: of the last version that is on the volume.
    :ivar epoch: of this host; None if it has claimed none.
    :ivar fenced: another host has taken the store over; writes fail.
    :ivar commit_error: why the last commit is not on the volume yet.
    :ivar disconnected_since: seconds since 1970; None while connected.
    :ivar gap: writes may have been lost in an interruption: verify.
    :ivar writes: of QEMU, since it is served.
    """

    instance: str
    served: bool
    mode: str | None = None
    connected: int = 0
    state: str | None = None
    sequence: int | None = None
    epoch: int | None = None
    fenced: bool = False
    commit_error: str | None = None
    disconnected_since: float | None = None
    gap: bool = False
    writes: int = 0


@dataclasses.dataclass(frozen=True)
class Verification:
    """A served flash compared with what QEMU has in memory."""

    equal: bool
    variables_differ: bool
    adopted: bool


class FlashService:
    """The flash service of this host."""

    def __init__(self, directory: str = flash_protocol.DIRECTORY,
                 timeout: float = TIMEOUT) -> None:
        """Remember where the service listens; nothing is connected yet.

        :param directory: of the service.
        :param timeout: seconds for a call that names no other.
        """
        self._socket = os.path.join(directory, flash_protocol.CONTROL_SOCKET)
        self._timeout = timeout

    def hello(self, timeout: float | None = None) -> Greeting:
        """Return what the service says of itself.

        :raises FlashServiceAway: if it does not answer.
        :raises Incompatible: if it speaks another version of the protocol.
        """
        answer = self._call({'verb': 'hello'}, timeout)
        if answer.get('version') != flash_protocol.VERSION:
            raise Incompatible(
                f'the flash service speaks version {answer.get("version")} '
                f'of the protocol, not {flash_protocol.VERSION}')
        return _build(Greeting, answer)

    def open(self, instance: str, connection: flash_protocol.Connection,
             timeout: float | None = None) -> Opened:
        """Have the volume of an instance opened. Idempotent.

        :raises Invalid: if it is served from another volume.
        :raises VolumeFailed: if it cannot be opened or read.
        """
        return _opened(self._call({
            'verb': 'open', 'instance': instance,
            'connection': flash_protocol.connection_to_message(connection),
        }, timeout))

    def format(self, instance: str, *, flash_size: int, store: bytes,
               reason: str, expect: str = 'any',
               timeout: float | None = None) -> VersionInfo:
        """Make a new log on an open volume, whatever is there.

        :param flash_size: in bytes.
        :param store: canonical store of its first version; empty:
            unformatted, the firmware does that.
        :param expect: ``not-log`` to refuse a volume with a log.
        :raises AlreadyServed: if the flash is served.
        :raises Invalid: if a log is there and ``not-log`` was expected, or
            the store makes no sense.
        """
        answer = self._call({
            'verb': 'format', 'instance': instance, 'flash_size': flash_size,
            'store': flash_protocol.encode_bytes(store), 'reason': reason,
            'expect': expect}, timeout)
        return _build(VersionInfo, answer['version'])

    def convert(self, instance: str,
                timeout: float | None = None) -> Opened:
        """Turn the qcow2 image on an open volume into a log. Idempotent.

        :raises NotALog: if neither is on the volume.
        """
        return _opened(self._call({'verb': 'convert', 'instance': instance},
                                  timeout))

    def read(self, instance: str, version: int | None = None,
             timeout: float | None = None) -> StoredStore:
        """Return a version of the store, by default the newest.

        :raises VersionUnknown: if there is no such version.
        """
        request = {'verb': 'read', 'instance': instance}
        if version is not None:
            request['version'] = version
        answer = self._call(request, timeout)
        return StoredStore(flash_protocol.decode_bytes(answer['store']),
                           answer['flash_size'],
                           _build(VersionInfo, answer['version']))

    def history(self, instance: str,
                timeout: float | None = None) -> list[VersionInfo]:
        """Return the versions on the volume, newest first."""
        answer = self._call({'verb': 'history', 'instance': instance},
                            timeout)
        return [_build(VersionInfo, version)
                for version in answer['versions']]

    def commit(self, instance: str, store: bytes, reason: str,
               expect_sequence: int | None = None,
               flash_size: int | None = None,
               timeout: float | None = None) -> VersionInfo:
        """Append a version to the log of a flash that is not served.

        :param store: canonical store.
        :param expect_sequence: of the version that the change began with.
        :param flash_size: in bytes; None for that of the newest version.
        :raises AlreadyServed: if the flash is served.
        :raises StaleSequence: if another version was added since.
        """
        request = {'verb': 'commit', 'instance': instance, 'reason': reason,
                   'store': flash_protocol.encode_bytes(store)}
        if expect_sequence is not None:
            request['expect_sequence'] = expect_sequence
        if flash_size is not None:
            request['flash_size'] = flash_size
        return _build(VersionInfo, self._call(request, timeout)['version'])

    def serve(self, instance: str, mode: str, owner: str,
              timeout: float | None = None) -> ExportState:
        """Let QEMU connect to the flash under the instance's uuid.

        :param mode: ``start``, or ``incoming`` for a live migration.
        :param owner: name of this host.
        """
        return _build(ExportState, self._call(
            {'verb': 'serve', 'instance': instance, 'mode': mode,
             'owner': owner}, timeout))

    def take(self, instance: str,
             timeout: float | None = None) -> ExportState:
        """Claim the log for a flash that is served as incoming. Idempotent.

        :raises NotServed: if it is not served.
        """
        return _build(ExportState, self._call(
            {'verb': 'take', 'instance': instance}, timeout))

    def stop(self, instance: str,
             timeout: float | None = None) -> ExportState:
        """Stop serving; the volume stays open. Idempotent."""
        return _build(ExportState, self._call(
            {'verb': 'stop', 'instance': instance}, timeout))

    def close(self, instance: str, timeout: float | None = None) -> None:
        """Stop serving, close the volume, forget both. Idempotent."""
        self._call({'verb': 'close', 'instance': instance}, timeout)

    def state(self, instance: str,
              timeout: float | None = None) -> ExportState:
        """Return the state of an instance.

        :raises NotOpen: if its volume is not open.
        """
        return _build(ExportState, self._call(
            {'verb': 'state', 'instance': instance}, timeout))

    def list(self, timeout: float | None = None) -> ty.List[ExportState]:
        """Return the states of all instances that are open."""
        answer = self._call({'verb': 'list'}, timeout)
        return [_build(ExportState, state) for state in answer['states']]

    def verify(self, instance: str, flash: bytes, adopt: bool = False,
               expect_writes: int | None = None,
               timeout: float | None = None) -> Verification:
        """Compare a served flash with QEMU's memory; clears the gap.

        :param flash: its first 768 KiB as QEMU has them.
        :param adopt: take QEMU's over where they differ.
        :param expect_writes: ``writes`` of the state before QEMU's memory
            was read.
        :raises StaleSequence: if the guest has written since: read it again.
        """
        request = {'verb': 'verify', 'instance': instance, 'adopt': adopt,
                   'flash': flash_protocol.encode_bytes(flash)}
        if expect_writes is not None:
            request['expect_writes'] = expect_writes
        return _build(Verification, self._call(request, timeout))

    def _call(self, request: flash_protocol.Message,
              timeout: float | None) -> flash_protocol.Message:
        """Send a request and return the answer's content.

        :raises FlashServiceAway: if there is no answer in time.
        :raises FlashServiceError: the class of the service's error.
        """
        verb = request['verb']
        try:
            line = flash_protocol.encode_line(request)
            answer = flash_protocol.decode_line(
                self._exchange(line, self._timeout if timeout is None
                               else timeout))
        except OSError as error:
            raise FlashServiceAway(
                f'The flash service did not answer to "{verb}": {error}'
            ) from error
        except flash_protocol.ProtocolError as error:
            raise Invalid(f'"{verb}": {error}') from error
        if isinstance(answer.get('ok'), dict):
            return _Content(answer['ok'])
        name = str(answer.get('error'))
        raise ERRORS.get(name, FlashServiceError)(
            f'"{verb}" failed: {answer.get("message") or name}')

    def _exchange(self, line: bytes, timeout: float) -> bytes:
        """Send a line and return the one that comes back."""
        deadline = time.monotonic() + timeout
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            while True:
                try:
                    connection.connect(self._socket)
                    break
                except BlockingIOError:
                    # So many connect at a time that the kernel's queue is
                    # full, for which it does not wait with a timeout.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_QUEUE_PAUSE)
            connection.sendall(line)
            return flash_protocol.receive_line(connection, timeout)[0]


class _Content(dict):
    """What an answer says.

    A part that is missing raises Incompatible.
    """

    def __missing__(self, name: str) -> ty.NoReturn:
        raise Incompatible(f'The flash service answered without "{name}"')


Answer = ty.TypeVar('Answer')


def _build(kind: type[Answer], content: ty.Any) -> Answer:
    """Return an answer as a dataclass; what a newer service adds is left out.

    :raises Incompatible: if a field is missing.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    try:
        return kind(**{name: value for name, value in content.items()
                       if name in names})
    except (TypeError, AttributeError) as error:
        raise Incompatible('The flash service answered without a field that '
                           'is needed') from error


def _opened(answer: flash_protocol.Message) -> Opened:
    newest, owner = answer.get('newest'), answer.get('owner')
    return dataclasses.replace(
        _build(Opened, answer),
        newest=_build(VersionInfo, newest) if newest else None,
        owner=_build(OwnerInfo, owner) if owner else None)
