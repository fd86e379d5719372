# SPDX-License-Identifier: Apache-2.0
"""Secure Boot's variables, made from certificates.

Each holds EFI_SIGNATURE_LISTs (UEFI specification, section 32.4.1), here one
for each certificate: X.509 certificates differ in length, and a list has
signatures of one length only. With a PK in its store edk2 is in user mode at
the next start, and Secure Boot is on.
"""
from collections.abc import Iterable
import dataclasses
import datetime
import struct
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography import x509

from nova_armvm import exception
from nova_armvm.uefi import boot
from nova_armvm.uefi import varstore

IMAGE_SECURITY = uuid.UUID('d719b2cb-3d3a-4596-a3bc-dad00e67656f')
#: EFI_CERT_X509_GUID.
_X509 = uuid.UUID('a5c059a1-94e4-4aa7-87b5-ab155c2bf072')
#: Its size, that of a header in it (none), that of each signature.
_LIST_HEADER = struct.Struct('<16sIII')
_OWNER_SIZE = 16
#: Non-volatile, for boot and runtime services, written with a signature and
#: a time.
ATTRIBUTES = 0x27

#: Files with more are no certificates.
MAX_FILE = 256 * 1024
_PEM = b'-----BEGIN '
_PRIVATE = b'PRIVATE KEY-----'


@dataclasses.dataclass(frozen=True)
class Keys:
    """Certificates as DER, by the variable that they go to.

    :ivar pk: the platform's owner, who may change everything.
    :ivar kek: who may change db and dbx.
    :ivar db: who signs what may be started.
    :ivar dbx: who signs what may not, whatever db says.
    """

    pk: bytes
    kek: tuple[bytes, ...]
    db: tuple[bytes, ...]
    dbx: tuple[bytes, ...] = ()


def certificates(content: bytes, path: str) -> tuple[bytes, ...]:
    """Return the X.509 certificates in a file, as DER.

    :param content: PEM with one or more of them, or one as DER.
    :param path: of the file, for the error.
    :raises FileUnusable: it is something else.
    """
    if len(content) > MAX_FILE:
        raise exception.FileUnusable(
            path=path, reason='it is too large for a certificate')
    try:
        found = (x509.load_pem_x509_certificates(content)
                 if _PEM in content else
                 [x509.load_der_x509_certificate(content)])
    except ValueError as error:
        reason = ('it holds a private key and no certificate'
                  if _PRIVATE in content else
                  'it is no X.509 certificate, neither PEM nor DER')
        raise exception.FileUnusable(path=path, reason=reason) from error
    return tuple(each.public_bytes(serialization.Encoding.DER)
                 for each in found)


def signature_lists(found: Iterable[bytes], owner: uuid.UUID) -> bytes:
    """Return the content of a variable.

    :param found: certificates as DER.
    :param owner: says who has put them there; firmware does not care.
    """
    lists = []
    for certificate in found:
        signature = _OWNER_SIZE + len(certificate)
        lists.append(_LIST_HEADER.pack(
            _X509.bytes_le, _LIST_HEADER.size + signature, 0, signature) +
            owner.bytes_le + certificate)
    return b''.join(lists)


def enrolled(keys: Keys, owner: uuid.UUID,
             now: datetime.datetime) -> tuple[varstore.Variable, ...]:
    """Return the variables of a store in which keys are enrolled.

    :param now: when they were; later changes need a later time.
    """
    contents = (('PK', boot.GLOBAL, (keys.pk,)),
                ('KEK', boot.GLOBAL, keys.kek),
                ('db', IMAGE_SECURITY, keys.db),
                ('dbx', IMAGE_SECURITY, keys.dbx))
    return tuple(
        varstore.Variable(varstore.VariableKey(guid, name), ATTRIBUTES,
                          signature_lists(found, owner),
                          now.replace(microsecond=0))
        for name, guid, found in contents if found)
