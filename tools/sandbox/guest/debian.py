# SPDX-License-Identifier: Apache-2.0
"""Debian's arm64 packages, without touching this machine's own dpkg."""
import pathlib
import re

from tools.sandbox import config
from tools.sandbox import process

_TOP = config.STATE / 'guest' / 'apt'

_CONFIGURATION = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
Dir::State "{top}/state";
Dir::State::status "{top}/state/status";
Dir::Cache "{top}/cache";
Acquire::Languages "none";
"""


def unpacked() -> pathlib.Path:
    """Download and unpack what the guest is made of; return the tree.

    The kernel is Debian's for clouds, the smallest that has efivarfs.
    """
    tree = _TOP / 'tree'
    if (tree / '.complete').exists():
        return tree
    for name in ('state/lists/partial', 'cache/archives/partial', 'debs',
                 'tree'):
        (_TOP / name).mkdir(parents=True, exist_ok=True)
    (_TOP / 'state' / 'status').touch()
    settings = _TOP / 'apt.conf'
    settings.write_text(_CONFIGURATION.format(top=_TOP))
    environment = {'APT_CONFIG': str(settings)}
    process.run('apt-get', '-q', 'update', log='guest',
                environment=environment)
    depends = process.run('apt-cache', 'depends', 'linux-image-cloud-arm64',
                          log='guest', environment=environment)
    kernel = re.search(r'Depends: (linux-image-\S+)', depends).group(1)
    process.run('apt-get', '-q', 'download', kernel, 'busybox-static',
                'grub-efi-arm64-bin', log='guest', environment=environment,
                cwd=_TOP / 'debs')
    for package in (_TOP / 'debs').glob('*.deb'):
        process.run('dpkg', '-x', package, tree, log='guest')
    (tree / '.complete').touch()
    return tree
