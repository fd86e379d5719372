# SPDX-License-Identifier: Apache-2.0
"""What a new store starts from.

The firmware's template, the variables of an image laid over it, or the file
in which the stock driver kept the variables of a guest that is taken over.
"""
import dataclasses
import hashlib
import json
import os
import tempfile
import threading

from oslo_concurrency import processutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.host import privileged
from nova_armvm.profile import guest_xml
from nova_armvm.store import template as image_template
from nova_armvm.uefi import region
from nova_armvm.uefi import varstore

LOG = logging.getLogger(__name__)

#: The largest flash device of QEMU's virt machine (two of 64 MiB).
FLASH_MAX_BYTES = 64 * 1024 * 1024
#: A qcow2 image of such a flash is not larger.
_FILE_MAX_BYTES = FLASH_MAX_BYTES + 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a store begins with.

    :ivar descriptor: of the firmware that the guest gets.
    :ivar secure_boot: whether libvirt chose it for Secure Boot.
    :ivar image: variables that replace those of the firmware's template.
    :ivar file: of the stock driver, taken over whole.
    """

    descriptor: firmware.Descriptor
    secure_boot: bool
    image: image_template.StoreTemplate | None = None
    file: guest_xml.FlashFile | None = None

    def __str__(self) -> str:
        if self.file is not None:
            return f'file {self.file.path}'
        words = f'firmware {self.descriptor.name}'
        if self.image is None:
            return words
        return (f'{words} with the {len(self.image.variables)} variables of '
                f'image {self.image.image_id}')


@dataclasses.dataclass(frozen=True)
class Template:
    """A flash as firmware or a guest left it in a file.

    :ivar flash_size: in bytes, as the guest sees it.
    :ivar checksum: SHA-256 of the file, hexadecimal.
    :ivar region: the leading bytes of the flash.
    """

    flash_size: int
    checksum: str
    region: bytes = dataclasses.field(repr=False)


class TemplateReader:
    """Reads templates, each once as long as it does not change."""

    def __init__(self, directory: str) -> None:
        """Remember where temporary files go; made when needed."""
        self._directory = directory
        self._templates: dict[tuple, Template] = {}
        self._lock = threading.Lock()

    def template(self, path: str, image_format: str) -> Template:
        """Return a firmware's variable template.

        :param image_format: ``raw`` or ``qcow2``.
        :raises StoreImageInvalid: if it has an impossible size.
        :raises oslo_concurrency.processutils.ProcessExecutionError: if
            qemu-img failed.
        :raises OSError: if it cannot be read.
        """
        key = _identity(path, image_format)
        with self._lock:
            if key not in self._templates:
                self._templates[key] = self._read(path, image_format)
            return self._templates[key]

    def file(self, file: guest_xml.FlashFile) -> Template:
        """Return the flash in a file that QEMU has written.

        It belongs to root or to QEMU, so it is copied first.

        :raises StoreImageInvalid, ProcessExecutionError, OSError: as
            template() does.
        """
        size = privileged.file_size(file.path)
        if size is None:
            raise FileNotFoundError(file.path)
        if size > _FILE_MAX_BYTES:
            raise exception.StoreImageInvalid(
                reason=f'the file has {size} bytes')
        with self._scratch() as scratch:
            copy = os.path.join(scratch, 'copy')
            with open(copy, 'wb') as stream:
                for offset in range(0, size, privileged.READ_MAX_BYTES):
                    stream.write(privileged.read_range(
                        file.path, offset,
                        min(privileged.READ_MAX_BYTES, size - offset)))
            return self._read(copy, file.format)

    def _scratch(self) -> tempfile.TemporaryDirectory:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self._directory)

    def _read(self, path: str, image_format: str) -> Template:
        flash_size = virtual_size(path, image_format)
        if not 0 < flash_size <= FLASH_MAX_BYTES:
            raise exception.StoreImageInvalid(
                reason=f'the firmware template has {flash_size} bytes')
        checksum = _sha256(path)
        if image_format == 'raw':
            return Template(flash_size, checksum, _head(path, flash_size))
        with self._scratch() as scratch:
            flat = os.path.join(scratch, 'flat')
            _qemu_img('convert', '-f', image_format, '-O', 'raw', path, flat)
            return Template(flash_size, checksum, _head(flat, flash_size))


def _head(path: str, flash_size: int) -> bytes:
    """Return the region with the variables, from a raw flash."""
    with open(path, 'rb') as stream:
        head = stream.read(4096)
        size = min(varstore.read_size(head), region.REGION_MAX, flash_size)
        return head + stream.read(size - len(head))


def _identity(path: str, image_format: str) -> tuple:
    """Return what tells a template from a newer one at the same path."""
    facts = os.stat(path)
    return (path, image_format, facts.st_ino, facts.st_size,
            facts.st_mtime_ns)


def _qemu_img(*arguments: str) -> str:
    output, _errors = processutils.execute('qemu-img', *arguments)
    return output


def virtual_size(path: str, image_format: str) -> int:
    """Return the size in bytes of the flash in a file.

    :raises oslo_concurrency.processutils.ProcessExecutionError: if qemu-img
        failed.
    """
    output = _qemu_img('info', '--output=json', '-f', image_format, path)
    return int(json.loads(output)['virtual-size'])


def readable_size(path: str, image_format: str) -> int | None:
    """Return the size in bytes of the flash that a template is for.

    :returns: None for a template that cannot be read.
    """
    try:
        return virtual_size(path, image_format)
    except (OSError, ValueError, KeyError,
            processutils.ProcessExecutionError) as error:
        LOG.warning('Ignoring the variable template %(path)s: %(error)s',
                    {'path': path, 'error': error})
        return None


def _sha256(path: str) -> str:
    with open(path, 'rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


@dataclasses.dataclass(frozen=True)
class Content:
    """What a new store holds.

    :ivar flash_size: in bytes.
    :ivar canonical: the store; empty: the firmware formats it.
    :ivar template_sha256: of the firmware's template.
    """

    flash_size: int
    canonical: bytes = dataclasses.field(repr=False)
    template_sha256: str


def content(origin: Origin, reader: TemplateReader) -> Content:
    """Return what a store holds that begins with an origin.

    :raises TemplateUnusable: if the image's variables do not fit.
    :raises FirmwareMismatch: if the file is for a flash of another size.
    :raises StoreImageInvalid: if the template has an impossible size.
    :raises oslo_concurrency.processutils.ProcessExecutionError, OSError: if
        the template or the file cannot be read.
    """
    template = reader.template(origin.descriptor.template,
                               origin.descriptor.template_format)
    flash = template.region
    if origin.file is not None:
        flash = _taken_over(reader.file(origin.file), template)
    elif origin.image is not None:
        flash = image_template.applied(origin.image, flash)
    return Content(template.flash_size, region.canonical_of(flash),
                   template.checksum)


def _taken_over(taken: Template, template: Template) -> bytes:
    """Return the content of a file, for a template's firmware.

    :raises FirmwareMismatch: if the file is of another size.
    """
    if taken.flash_size != template.flash_size:
        raise exception.FirmwareMismatch(
            stored=f'{taken.flash_size} bytes of flash',
            offered=f'{template.flash_size}')
    return taken.region
