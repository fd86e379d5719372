# SPDX-License-Identifier: Apache-2.0
"""Operations of Secure Boot: keys enrolled, authenticated variables.

Made with openssl and efitools, with keys of their own.
"""
import dataclasses
import hashlib
import pathlib
import struct
import uuid

from tools.flash_trace import commands
from tools.flash_trace import workload

GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
IMAGE_SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
_SHA256 = uuid.UUID('c1c41626-504c-4092-aca9-41f936934328')
#: Non-volatile, boot and runtime services, written with a time.
_ATTRIBUTES, _APPEND = 0x27, 0x40


@dataclasses.dataclass(frozen=True)
class SignedOperation(workload.Operation):
    """The guest writes a signed content.

    :ivar attributes: of the call.
    :ivar payload: what is written, in hexadecimal, the signature first.
    :ivar content: what the variable holds afterwards; none if it is deleted.
    """

    attributes: int
    payload: str
    content: bytes

    @property
    def command(self) -> tuple:
        return ('hex', self.sequence, self.file, f'{self.attributes:x}',
                self.payload)

    @property
    def mark(self) -> tuple:
        if not self.content:
            return super().mark
        return ('begin', self.sequence, 'set', self.name, self.guid,
                self.attributes & ~_APPEND, len(self.content),
                workload.digest(self.content))


class Signer:
    """Signs what goes into variables; every time a second later."""

    def __init__(self, directory: pathlib.Path,
                 load: workload.Workload) -> None:
        self._directory, self._load = directory, load
        self._seconds = 0

    def certificate(self, name: str) -> bytes:
        """Return the signature list of a key's certificate."""
        path = self._directory / f'{name}.esl'
        if not path.exists():
            certificate = path.with_suffix('.crt')
            commands.run('openssl', 'req', '-x509', '-newkey', 'rsa:2048',
                         '-nodes', '-days', '3650', '-subj', f'/CN={name}',
                         '-keyout', path.with_suffix('.key'),
                         '-out', certificate)
            commands.run('cert-to-efi-sig-list', certificate, path)
        return path.read_bytes()

    def set(self, name: str, guid: str, content: bytes, key: str,
            before: bytes = b'') -> SignedOperation:
        """Return the operation that sets or extends a variable.

        :param content: what is written; none to delete it.
        :param key: name of the key that it is signed with.
        :param before: what it holds already and is to keep.
        """
        self.certificate(key)
        attributes = _ATTRIBUTES | (_APPEND if before else 0)
        plain = self._directory / 'content'
        signed = self._directory / 'content.auth'
        plain.write_bytes(content)
        self._seconds += 1
        time = divmod(self._seconds, 60)
        commands.run(
            'sign-efi-sig-list', *(('-a',) if before else ()), '-g', guid,
            '-t', f'2026-01-01 00:{time[0]:02}:{time[1]:02}',
            '-k', self._directory / f'{key}.key',
            '-c', self._directory / f'{key}.crt', name, plain, signed)
        total = before + content
        return SignedOperation(
            self._load.next_sequence(), name, guid, len(total) or None,
            attributes, signed.read_bytes().hex(), total)


def hash_list(number: int) -> bytes:
    """Return a signature list with one hash, as dbx has them."""
    digest = hashlib.sha256(bytes((number,))).digest()
    return struct.pack('<16sIII', _SHA256.bytes_le, 28 + 48, 0,
                       48) + bytes(16) + digest
