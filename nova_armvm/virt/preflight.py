# SPDX-License-Identifier: Apache-2.0
"""What the compute service checks before it starts.

Each check returns what is wrong and how to mend it, so that an operator
finds everything in one message and not one thing a restart.
"""
from collections.abc import Iterator, Mapping
import shutil
import typing as ty

from cinderclient import exceptions as cinder_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import context as nova_context
from nova import exception as nova_exception
from nova.virt.libvirt import host as libvirt_host
from nova.volume import cinder
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import strutils

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.host import flash_service
from nova_armvm.host import volumes
from nova_armvm.virt import boot_order

LOG = logging.getLogger(__name__)

#: The first with a format on <nvram>.
MIN_LIBVIRT = (9, 2, 0)

#: What compute_driver has to be.
DRIVER = 'armvm.ArmVMLibvirtDriver'

CREDENTIALS_REFUSED = (
    'The credentials of [cinder] were refused: correct them; the user needs '
    'the roles "admin" and "service" in its project.')

_HELLO_SECONDS = 10

#: Storage protocols, as Cinder's pools report them, that need librbd here.
_RBD_PROTOCOLS = ('ceph', 'rbd')


def check(conf: cfg.ConfigOpts, host: libvirt_host.Host) -> None:
    """Refuse to start on a host that could not keep a guest's variables.

    Cinder being away is no reason to refuse: this host also runs guests that
    do not need it, and it may come later.

    :raises HostNotReady: with every problem and its remedy.
    """
    problems = [*configuration_problems(conf), *software_problems(host),
                *service_problems(conf.armvm.nvramd_directory),
                *firmware_problems(conf)]
    if not problems:
        problems = list(_cinder(conf))
    if problems:
        raise exception.HostNotReady(problems=' '.join(
            f'({number}) {problem}'
            for number, problem in enumerate(problems, 1)))


def configuration_problems(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Yield the options that are missing."""
    yield from credentials_problems(conf)
    yield from token_problems(conf)


def credentials_problems(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Yield that Cinder cannot be logged in to, if so."""
    if not conf.cinder.auth_type:
        yield ('[cinder] auth_type is not set: give the credentials '
               '(auth_type, auth_url, username, password, project_name, ...) '
               'of the project that shall own the volumes.')


def token_problems(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Yield that volumes could not always be detached, if so."""
    if not conf.service_user.send_service_user_token:
        yield ('[service_user] send_service_user_token is off: switch it on '
               'and give the credentials of a user with the role "service", '
               'or volumes cannot be detached while the Nova API is away.')


class Versioned(ty.Protocol):
    """A libvirt whose version can be asked, as nova's Host."""

    def has_min_version(self, wanted: tuple[int, int, int]) -> bool:
        """Tell whether libvirt is of this version or a later one."""


def software_problems(host: Versioned) -> Iterator[str]:
    """Yield what has to be installed on this host."""
    if not host.has_min_version(MIN_LIBVIRT):
        yield ('libvirt is older than %d.%d.%d, which cannot keep variables '
               'on a volume: install a newer one.' % MIN_LIBVIRT)
    if boot_order.libvirt_qemu is None:
        yield ('The Python module "libvirt_qemu" is missing: install the '
               'whole of libvirt-python.')
    if shutil.which('qemu-img') is None:
        yield 'qemu-img is not installed: install QEMU\'s tools (qemu-utils).'


def service_problems(directory: str) -> Iterator[str]:
    """Yield that the flash service of this host cannot be used, if so.

    :param directory: of the service.
    """
    try:
        flash_service.FlashService(directory).hello(_HELLO_SECONDS)
    except flash_service.Incompatible as error:
        LOG.error('The flash service is of another release: %s', error)
        yield ('The flash service (armvm-nvramd) is of another release than '
               'this driver: install the same and restart the service.')
    except flash_service.FlashServiceError as error:
        LOG.error('The flash service does not answer: %s', error)
        yield (f'The flash service does not answer in {directory}: start '
               'armvm-nvramd on this host (systemctl enable --now '
               'armvm-nvramd), or correct [armvm] nvramd_directory.')


def has_rbd(directory: str) -> bool:
    """Return whether the flash service of this host can open RBD images.

    :raises FlashServiceUnavailable: if it does not answer.
    """
    with volumes.translated('that is to be used'):
        return flash_service.FlashService(directory).hello(
            _HELLO_SECONDS).rbd


def machine_problems(traits: Mapping[str, bool]) -> Iterator[str]:
    """Yield that libvirt runs no ARM machine here, if so.

    :param traits: of this host.
    """
    if not traits['CUSTOM_ARMVM']:
        yield ('libvirt offers no ARM machine with UEFI firmware: install '
               'qemu-system-arm (QEMU for aarch64) and the firmware '
               '(qemu-efi-aarch64, edk2-aarch64).')


def firmware_problems(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Yield that there is no firmware, if so."""
    directories = conf.armvm.firmware_descriptor_dirs
    if not any('aarch64' in descriptor.architectures and
               firmware.is_installed(descriptor)
               for descriptor in firmware.load_descriptors(directories)):
        yield ('No firmware for aarch64 with a variable template is '
               'described in %s: install one (qemu-efi-aarch64, '
               'edk2-aarch64) or correct [armvm] firmware_descriptor_dirs.'
               % ', '.join(directories))


def _cinder(conf: cfg.ConfigOpts) -> Iterator[str]:
    try:
        client = cinder.cinderclient(nova_context.get_admin_context())
        wanted = conf.armvm.nvram_volume_type
        yield from (list(type_problems(client, wanted)) or
                    binding_problems(
                        client, wanted,
                        has_rbd(conf.armvm.nvramd_directory)))
    except (keystone_errors.Unauthorized, cinder_errors.Unauthorized,
            cinder_errors.Forbidden, keystone_errors.Forbidden,
            nova_exception.Unauthorized) as error:
        LOG.error('Cinder or Keystone refused the credentials of [cinder]: '
                  '%s', error)
        yield CREDENTIALS_REFUSED
    except (cinder_errors.ClientException, keystone_errors.ClientException,
            nova_exception.CinderConnectionFailed) as error:
        LOG.warning('Cinder cannot be asked about the volume type of UEFI '
                    'variables now; going on. Servers that need it will '
                    'fail to start until it is back: %s', error)


def type_problems(client: ty.Any, wanted: str | None) -> Iterator[str]:
    """Yield what keeps a volume type from being used for stores.

    :param client: of Cinder, with the credentials of [cinder].
    :param wanted: name or id, None for Cinder's default.
    :raises cinderclient.exceptions.ClientException: Cinder does not say.
    """
    found = volume_type(client, wanted)
    if found is None:
        yield (f'The volume type "{wanted}" is unknown to Cinder, or private '
               'without access for the project of [cinder]: create it, grant '
               'the access, or choose another ([armvm] nvram_volume_type).')
        return
    yield from _kind_problems(client, found)


def binding_problems(client: ty.Any, wanted: str | None,
                     has_rbd: bool) -> Iterator[str]:
    """Yield the Python modules that a volume type needs on a host.

    :param client: as for type_problems().
    :param wanted: a type for which that yields nothing.
    :param has_rbd: the host's flash service can open RBD images.
    :raises cinderclient.exceptions.ClientException: Cinder does not say.
    """
    found = volume_type(client, wanted)
    if not has_rbd and _is_on_rbd(client, found):
        yield ('The flash service cannot import the Python modules "rados" '
               f'and "rbd", which the volume type "{found.name}" needs: '
               'install python3-rados and python3-rbd where it runs and '
               'restart it.')


def volume_type(client: ty.Any, wanted: str | None) -> ty.Any:
    """Return a volume type; None if there is none that may be used.

    :param wanted: name or id, None for Cinder's default.
    """
    if wanted is None:
        return client.volume_types.default()
    # Admins are shown private types without access as well.
    for found in client.volume_types.list(
            search_opts={'is_public': None}):
        if wanted in (found.name, found.id):
            return found if _may_use(client, found) else None
    return None


def _may_use(client: ty.Any, found: ty.Any) -> bool:
    if found.is_public:
        return True
    project = client.client.get_project_id()
    return any(access.project_id == project
               for access in client.volume_type_access.list(found.id))


def _kind_problems(client: ty.Any, found: ty.Any) -> Iterator[str]:
    try:
        encryption = client.volume_encryption_types.get(found.id)
    except cinder_errors.NotFound:
        encryption = None
    if getattr(encryption, 'encryption_id', None):
        yield (f'The volume type "{found.name}" is encrypted, which flash '
               'cannot be: choose another as [armvm] nvram_volume_type.')
    multiattach = found.extra_specs.get('multiattach', '')
    if strutils.bool_from_string(multiattach.replace('<is>', '').strip()):
        yield (f'The volume type "{found.name}" is multi-attach, so two '
               'hosts could write one store: choose another as [armvm] '
               'nvram_volume_type.')


def _is_on_rbd(client: ty.Any, found: ty.Any) -> bool:
    backend = found.extra_specs.get('volume_backend_name')
    return any(_is_rbd(pool) for pool in client.pools.list(detailed=True)
               if backend in (None, getattr(pool, 'volume_backend_name',
                                            None)))


def _is_rbd(pool: ty.Any) -> bool:
    protocol = getattr(pool, 'storage_protocol', None)
    # Drivers report one name or every name that it ever had.
    names = protocol if isinstance(protocol, list) else [protocol]
    return not set(names).isdisjoint(_RBD_PROTOCOLS)
