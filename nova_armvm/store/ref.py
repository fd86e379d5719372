# SPDX-License-Identifier: Apache-2.0
"""An instance, by what its store is found by."""
import dataclasses
import typing as ty
import uuid

#: Attachments carry a uuid made from the instance's in this name space: Nova
#: deletes attachments of its own instances that it does not know.
ATTACHMENT_NAMESPACE = uuid.UUID('5b0c6c1e-6d0c-5e4f-9a53-0d2b8a4a6f11')

NAME_PREFIX = 'armvm-nvram-'


@dataclasses.dataclass(frozen=True)
class InstanceRef:
    """The instance that a store belongs to.

    :ivar uuid: of the instance.
    :ivar project_id: of its tenant.
    :ivar availability_zone: for the volume; None lets Cinder choose.
    :ivar instance: Nova's object, handed through to Nova's volume drivers.
    """

    uuid: str
    project_id: str
    availability_zone: str | None = None
    instance: ty.Any = dataclasses.field(default=None, compare=False,
                                         repr=False)

    @property
    def volume_name(self) -> str:
        """Return the name of the instance's NVRAM volume."""
        return NAME_PREFIX + self.uuid

    @property
    def attachment_uuid(self) -> str:
        """Return what Cinder takes for the attached instance."""
        return str(uuid.uuid5(ATTACHMENT_NAMESPACE, self.uuid))
