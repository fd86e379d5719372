# SPDX-License-Identifier: Apache-2.0
"""The bytes of an image in Glance, read in pieces where that is possible."""
from collections.abc import Callable, Iterator
import contextlib
import functools
import re
import tempfile
import typing as ty

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors

from nova_armvm import exception
from nova_armvm.image import source

_CHUNK = 256 * 1024
_CHUNKS_KEPT = 16
_PARTIAL = 206
_RANGE = re.compile(r'bytes (\d+)-(\d+)/(?:\d+|\*)')


class RangesRefused(Exception):
    """The store gives whole images only."""


class GlanceSource:
    """An image that is read by HTTP ranges.

    :ivar size: in bytes.
    """

    def __init__(self, glance: adapter.Adapter, image_id: str,
                 size: int) -> None:
        """Prepare; nothing is read.

        :param glance: the image service.
        """
        self.size = size
        self._glance = glance
        self._path = f'/images/{image_id}/file'
        self._chunk = functools.lru_cache(maxsize=_CHUNKS_KEPT)(self._ask)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes; fewer only where the image ends.

        :raises RangesRefused: there are only whole images.
        :raises ImageUnsupported: Glance does not answer.
        """
        length = max(0, min(length, self.size - offset))
        first, last = offset // _CHUNK, (offset + length - 1) // _CHUNK
        content = b''.join(self._chunk(number)
                           for number in range(first, last + 1))
        begin = offset - first * _CHUNK
        return content[begin:begin + length]

    def _ask(self, number: int) -> bytes:
        begin = number * _CHUNK
        end = min(begin + _CHUNK, self.size) - 1
        with _answer(self._glance, self._path,
                     {'Range': f'bytes={begin}-{end}'}) as answer:
            if answer.status_code != _PARTIAL:
                raise RangesRefused()
            found = _RANGE.fullmatch(answer.headers.get('Content-Range', ''))
            if found is None or (int(found[1]), int(found[2])) != (begin,
                                                                   end):
                raise exception.ImageUnsupported(
                    reason='Glance answers with another part of it than was '
                           'asked for')
            return _whole(answer, end + 1 - begin)


@contextlib.contextmanager
def _answer(glance: adapter.Adapter, path: str,
            headers: dict[str, str]) -> Iterator[ty.Any]:
    try:
        answer = glance.get(path, headers=headers, stream=True,
                            raise_exc=False)
    except keystone_errors.ClientException as error:
        raise exception.ImageUnsupported(
            reason=f'Glance does not give it: {error}') from error
    with contextlib.closing(answer):
        yield answer


def _whole(answer: ty.Any, length: int) -> bytes:
    """Read an answer that must have so many bytes."""
    content = b''
    for piece in answer.iter_content(64 * 1024):
        content += piece
        if len(content) > length:
            break
    if len(content) != length:
        raise exception.ImageUnsupported(
            reason=f'Glance gives {len(content)} bytes of it in place of '
                   f'{length}')
    return content


@contextlib.contextmanager
def copied(glance: adapter.Adapter, image_id: str, size: int,
           progress: Callable[[int], None]) -> Iterator[source.FileSource]:
    """Copy a whole image into a file that is gone afterwards.

    :param progress: told how many bytes there are.
    :raises ImageUnsupported: Glance does not give the image, or another
        number of bytes than it says.
    """
    with tempfile.NamedTemporaryFile(prefix='armvm-image-') as file:
        with _answer(glance, f'/images/{image_id}/file', {}) as answer:
            if answer.status_code != 200:
                raise exception.ImageUnsupported(
                    reason=f'Glance answers with status {answer.status_code} '
                           'when it is asked for it')
            there = 0
            for piece in answer.iter_content(1024 * 1024):
                there += len(piece)
                if there > size:
                    break
                _write(file, piece)
                progress(there)
            if there != size:
                raise exception.ImageUnsupported(
                    reason=f'Glance does not give the {size} bytes that it '
                           'should have')
        file.truncate(size)
        file.flush()
        with source.FileSource(file.name) as opened:
            yield opened


def _write(file: ty.IO[bytes], piece: bytes) -> None:
    """Append to a file; zeros take no room."""
    if any(piece):
        file.write(piece)
    else:
        file.seek(len(piece), 1)
