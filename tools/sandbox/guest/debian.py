# SPDX-License-Identifier: Apache-2.0
"""Debian's packages for ARM, without touching this machine's own dpkg."""
import dataclasses
import pathlib
import re

from tools.sandbox import apt_sources
from tools.sandbox import config
from tools.sandbox import process

_CONFIGURATION = """\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
Dir::State "{top}/state";
Dir::State::status "{top}/state/status";
Dir::Cache "{top}/cache";
Dir::Etc::sourcelist "{top}/sources.list";
Dir::Etc::sourceparts "-";
Acquire::Languages "none";
"""


@dataclasses.dataclass(frozen=True)
class Port:
    """One of Debian's ports to ARM.

    :ivar architecture: Debian's name of it.
    :ivar kernel: the package that depends on the kernel.
    :ivar grub: GRUB's name of the firmware that it is started by.
    :ivar program: name of the boot program on the removable-media path.
    """

    architecture: str
    kernel: str
    grub: str
    program: str

    @property
    def top(self) -> pathlib.Path:
        """Where everything of this port is kept."""
        return config.STATE / 'guest' / f'apt-{self.architecture}'


#: Kernels: the smallest that has efivarfs, and the one that finds what
#: QEMU's machine keeps above 4 GiB.
ARM64 = Port('arm64', 'linux-image-cloud-arm64', 'arm64-efi', 'BOOTAA64.EFI')
ARMHF = Port('armhf', 'linux-image-armmp-lpae', 'arm-efi', 'BOOTARM.EFI')


def unpacked(port: Port,
             archive: apt_sources.Source | None = None) -> pathlib.Path:
    """Download and unpack what the guest is made of; return the tree.

    :param archive: an archive with Debian 12, if not the one that this
        machine gets it from.
    """
    top = port.top
    tree = top / 'tree'
    if (tree / '.complete').exists():
        return tree
    for name in ('state/lists/partial', 'cache/archives/partial', 'debs',
                 'tree'):
        (top / name).mkdir(parents=True, exist_ok=True)
    (top / 'state' / 'status').touch()
    # The release itself is enough, and its index does not change every day.
    (top / 'sources.list').write_text(
        apt_sources.line(archive or apt_sources.bookworm(), 'bookworm'))
    settings = top / 'apt.conf'
    settings.write_text(_CONFIGURATION.format(
        top=top, architecture=port.architecture))
    environment = {'APT_CONFIG': str(settings)}
    process.run('apt-get', '-q', 'update', log='guest',
                environment=environment)
    depends = process.run('apt-cache', 'depends', port.kernel, log='guest',
                          environment=environment)
    kernel = re.search(r'Depends: (linux-image-\S+)', depends).group(1)
    process.run('apt-get', '-q', 'download', kernel, 'busybox-static',
                f'grub-efi-{port.grub.removesuffix("-efi")}-bin', log='guest',
                environment=environment, cwd=top / 'debs')
    for package in (top / 'debs').glob('*.deb'):
        process.run('dpkg', '-x', package, tree, log='guest')
    (tree / '.complete').touch()
    return tree
