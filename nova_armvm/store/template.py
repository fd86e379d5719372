# SPDX-License-Identifier: Apache-2.0
"""The variables that an image brings along, and how a new store gets them.

The image is in any of formats.FORMATS and comes from anybody: no more of it
is kept than can be understood, and what its size is said to be is not
believed. What it holds replaces the variables of the firmware's own template;
everything else of the flash stays the firmware's.
"""
import dataclasses
import hashlib

from nova_armvm import exception
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore

#: The largest flash there is, and so the largest image.
MAX_BYTES = 64 * 1024 * 1024
MIB = 1024 * 1024
#: In Glance; it says nothing about what is in the bytes.
DISK_FORMAT = 'raw'
_ACTIVE = 'active'


@dataclasses.dataclass(frozen=True)
class StoreTemplate:
    """The variables of an image.

    :ivar image_id: of the image.
    :ivar checksum: SHA-256 of all of it, hexadecimal.
    :ivar variables: at least one.
    """

    image_id: str
    checksum: str
    variables: tuple[varstore.Variable, ...]


def unusable(image_id: str, reason: str) -> exception.TemplateUnusable:
    """Return the error that says what is wrong with an image."""
    return exception.TemplateUnusable(image_id=image_id, reason=reason)


def check_image(image_id: str, status: str, disk_format: str | None,
                size: int | None) -> None:
    """Refuse an image by what Glance says of it.

    :param size: in bytes; None while there is no content.
    :raises TemplateUnusable: it cannot be one.
    """
    if status != _ACTIVE:
        raise unusable(image_id, f'it is {status}, not {_ACTIVE}')
    if disk_format != DISK_FORMAT:
        raise unusable(image_id, f'its disk format is {disk_format}, not '
                                 f'{DISK_FORMAT}')
    if size is not None and size > MAX_BYTES:
        raise _too_large(image_id)


def _too_large(image_id: str) -> exception.TemplateUnusable:
    return unusable(
        image_id, f'it is larger than {MAX_BYTES // MIB} MiB')


class Arriving:
    """What has come of an image; a file to write to for who downloads it."""

    #: A byte more than a text may have, so that a longer one is known.
    _KEPT = max(formats.MAX_TEXT + 1, varstore.READ_SIZE)

    def __init__(self, image_id: str) -> None:
        self._image_id = image_id
        self._kept = bytearray()
        self._length = 0
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        :raises TemplateUnusable: there are too many.
        """
        self._length += len(piece)
        if self._length > MAX_BYTES:
            raise _too_large(self._image_id)
        self._digest.update(piece)
        self._kept += piece[:max(0, self._KEPT - len(self._kept))]

    def truncate(self, length: int) -> None:
        """Forget all of it (Nova: its signature is not valid)."""
        del self._kept[length:]

    def template(self) -> StoreTemplate:
        """Return what it holds, when all has come.

        :raises TemplateUnusable: it holds no variables.
        """
        try:
            variables = read(bytes(self._kept))
        except exception.PackageMissing as error:
            raise unusable(self._image_id, 'it has EC2\'s format, which the '
                           'compute host cannot read') from error
        except (exception.VariableFileInvalid,
                exception.VariableStoreInvalid) as error:
            raise unusable(self._image_id, 'it is no variable store '
                           f'({error.kwargs["reason"]})') from error
        if not variables:
            raise unusable(self._image_id, 'it holds no UEFI variables')
        return StoreTemplate(self._image_id, self._digest.hexdigest(),
                             variables)


def read(content: bytes) -> tuple[varstore.Variable, ...]:
    """Return the variables in a file of any of formats.FORMATS.

    :param content: its beginning is enough.
    :raises VariableFileInvalid: it cannot be understood.
    :raises VariableStoreInvalid: it is raw, and no store of edk2's.
    :raises PackageMissing: it is EC2's, and uefivars is not installed.
    """
    if formats.kind_of(content) == 'raw':
        # More would not fit into a store of AAVMF's either.
        content = content[:varstore.READ_SIZE]
    return formats.read(content)


def applied(template: StoreTemplate, present: bytes) -> bytes:
    """Give a firmware's flash the variables of an image, and no others.

    :param present: leading bytes of the flash, as the firmware's template
        has them.
    :returns: the same with the variables of the image.
    :raises TemplateUnusable: if they do not fit, or firmware would not take
        one.
    :raises VariableStoreInvalid: if the firmware's own template is broken.
    """
    if len(present) < varstore.READ_SIZE:
        raise unusable(template.image_id,
                       'the firmware\'s flash is too small for a store')
    changes = edit.replacement(
        template.variables, varstore.parse(present).variables.values())
    try:
        return edit.edited(present, changes)
    except (exception.VariableStoreFull, exception.VariableInvalid) as error:
        told = str(error).rstrip('.')
        raise unusable(template.image_id,
                       told[0].lower() + told[1:]) from error
