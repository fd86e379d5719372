# SPDX-License-Identifier: Apache-2.0
"""What a request of a client says, checked field by field."""
from collections.abc import Callable, Mapping
import logging

from nova_armvm import exception
from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import committer
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import service

LOG = logging.getLogger(__name__)

Message = flash_protocol.Message

_OWNER_MAX = 255
_REASON_MAX = 64
_EXPECTATIONS = ('any', 'not-log')


class Fields:
    """The fields of a request."""

    def __init__(self, request: Message) -> None:
        self._request = request

    def instance(self) -> str:
        """Return the instance's uuid.

        It becomes part of paths, so nothing else will do.

        :raises Invalid: if it is none.
        """
        value = self._request.get('instance')
        if not flash_protocol.is_instance(value):
            raise errors.Invalid('the instance is no uuid')
        return value

    def text(self, name: str, longest: int, default: str | None = None
             ) -> str:
        """Return a text that can be printed.

        :raises Invalid: if it is none, or too long.
        """
        value = self._request.get(name, default)
        if not isinstance(value, str) or not (
                0 < len(value) <= longest and value.isprintable()
                and value.isascii()):
            raise errors.Invalid(f'"{name}" is no text of 1 to {longest} '
                                 'characters')
        return value

    def number(self, name: str) -> int:
        """Return a number that is not negative.

        :raises Invalid: if it is none.
        """
        value = self._request.get(name)
        if type(value) is not int or not 0 <= value < 1 << 63:
            raise errors.Invalid(f'"{name}" is no number')
        return value

    def optional_number(self, name: str) -> int | None:
        """Return a number, None if it is not there."""
        return None if self._request.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        """Return a truth value, False if it is not there.

        :raises Invalid: if it is none.
        """
        value = self._request.get(name, False)
        if not isinstance(value, bool):
            raise errors.Invalid(f'"{name}" is neither true nor false')
        return value

    def content(self, name: str) -> bytes:
        """Return bytes.

        :raises flash_protocol.ProtocolError: if they are none.
        """
        return flash_protocol.decode_bytes(self._request.get(name))

    def connection(self) -> flash_protocol.Connection:
        """Return where the volume is.

        :raises flash_protocol.ProtocolError: if that is not said.
        """
        return flash_protocol.connection_from_message(
            self._request.get('connection'))


Verb = Callable[[service.Service, Fields], Message | None]


def _open(stores: service.Service, fields: Fields) -> Message:
    return stores.open(fields.instance(), fields.connection())


def _format(stores: service.Service, fields: Fields) -> Message:
    expect = fields.text('expect', 16, 'any')
    if expect not in _EXPECTATIONS:
        raise errors.Invalid(f'"{expect}" is nothing to expect')
    return stores.format(
        fields.instance(), fields.number('flash_size'),
        fields.content('store'), fields.text('reason', _REASON_MAX), expect)


def _commit(stores: service.Service, fields: Fields) -> Message:
    return stores.commit(
        fields.instance(), fields.content('store'),
        fields.text('reason', _REASON_MAX),
        fields.optional_number('expect_sequence'),
        fields.optional_number('flash_size'))


def _serve(stores: service.Service, fields: Fields) -> Message:
    return stores.serve(fields.instance(), fields.text('mode', 16),
                        fields.text('owner', _OWNER_MAX))


def _verify(stores: service.Service, fields: Fields) -> Message:
    return stores.verify(fields.instance(), fields.content('flash'),
                         fields.flag('adopt'),
                         fields.optional_number('expect_writes'))


VERBS: Mapping[str, Verb] = {
    'hello': lambda stores, fields: stores.hello(),
    'open': _open,
    'format': _format,
    'convert': lambda stores, fields: stores.convert(fields.instance()),
    'read': lambda stores, fields: stores.read(
        fields.instance(), fields.optional_number('version')),
    'history': lambda stores, fields: stores.history(fields.instance()),
    'commit': _commit,
    'serve': _serve,
    'take': lambda stores, fields: stores.take(fields.instance()),
    'stop': lambda stores, fields: stores.stop(fields.instance()),
    'close': lambda stores, fields: stores.close(fields.instance()),
    'state': lambda stores, fields: stores.state(fields.instance()),
    'verify': _verify,
    'list': lambda stores, fields: stores.list(),
}


def answer(stores: service.Service, line: bytes) -> bytes:
    """Return the line that answers a request."""
    try:
        request = flash_protocol.decode_line(line)
        verb = request.get('verb')
        if not isinstance(verb, str) or verb not in VERBS:
            raise errors.Invalid('the verb is unknown')
        content = VERBS[verb](stores, Fields(request))
        return flash_protocol.encode_line({'ok': content or {}})
    except errors.FlashError as error:
        return _refusal(type(error).__name__, str(error))
    except (flash_protocol.ProtocolError,
            exception.VariableStoreInvalid) as error:
        return _refusal('Invalid', str(error))
    except OSError as error:
        return _refusal('VolumeFailed', committer.describe(error))
    except Exception:
        # A mistake in this program; the service goes on for all others.
        LOG.exception('Failed to answer a request')
        return _refusal('Internal', 'the service has a fault; see its log')


def _refusal(name: str, message: str) -> bytes:
    return flash_protocol.encode_line({'error': name,
                                       'message': message[:1000]})
