# SPDX-License-Identifier: Apache-2.0
"""The file formats in which disks travel."""
from collections.abc import Iterator
import contextlib
import dataclasses
import io

from oslo_utils.imageutils import format_inspector

from nova_armvm import exception
from nova_armvm.image import disk as image_disk
from nova_armvm.image import qcow2
from nova_armvm.image import source as image_source

#: What a look into an image may cost, in bytes.
READ_LIMIT = 8 * 1024 * 1024

#: Enough for each format to be known by; ISO 9660 says so at 32 KiB.
_BEGINNING = 128 * 1024
_RAW, _QCOW2 = 'raw', 'qcow2'
#: A partition table is content; what is in it is judged elsewhere.
_DISKS = {'raw', 'gpt'}


@dataclasses.dataclass(frozen=True)
class Opened:
    """An image that can be looked into.

    :ivar disk: as a virtual machine would see it.
    :ivar format: ``raw`` or ``qcow2``.
    :ivar source: what it is read from; tells what that has cost.
    """

    disk: image_disk.Disk
    format: str
    source: image_source.Budgeted


def look_into(source: image_source.Source,
              limit: int = READ_LIMIT) -> Opened:
    """Find out the format of an image and open the disk in it.

    :param limit: bytes that may be read in all.
    :raises ImageUnsupported: it is of a format that cannot be looked into,
        or unsafe.
    :raises ImageInvalid: it is broken.
    :raises ImageTooCostly: the limit is reached.
    """
    budgeted = image_source.Budgeted(source, limit)
    formats = _recognised(budgeted)
    names = sorted({str(each) for each in formats} - _DISKS)
    if not names:
        return Opened(budgeted, _RAW, budgeted)
    if names != [_QCOW2]:
        raise exception.ImageUnsupported(
            reason=f'its format is {" and ".join(names)}; convert it to raw '
                   'or qcow2')
    for each in formats:
        _check_safety(each)
    return Opened(qcow2.Qcow2Disk(budgeted), _QCOW2, budgeted)


@contextlib.contextmanager
def opened(path: str, limit: int = READ_LIMIT) -> Iterator[Opened]:
    """Open an image file; see look_into()."""
    with image_source.FileSource(path) as source:
        yield look_into(source, limit)


def _recognised(source: image_source.Budgeted
                ) -> list[format_inspector.FileInspector]:
    """Return what oslo.utils takes an image for, by its beginning."""
    beginning = source.read_at(0, min(source.size, _BEGINNING))
    wrapper = format_inspector.InspectWrapper(io.BytesIO(beginning))
    while wrapper.read(4096):
        pass
    wrapper.close()
    return wrapper.formats


def _check_safety(inspector: format_inspector.FileInspector) -> None:
    if str(inspector) in _DISKS:
        # A file that begins as a boot sector and as something else.
        raise exception.ImageUnsupported(
            reason='its format is ambiguous')
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        raise exception.ImageUnsupported(
            reason='it is unsafe: ' + ', '.join(
                f'{name.replace("_", " ")} ({failure})'
                for name, failure in sorted(error.failures.items()))
        ) from error
    except format_inspector.ImageFormatError as error:
        raise exception.ImageInvalid(
            reason=f'its format is {inspector}, but not a whole one'
        ) from error
