# SPDX-License-Identifier: Apache-2.0
"""What Nova's record of an instance says about its store."""
from nova import objects
from nova.objects import fields
from nova.virt.libvirt import utils as libvirt_utils

from nova_armvm.nvram import volume
from nova_armvm.profile import properties

_ARM = (fields.Architecture.AARCH64, fields.Architecture.ARMV7)

#: Nova keeps the properties of an instance's image under keys that begin so.
IMAGE_KEY = 'image_'
NVRAM_KEY = IMAGE_KEY + properties.NVRAM.image_name
_PERSISTENT = properties.NVRAM.allowed[0]


def is_arm(image_meta: objects.ImageMeta) -> bool:
    """Tell whether an image is for ARM machines."""
    emulated = image_meta.properties.get('hw_emulation_architecture')
    return (emulated or libvirt_utils.get_arch(image_meta)) in _ARM


def has_flash(image_meta: objects.ImageMeta) -> bool:
    """Tell whether machines of an image keep variables at all."""
    wanted = image_meta.properties
    return (wanted.get('hw_firmware_type') != fields.FirmwareType.BIOS and
            not wanted.get('hw_firmware_stateless'))


def has_store(instance: objects.Instance) -> bool:
    """Tell whether an instance is on record with persistent variables."""
    return (instance.system_metadata.get(NVRAM_KEY) == _PERSISTENT and
            is_arm(instance.image_meta))


class Owners:
    """Names instances to the lower half, which does not know Nova."""

    def __init__(self, cross_az_attach: bool) -> None:
        """Prepare.

        :param cross_az_attach: [cinder] cross_az_attach; when false, a
            volume has to be in its instance's availability zone.
        """
        self._cross_az_attach = cross_az_attach

    def owner(self, instance: objects.Instance) -> volume.Owner:
        """Return the owner of an instance's store."""
        zone = None if self._cross_az_attach else instance.availability_zone
        return volume.Owner(instance.uuid, instance.project_id, zone,
                            instance)
