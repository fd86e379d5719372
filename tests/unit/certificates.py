# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests of Secure Boot's variables."""
import datetime
import functools

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography import x509

_BEGIN = datetime.datetime(2024, 1, 1)


@functools.cache
def made(name: str) -> tuple[bytes, bytes]:
    """Return a certificate and its private key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(
        x509.NameOID.COMMON_NAME, name)])
    certificate = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(),
        _BEGIN, _BEGIN + datetime.timedelta(days=36500)).sign(
            key, hashes.SHA256())
    return (certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM,
                              serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))


def pem(name: str) -> bytes:
    """Return a certificate as PEM."""
    return made(name)[0]


def der(name: str) -> bytes:
    """Return a certificate as DER."""
    return x509.load_pem_x509_certificate(pem(name)).public_bytes(
        serialization.Encoding.DER)
