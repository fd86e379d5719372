# SPDX-License-Identifier: Apache-2.0
"""What an NVRAM volume remembers: its metadata in Cinder.

The keys are those of the first release, so volumes of every age can be read.
Facts that the log on the volume holds itself (versions, owner) are not here.
"""
from collections.abc import Mapping
import dataclasses

INSTANCE_KEY = 'armvm_instance'
PROJECT_KEY = 'armvm_project'
FLASH_SIZE_KEY = 'armvm_flash_size'
DESCRIPTOR_KEY = 'armvm_firmware'
TEMPLATE_KEY = 'armvm_template_sha256'
SECURE_BOOT_KEY = 'armvm_secure_boot'
OFFERED_KEY = 'armvm_boot_offered'
IMAGE_KEY = 'armvm_template_image'
IMAGE_CHECKSUM_KEY = 'armvm_template_image_sha256'
#: An operator wants the next start to begin with the template again.
RESET_KEY = 'armvm_reset'
#: What was decided about the machine, as "name=value name=value".
HARDWARE_KEY = 'armvm_hardware'
#: ``log`` once the volume holds a log; absent on one of the old form.
FORM_KEY = 'armvm_form'
LOG_FORM = 'log'
# Of volumes of the old form alone: an operator's change that was cut short,
# and the Cinder snapshot with what was there before it.
OLD_CHANGING_KEY = 'armvm_changing'
OLD_SNAPSHOT_KEY = 'armvm_previous'

_BOOLEANS = {str(True): True, str(False): False}


@dataclasses.dataclass(frozen=True)
class StoreMetadata:
    """All facts that a volume remembers of a store.

    :ivar instance: uuid of the instance.
    :ivar project: of its tenant.
    :ivar flash_size: in bytes; None until the store has been loaded once.
    :ivar firmware: name of the descriptor that the store was made for.
    :ivar template_sha256: of the firmware's template.
    :ivar secure_boot: whether the firmware was chosen for Secure Boot.
    :ivar boot_offered: Nova's boot order as it was last offered to firmware.
    :ivar template_image: id of the image that the variables came from.
    :ivar template_image_sha256: of its content.
    :ivar reset_pending: the next start begins with the origin again.
    :ivar hardware: properties that were decided at first boot, by name.
    :ivar has_log: the volume holds a log of versions.
    :ivar old_change: an operator's change of a store of the old form was
        cut short.
    :ivar old_snapshot: id of a snapshot that such a change has left.
    """

    instance: str
    project: str = ''
    flash_size: int | None = None
    firmware: str | None = None
    template_sha256: str | None = None
    secure_boot: bool | None = None
    boot_offered: str = ''
    template_image: str | None = None
    template_image_sha256: str | None = None
    reset_pending: bool = False
    hardware: Mapping[str, str] = dataclasses.field(default_factory=dict)
    has_log: bool = False
    old_change: bool = False
    old_snapshot: str | None = None

    @classmethod
    def from_cinder(cls, metadata: Mapping[str, str]) -> 'StoreMetadata':
        """Read a volume's metadata; what cannot be read counts as unknown."""
        size = metadata.get(FLASH_SIZE_KEY, '')
        return cls(
            instance=metadata.get(INSTANCE_KEY, ''),
            project=metadata.get(PROJECT_KEY, ''),
            flash_size=int(size) if size.isdecimal() else None,
            firmware=metadata.get(DESCRIPTOR_KEY) or None,
            template_sha256=metadata.get(TEMPLATE_KEY) or None,
            secure_boot=_BOOLEANS.get(metadata.get(SECURE_BOOT_KEY, '')),
            boot_offered=metadata.get(OFFERED_KEY, ''),
            template_image=metadata.get(IMAGE_KEY) or None,
            template_image_sha256=metadata.get(IMAGE_CHECKSUM_KEY) or None,
            reset_pending=metadata.get(RESET_KEY) == str(True),
            hardware=hardware_from_text(metadata.get(HARDWARE_KEY, '')),
            has_log=metadata.get(FORM_KEY) == LOG_FORM,
            old_change=metadata.get(
                OLD_CHANGING_KEY, '') not in ('', str(False)),
            old_snapshot=metadata.get(OLD_SNAPSHOT_KEY) or None)


def hardware_to_text(decided: Mapping[str, str]) -> str:
    """Write decided properties for a volume: ``gic_version=3 nvram=...``."""
    return ' '.join(f'{name}={value}'
                    for name, value in sorted(decided.items()))


def hardware_from_text(text: str) -> dict[str, str]:
    """Read what hardware_to_text() wrote."""
    return dict(part.split('=', 1) for part in text.split() if '=' in part)
