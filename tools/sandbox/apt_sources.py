# SPDX-License-Identifier: Apache-2.0
"""Where this machine gets Debian's packages from."""
import dataclasses
import pathlib
import re

from tools.sandbox import process

_TOP = pathlib.Path('/etc/apt')


@dataclasses.dataclass(frozen=True)
class Source:
    """One source of apt.

    :ivar signed_by: path of its keyring, None for apt's own.
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None


def configured(top: pathlib.Path = _TOP) -> list[Source]:
    """Return the sources of binary packages of apt's two file formats."""
    lists = [top / 'sources.list', *sorted(top.glob('sources.list.d/*.list'))]
    return [
        *(source for path in lists if path.exists()
          for source in _one_line(path.read_text())),
        *(source for path in sorted(top.glob('sources.list.d/*.sources'))
          for source in _deb822(path.read_text()))]


def bookworm() -> Source:
    """Return where this machine gets Debian 12 from.

    :raises SandboxError: from nowhere.
    """
    found = next((source for source in configured()
                  if 'bookworm' in source.suites and
                  'main' in source.components), None)
    if found is None:
        raise process.SandboxError(
            'no Debian bookworm source is configured on this machine')
    return found


def line(like: Source, suite: str) -> str:
    """Return a line for another suite of the same archive."""
    options = f'[signed-by={like.signed_by}] ' if like.signed_by else ''
    return f'deb {options}{like.uri} {suite} main\n'


def _one_line(text: str) -> list[Source]:
    found = re.findall(r'^deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)([^#\n]*)',
                       text, re.MULTILINE)
    return [Source(uri, (suite,), tuple(components.split()),
                   _signed_by(options))
            for options, uri, suite, components in found]


def _signed_by(options: str) -> str | None:
    found = re.search(r'signed-by=(\S+)', options)
    return found.group(1) if found else None


def _deb822(text: str) -> list[Source]:
    sources = []
    for stanza in re.split(r'\n\s*\n', text):
        fields = {name.lower(): value.strip() for name, value in re.findall(
            r'^([A-Za-z-]+):(.*(?:\n[ \t].*)*)', stanza, re.MULTILINE)}
        if ('deb' not in fields.get('types', '').split() or
                fields.get('enabled') == 'no'):
            continue
        key = fields.get('signed-by')
        # A key that stands in the file itself cannot be named elsewhere.
        sources += [Source(uri, tuple(fields.get('suites', '').split()),
                           tuple(fields.get('components', '').split()),
                           key if key and key.startswith('/') else None)
                    for uri in fields.get('uris', '').split()]
    return sources
