# SPDX-License-Identifier: Apache-2.0
"""Options of nova_armvm: the group [armvm] of nova.conf.

Read at the edge (nova_armvm.virt) and passed down as values.
"""
import typing as ty

from oslo_config import cfg

armvm_group = cfg.OptGroup(
    'armvm',
    title='ARM virtual machines with persistent UEFI variables',
    help="""
Options of the driver ``armvm.ArmVMLibvirtDriver``, which keeps the UEFI
variables of each ARM guest on a Cinder volume of its own.

The volumes are made with the credentials of the ``[cinder]`` group
(``auth_type`` and what belongs to it), in the project that these name, and
detached with the service token of ``[service_user]``. How long to wait for
Cinder is taken from ``[DEFAULT] block_device_allocate_retries`` and
``block_device_allocate_retries_interval``.
""")

armvm_opts = [
    cfg.StrOpt(
        'nvram_default',
        default='persistent',
        choices=[
            ('persistent',
             'The variables live on a Cinder volume and follow the server.'),
            ('volatile',
             'The variables live in a file on the compute host, as with '
             'the libvirt driver, and are lost when the server moves.'),
        ],
        help="""
Where the UEFI variables of an ARM guest live when its image does not say so.

An image overrides it with the property ``hw_armvm_nvram``, a flavor with the
extra spec ``armvm:nvram``. What was decided at first boot is recorded on the
instance: a change of this option affects new servers only.
"""),
    cfg.StrOpt(
        'nvram_volume_type',
        help="""
Name or id of the Cinder volume type of the volumes that hold UEFI variables.

Each volume has 1 GiB, of which at most 4 MiB are used, so choose a type of a
thinly provisioned back end. The type must be neither encrypted nor
multi-attach. A private type to which only the project of ``[cinder]`` has
access keeps these volumes apart from those of tenants. The quota of that
project (volumes, gigabytes) must allow one volume per ARM server.

When unset, Cinder's default type is used, under the same conditions.
"""),
    cfg.StrOpt(
        'nvramd_directory',
        default='/run/armvm-nvramd',
        help="""
Directory in which the flash service of this host (``armvm-nvramd``) listens.

It has to be the same on every compute host: the socket's path is part of each
ARM guest's description, which goes to the destination of a live migration as
it is. It is given to the service as ``--directory``.
"""),
    cfg.IntOpt(
        'nvram_reconnect_seconds',
        default=300,
        min=1,
        help="""
Seconds that QEMU waits for the flash service when that is away.

A guest that writes a UEFI variable meanwhile stands still until the service
is back; all others go on. After this time QEMU gives up and tells the guest
that the write succeeded, which cannot be helped; the driver then reads the
flash back out of QEMU as soon as the service is there again. Counts for
guests that are started from then on.
"""),
    cfg.StrOpt(
        'image_check',
        default='off',
        choices=[
            ('off', 'Images are not looked into.'),
            ('warn', 'A warning in the log names what is wrong with an '
                     'image.'),
            ('enforce', 'A server is not built from an image that does not '
                        'comply.'),
        ],
        help="""
Whether images of ARM servers are held against the VM System Specification for
ARM Processors (IMG-1 to IMG-5) before a first boot.

The image is looked into where Nova caches it on the compute host, once for
each image, in about 10 milliseconds. A server that boots from a volume has no
image and passes. Where the host keeps no copy of images (``[libvirt]
images_type = rbd`` with images that are cloned) they cannot be looked into,
which ``enforce`` takes for a reason to refuse; check them before they are
uploaded then (``armvm-image check``).
"""),
    cfg.ListOpt(
        'firmware_descriptor_dirs',
        default=['/etc/qemu/firmware', '/usr/share/qemu/firmware'],
        help="""
Directories with QEMU firmware descriptors (JSON), the most important first.

The variable template of a new store is the one whose descriptor belongs to
the loader that libvirt selected for the guest, so these must be the
directories that libvirtd reads. A file in an earlier directory hides the
file of the same name in a later one.
"""),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the group [armvm] with a configuration object.

    :param conf: normally ``nova.conf.CONF``; registering again is harmless.
    """
    conf.register_group(armvm_group)
    conf.register_opts(armvm_opts, group=armvm_group)


def list_opts() -> list[tuple[cfg.OptGroup, list[ty.Any]]]:
    """Return the options for oslo-config-generator (oslo.config.opts)."""
    return [(armvm_group, armvm_opts)]
