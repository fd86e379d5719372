# SPDX-License-Identifier: Apache-2.0
"""The file formats in which disks travel."""
from collections.abc import Iterator
import contextlib
import dataclasses
import io
import struct

from oslo_utils.imageutils import format_inspector

from nova_armvm import exception
from nova_armvm.image import disk as image_disk
from nova_armvm.image import qcow2
from nova_armvm.image import source as image_source
from nova_armvm.image import vdi
from nova_armvm.image import vhd
from nova_armvm.image import vhdx
from nova_armvm.image import vmdk

#: What a look into an image may cost, in bytes.
READ_LIMIT = 8 * 1024 * 1024

#: Enough for each format to be known by; ISO 9660 says so at 32 KiB.
_BEGINNING = 128 * 1024
#: As much as an inspector of a format may ask for that wants more.
_MORE = {'vhdx': 4 * 1024 * 1024}
_END = 4096
_CHUNK = 16 * 1024
_RAW, _ISO = 'raw', 'iso'
#: A partition table is content, which is judged elsewhere; and a CD is a
#: disk that may have one.
_DISKS = {_RAW, 'gpt', _ISO}
_OPENERS = {'qcow2': qcow2.open_disk, 'vdi': vdi.open_disk,
            'vhd': vhd.open_disk, 'vhdx': vhdx.open_disk,
            'vmdk': vmdk.open_disk}

#: Formats that can be looked into, by Glance's names.
FORMATS = tuple(sorted({_RAW, _ISO, *_OPENERS}))


@dataclasses.dataclass(frozen=True)
class Opened:
    """An image that can be looked into.

    :ivar disk: as a virtual machine would see it.
    :ivar format: one of FORMATS.
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
    recognised = _recognised(budgeted)
    names = sorted(recognised - _DISKS)
    if not names:
        return Opened(budgeted, _ISO if _ISO in recognised else _RAW,
                      budgeted)
    if len(recognised) > 1:
        # A file that begins as a boot sector and as something else.
        raise exception.ImageUnsupported(
            reason=f'its format is ambiguous: {", ".join(recognised)}')
    name, = names
    if name not in _OPENERS:
        raise exception.ImageUnsupported(
            reason=f'its format is {name}; convert it to raw or qcow2')
    _check_safety(name, budgeted)
    return Opened(_OPENERS[name](budgeted), name, budgeted)


@contextlib.contextmanager
def opened(path: str, limit: int = READ_LIMIT) -> Iterator[Opened]:
    """Open an image file; see look_into()."""
    with image_source.FileSource(path) as source:
        yield look_into(source, limit)


def _recognised(source: image_source.Budgeted) -> set[str]:
    """Return what oslo.utils takes an image for, by its beginning."""
    beginning = source.read_at(0, min(source.size, _BEGINNING))
    wrapper = format_inspector.InspectWrapper(io.BytesIO(beginning))
    while wrapper.read(4096):
        pass
    wrapper.close()
    return {str(each) for each in wrapper.formats}


def _check_safety(name: str, source: image_source.Budgeted) -> None:
    """Have oslo.utils judge a file, by its beginning and its end."""
    inspector = format_inspector.get_inspector(name)()
    try:
        _feed(inspector, source, _MORE.get(name, _BEGINNING))
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        raise exception.ImageUnsupported(
            reason='it is unsafe: ' + ', '.join(
                f'{name.replace("_", " ")} ({failure})'
                for name, failure in sorted(error.failures.items()))
        ) from error
    except (format_inspector.ImageFormatError, struct.error) as error:
        raise exception.ImageInvalid(
            reason=f'its format is {name}, but not a whole one'
        ) from error


def _feed(inspector: format_inspector.FileInspector,
          source: image_source.Budgeted, limit: int) -> None:
    """Show as much to an inspector as it wants."""
    place = 0
    while place < min(source.size, limit) and not inspector.complete:
        length = min(_CHUNK, source.size - place)
        inspector.eat_chunk(source.read_at(place, length))
        place += length
    if not inspector.complete:
        end = max(place, source.size - _END)
        inspector.eat_chunk(source.read_at(end, source.size - end))
    inspector.finish()
