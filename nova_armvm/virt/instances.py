# SPDX-License-Identifier: Apache-2.0
"""What Nova's record of an instance says about its machine and store."""
from nova import objects
from nova.objects import fields
from nova.virt.libvirt import utils as libvirt_utils

from nova_armvm.profile.handlers import nvram
from nova_armvm.profile.handlers import nvram_template
from nova_armvm.profile import machine
from nova_armvm.profile import properties
from nova_armvm.profile import registry
from nova_armvm.store import ref as instance_ref

#: Nova keeps the properties of an instance's image under keys that begin so.
IMAGE_KEY = 'image_'


def key_of(name: str) -> str:
    """Return where a property of ours is kept with an instance.

    :param name: of the property, without prefix.
    """
    return IMAGE_KEY + properties.IMAGE_PREFIX + name


NVRAM_KEY = key_of(nvram.PROPERTY.name)
TEMPLATE_KEY = key_of(nvram_template.PROPERTY.name)


def image_properties(instance: objects.Instance) -> dict[str, str]:
    """Return the image's properties as they are kept with an instance."""
    return {key.removeprefix(IMAGE_KEY): value
            for key, value in instance.system_metadata.items()
            if key.startswith(IMAGE_KEY)}


def hardware(instance: objects.Instance) -> machine.Hardware:
    """Return what was decided for an instance's machine."""
    return registry.recorded(image_properties(instance))


def architecture(image_meta: objects.ImageMeta) -> str:
    """Return the architecture of an image's machines, emulated or not."""
    return (image_meta.properties.get('hw_emulation_architecture') or
            libvirt_utils.get_arch(image_meta))


def is_arm(image_meta: objects.ImageMeta) -> bool:
    """Tell whether an image is for ARM machines."""
    return architecture(image_meta) in machine.ARCHITECTURES


def has_uefi(image_meta: objects.ImageMeta) -> bool:
    """Tell whether machines of an image start with UEFI firmware.

    Nova's default is UEFI for AArch64 and nothing for ARMv7.
    """
    wanted = image_meta.properties.get('hw_firmware_type')
    if wanted is None:
        return architecture(image_meta) == machine.AARCH64
    return wanted == fields.FirmwareType.UEFI


def has_store(instance: objects.Instance) -> bool:
    """Return whether Nova has an instance with persistent variables.

    A copy of the truth, which Nova's API deletes at every rebuild request;
    see nova_armvm.virt.knowledge.
    """
    return (instance.system_metadata.get(NVRAM_KEY) == nvram.PERSISTENT and
            is_arm(instance.image_meta))


def template_image(instance: objects.Instance) -> str | None:
    """Return the id of the image that an instance's variables come from."""
    if not has_store(instance):
        return None
    return instance.system_metadata.get(TEMPLATE_KEY)


class Refs:
    """Makes InstanceRefs of Nova's instances."""

    def __init__(self, cross_az_attach: bool) -> None:
        """Remember an option.

        :param cross_az_attach: [cinder] cross_az_attach; when false, a
            volume has to be in its instance's availability zone.
        """
        self._cross_az_attach = cross_az_attach

    def ref(self, instance: objects.Instance) -> instance_ref.InstanceRef:
        """Return the reference of an instance."""
        zone = None if self._cross_az_attach else instance.availability_zone
        return instance_ref.InstanceRef(instance.uuid, instance.project_id,
                                        zone, instance)
