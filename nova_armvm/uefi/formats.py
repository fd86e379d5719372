# SPDX-License-Identifier: Apache-2.0
"""Variables in files, as other programs read and write them.

``raw`` is the flash itself. ``json`` is what QEMU's uefi-vars device and
virt-fw-vars use. ``aws`` is EC2's UefiData: variables compressed with a
dictionary that both sides know, in base64; the dictionary is in Amazon's
package ``uefivars``. All of it may come from anybody.
"""
import base64
import binascii
from collections.abc import Iterable
import datetime
import json
import struct
import typing as ty
import uuid
import zlib

from oslo_utils import importutils

from nova_armvm import crc32c
from nova_armvm import exception
from nova_armvm.uefi import edit
from nova_armvm.uefi import varstore

aws_v0 = importutils.try_import('pyuefivars.aws_v0')

FORMATS = ('raw', 'json', 'aws')

#: A file with more is none of these but raw.
MAX_TEXT = 4 * 1024 * 1024
_MAX_UNPACKED = 4 * 1024 * 1024
_MAX_VARIABLES = 4096

_JSON_VERSION = 2
_AWS_HEADER = struct.Struct('<8sII')
_AWS_MAGIC = b'AMZNUEFI'
#: The checksum is of what follows it.
_AWS_CHECKED_FROM = 12
_TIME_BASED = 0x20
_NO_DIGEST = bytes(32)


def _invalid(kind: str, reason: str) -> exception.VariableFileInvalid:
    return exception.VariableFileInvalid(kind=kind, reason=reason)


def to_json(variables: Iterable[varstore.Variable]) -> str:
    """Write variables as virt-fw-vars does (version 2)."""
    return json.dumps({'version': _JSON_VERSION, 'variables': [
        _json_variable(each) for each in _in_order(variables)]}, indent=4)


def _in_order(
        variables: Iterable[varstore.Variable]) -> list[varstore.Variable]:
    return sorted(variables, key=lambda variable: variable.key)


def _json_variable(variable: varstore.Variable) -> dict[str, ty.Any]:
    written = {'name': variable.key.name, 'guid': str(variable.key.guid),
               'attr': variable.attributes, 'data': variable.content.hex()}
    if variable.timestamp is not None:
        written['time'] = edit.efi_time(variable.timestamp).hex()
    return written


def from_json(text: str) -> tuple[varstore.Variable, ...]:
    """Read what to_json() or virt-fw-vars has written.

    :raises VariableFileInvalid: it is something else.
    """
    try:
        document = json.loads(text)
        listed = document['variables']
        if document['version'] != _JSON_VERSION:
            raise _invalid('json', 'its version is unknown')
        if len(listed) > _MAX_VARIABLES:
            raise _invalid('json', 'there are too many variables')
        return tuple(_from_json(each) for each in listed)
    except (ValueError, KeyError, TypeError, AttributeError,
            RecursionError) as error:
        raise _invalid('json', f'it is not what was expected ({error!r:.80})'
                       ) from error


def _from_json(written: ty.Any) -> varstore.Variable:
    name, attributes = written['name'], written['attr']
    if not isinstance(name, str) or not isinstance(attributes, int):
        raise ValueError('a name or an attribute is of another type')
    time = bytes.fromhex(written['time']) if written.get('time') else b''
    return varstore.Variable(
        varstore.VariableKey(uuid.UUID(written['guid']), name), attributes,
        bytes.fromhex(written['data']), _time(time, 'json'))


def _time(raw: bytes, kind: str) -> datetime.datetime | None:
    if not raw:
        return None
    if len(raw) != varstore.TIME.size:
        raise _invalid(kind, 'a time is of another length')
    return varstore.timestamp(raw)


def _dictionary() -> bytes:
    if aws_v0 is None:
        raise exception.PackageMissing(package='uefivars',
                                       purpose='EC2\'s format')
    return aws_v0.UEFIVarStoreV0.dict


def to_aws(variables: Iterable[varstore.Variable]) -> str:
    """Write variables as EC2's UefiData.

    :raises PackageMissing: uefivars is not installed.
    """
    listed = _in_order(variables)
    raw = [struct.pack('<Q', len(listed))]
    for variable in listed:
        raw += [_sized(variable.key.name.encode('utf-8', 'surrogatepass')),
                _sized(variable.content), variable.key.guid.bytes_le,
                struct.pack('<I', variable.attributes)]
        if variable.attributes & _TIME_BASED:
            raw += [edit.efi_time(variable.timestamp),
                    _sized(_NO_DIGEST)]
    packer = zlib.compressobj(9, zdict=_dictionary())
    packed = packer.compress(b''.join(raw)) + packer.flush()
    version = struct.pack('<I', 0)
    return base64.b64encode(
        _AWS_MAGIC + struct.pack('<I', crc32c.crc32c(version + packed)) +
        version + packed).decode()


def _sized(content: bytes) -> bytes:
    return struct.pack('<Q', len(content)) + content


def from_aws(text: str) -> tuple[varstore.Variable, ...]:
    """Read EC2's UefiData.

    :raises VariableFileInvalid: it is something else.
    :raises PackageMissing: uefivars is not installed.
    """
    try:
        content = base64.b64decode(''.join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid('aws', 'it is not base64') from error
    if len(content) < _AWS_HEADER.size:
        raise _invalid('aws', 'it ends within its header')
    magic, checksum, version = _AWS_HEADER.unpack_from(content)
    if magic != _AWS_MAGIC or version != 0:
        raise _invalid('aws', 'its version is unknown')
    if crc32c.crc32c(content[_AWS_CHECKED_FROM:]) != checksum:
        raise _invalid('aws', 'its checksum is wrong')
    unpacker = zlib.decompressobj(zdict=_dictionary())
    try:
        raw = unpacker.decompress(content[_AWS_HEADER.size:], _MAX_UNPACKED)
    except zlib.error as error:
        raise _invalid('aws', 'it cannot be decompressed') from error
    return tuple(_AwsReader(raw).variables())


class _AwsReader:
    """Reads fields one after the other."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._place = raw, 0

    def _take(self, length: int) -> bytes:
        if length > len(self._raw) - self._place:
            raise _invalid('aws', 'it ends within a variable')
        self._place += length
        return self._raw[self._place - length:self._place]

    def _number(self, layout: str) -> int:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _sized(self) -> bytes:
        return self._take(self._number('<Q'))

    def variables(self) -> Iterable[varstore.Variable]:
        count = self._number('<Q')
        if count > _MAX_VARIABLES:
            raise _invalid('aws', 'there are too many variables')
        for _number in range(count):
            try:
                name = self._sized().decode('utf-8', 'surrogatepass')
            except UnicodeDecodeError as error:
                raise _invalid('aws', 'a name is not UTF-8') from error
            content, guid = self._sized(), self._take(16)
            attributes, time = self._number('<I'), b''
            if attributes & _TIME_BASED:
                time = self._take(varstore.TIME.size)
                self._sized()
            yield varstore.Variable(
                varstore.VariableKey(uuid.UUID(bytes_le=guid), name),
                attributes, content, _time(time, 'aws'))


def kind_of(content: bytes) -> str:
    """Return which of FORMATS a file is, judged by its beginning."""
    beginning = content[:64].lstrip()
    if beginning.startswith(b'{'):
        return 'json'
    if beginning.startswith(base64.b64encode(_AWS_MAGIC)[:10]):
        return 'aws'
    return 'raw'


def read(content: bytes) -> tuple[varstore.Variable, ...]:
    """Return the variables in a file of any of FORMATS.

    :raises VariableFileInvalid: it cannot be understood.
    :raises VariableStoreInvalid: it is raw, and no store of edk2's.
    :raises PackageMissing: it is EC2's, and uefivars is not installed.
    """
    kind = kind_of(content)
    if kind == 'raw':
        return tuple(varstore.parse(content).variables.values())
    found = _read_text(kind, content)
    if len({variable.key for variable in found}) < len(found):
        # Which of them is meant, nobody knows.
        raise _invalid(kind, 'a variable is there twice')
    return found


def _read_text(kind: str, content: bytes) -> tuple[varstore.Variable, ...]:
    if len(content) > MAX_TEXT:
        raise _invalid(kind, 'it is too long')
    try:
        text = content.decode('utf-8')
    except UnicodeDecodeError as error:
        raise _invalid(kind, 'it is not UTF-8') from error
    return from_json(text) if kind == 'json' else from_aws(text)
