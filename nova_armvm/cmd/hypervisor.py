# SPDX-License-Identifier: Apache-2.0
"""The libvirt of the host where a command runs."""
from collections.abc import Iterator
import contextlib
import typing as ty

from oslo_config import cfg
from oslo_utils import importutils

from nova_armvm import exception

#: Comes with nova-compute, which may not be installed where this is run.
libvirt = importutils.try_import('libvirt')

_MILLION, _THOUSAND = 1_000_000, 1_000


@contextlib.contextmanager
def connected(conf: cfg.ConfigOpts) -> Iterator[ty.Any]:
    """Connect to libvirt for a while.

    :param conf: nova.conf, of a compute host.
    :returns: a libvirt.virConnect.
    :raises HypervisorUnreachable: there is no libvirt here, or it does not
        answer what it is asked in this time.
    """
    uri = conf.libvirt.connection_uri or 'qemu:///system'
    if libvirt is None:
        raise exception.HypervisorUnreachable(
            uri=uri, reason='the Python module "libvirt" is not installed')
    try:
        connection = libvirt.open(uri)
        try:
            yield connection
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        raise exception.HypervisorUnreachable(
            uri=uri, reason=str(error)) from error


def version(number: int) -> tuple[int, int, int]:
    """Take apart a version as libvirt writes it: 11003000 is 11.3.0."""
    return (number // _MILLION, number // _THOUSAND % _THOUSAND,
            number % _THOUSAND)


def words(wanted: tuple[int, int, int]) -> str:
    """Return a version as people write it."""
    return '.'.join(map(str, wanted))


class Versions:
    """What runs on this host.

    :ivar libvirt: version of the daemon.
    :ivar qemu: version of QEMU.
    """

    def __init__(self, connection: ty.Any) -> None:
        self.libvirt = version(connection.getLibVersion())
        self.qemu = version(connection.getVersion())

    def has_min_version(self, wanted: tuple[int, int, int]) -> bool:
        """Tell whether libvirt is of this version or a later one."""
        return self.libvirt >= wanted
