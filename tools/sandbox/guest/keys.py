# SPDX-License-Identifier: Apache-2.0
"""Keys for Secure Boot, the sandbox's own; made once."""
import os
import pathlib

from tools.sandbox import config
from tools.sandbox import process

_DIRECTORY = config.STATE / 'guest' / 'keys'
NAMES = ('PK', 'KEK', 'db')


def certificate(name: str) -> pathlib.Path:
    """Return the certificate of one of NAMES, as PEM; made if it is not."""
    path = _DIRECTORY / f'{name}.crt'
    if not path.exists():
        _DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_suffix('.new')
        process.run('openssl', 'req', '-x509', '-newkey', 'rsa:2048',
                    '-nodes', '-days', '3650', '-subj', f'/CN=sandbox {name}',
                    '-keyout', _key(name), '-out', scratch, log='guest')
        scratch.rename(path)
    return path


def _key(name: str) -> pathlib.Path:
    return _DIRECTORY / f'{name}.key'


def sign(program: str | os.PathLike, signed: str | os.PathLike) -> None:
    """Sign an EFI program with the key that db knows."""
    process.run('sbsign', '--cert', certificate('db'), '--key', _key('db'),
                '--output', signed, program, log='guest')
