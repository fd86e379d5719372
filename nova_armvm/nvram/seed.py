# SPDX-License-Identifier: Apache-2.0
"""What a new store begins with: the firmware's template as a qcow2 image.

QEMU wants flash of exactly the firmware's size and Cinder makes volumes of
whole GiB, so the store is a qcow2 image from byte 0 of the volume. Its
metadata is preallocated: a variable write changes data only, so a crash in
the middle of one cannot damage the image.
"""
from collections.abc import Iterable, Iterator
import dataclasses
import hashlib
import json
import os
import tempfile
import threading

from oslo_concurrency import processutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.nvram import access
from nova_armvm.nvram import qcow2

LOG = logging.getLogger(__name__)

CLUSTER_SIZE = 64 * 1024

#: The largest flash device of QEMU's virt machine (two of 64 MiB).
FLASH_MAX_BYTES = 64 * 1024 * 1024

#: Blocks in which a volume is looked through for old bytes.
_SCRUB_BLOCK = 4 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Seed:
    """The bytes of a new store.

    :ivar flash_size: size of the flash in bytes, as the guest sees it.
    :ivar checksum: SHA-256 of the template, hexadecimal.
    :ivar image_size: size of the qcow2 image in bytes, holes included.
    :ivar chunks: (offset, bytes) of everything that is not zero.
    """

    flash_size: int
    checksum: str
    image_size: int
    chunks: tuple[tuple[int, bytes], ...]

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the image; fewer only where it ends."""
        found = bytearray(max(0, min(length, self.image_size - offset)))
        for start, block in self.chunks:
            first = max(start, offset)
            last = min(start + len(block), offset + len(found))
            if first < last:
                found[first - offset:last - offset] = (
                    block[first - start:last - start])
        return bytes(found)

    def with_blocks(self, blocks: Iterable[tuple[int, bytes]]) -> 'Seed':
        """Return a seed with other bytes in some clusters.

        :param blocks: (offset, bytes), each from the start of a cluster.
        """
        chunks, size = dict(self.chunks), self.image_size
        for offset, block in blocks:
            whole = block + chunks.get(offset, b'')[len(block):]
            chunks[offset] = whole
            size = max(size, offset + len(whole))
        return dataclasses.replace(self, image_size=size, chunks=tuple(sorted(
            (offset, block) for offset, block in chunks.items()
            if any(block))))


class SeedBuilder:
    """Makes seeds, each template once as long as it does not change."""

    def __init__(self, directory: str) -> None:
        """Prepare a builder.

        :param directory: where temporary files go; made when needed.
        """
        self._directory = directory
        self._seeds: dict[tuple, Seed] = {}
        self._lock = threading.Lock()

    def seed_for(self, template: str, template_format: str) -> Seed:
        """Return the seed of a template.

        :param template: path of the firmware's variable template.
        :param template_format: ``raw`` or ``qcow2``.
        :raises StoreImageInvalid: the template has an impossible size.
        :raises oslo_concurrency.processutils.ProcessExecutionError: qemu-img
            failed.
        :raises OSError: the template cannot be read.
        """
        key = _identity(template, template_format)
        with self._lock:
            if key not in self._seeds:
                self._seeds[key] = self._build(template, template_format)
            return self._seeds[key]

    def seed_from(self, content: bytes, content_format: str) -> Seed:
        """Return the seed of a flash that a guest has written.

        :param content: of the file that it was in.
        :param content_format: ``raw`` or ``qcow2``.
        :raises StoreImageInvalid: it has an impossible size.
        :raises oslo_concurrency.processutils.ProcessExecutionError: qemu-img
            failed.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._directory) as copy:
            copy.write(content)
            copy.flush()
            return self._build(copy.name, content_format)

    def flash_size(self, template: str, template_format: str) -> int:
        """Return the size in bytes of the flash that a template is for."""
        key = _identity(template, template_format)
        with self._lock:
            if key in self._seeds:
                return self._seeds[key].flash_size
        return _virtual_size(template, template_format)

    def _build(self, template: str, template_format: str) -> Seed:
        flash_size = _virtual_size(template, template_format)
        if not 0 < flash_size <= FLASH_MAX_BYTES:
            raise exception.StoreImageInvalid(
                reason=f'the firmware template has {flash_size} bytes')
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            image = os.path.join(scratch, 'seed.qcow2')
            _qemu_img('create', '-q', '-f', 'qcow2', '-o',
                      f'preallocation=metadata,cluster_size={CLUSTER_SIZE}',
                      image, str(flash_size))
            # Without --target-is-zero qemu-img writes zeros as "zero
            # clusters" and so gives the preallocation up again.
            _qemu_img('convert', '-n', '--target-is-zero', '-f',
                      template_format, '-O', 'qcow2', template, image)
            return Seed(flash_size=flash_size,
                        checksum=_sha256(template),
                        image_size=os.path.getsize(image),
                        chunks=tuple(_nonzero_chunks(image)))


def _identity(template: str, template_format: str) -> tuple:
    """Return what tells a template from a newer one at the same path."""
    facts = os.stat(template)
    return (template, template_format, facts.st_ino, facts.st_size,
            facts.st_mtime_ns)


def _qemu_img(*arguments: str) -> str:
    output, _errors = processutils.execute('qemu-img', *arguments)
    return output


def _virtual_size(template: str, template_format: str) -> int:
    output = _qemu_img('info', '--output=json', '-f', template_format,
                       template)
    return int(json.loads(output)['virtual-size'])


def readable_size(template: str, template_format: str) -> int | None:
    """Return the size in bytes of the flash that a template is for.

    :returns: None for a template that cannot be read.
    """
    try:
        return _virtual_size(template, template_format)
    except (OSError, ValueError, KeyError,
            processutils.ProcessExecutionError) as error:
        LOG.warning('The variable template %(path)s cannot be used: '
                    '%(error)s', {'path': template, 'error': error})
        return None


def _sha256(path: str) -> str:
    with open(path, 'rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def _nonzero_chunks(path: str) -> Iterator[tuple[int, bytes]]:
    with open(path, 'rb') as stream:
        offset = 0
        while block := stream.read(CLUSTER_SIZE):
            if any(block):
                yield offset, block
            offset += len(block)


def write(seed: Seed, volume: access.VolumeBytes) -> None:
    """Make a volume the store that a seed describes.

    The first cluster, with qcow2's magic number, comes last: a volume that
    begins with it is complete, one that does not was never booted from. So a
    process that dies half-way leaves nothing that could be mistaken for a
    store.

    :param seed: what to write.
    :param volume: the volume, which must not be in use.
    :raises OSError: the volume cannot be written.
    """
    volume.write_at(0, bytes(CLUSTER_SIZE))
    volume.flush()
    _scrub(seed, volume)
    head = [chunk for chunk in seed.chunks if chunk[0] == 0]
    body = [chunk for chunk in seed.chunks if chunk[0] != 0]
    for part in (body, head):
        for offset, block in part:
            volume.write_at(offset, block)
        volume.flush()


def _scrub(seed: Seed, volume: access.VolumeBytes) -> None:
    """Zero what lies under the image: an old store, or another tenant's bytes.

    Only what is not zero already is written, which keeps thin volumes thin.
    Never left out: the seed itself has no bytes where the template is zero,
    and a volume that is empty when new is not so when its store is reset.
    """
    for offset in range(0, seed.image_size, _SCRUB_BLOCK):
        block = volume.read_at(offset,
                               min(_SCRUB_BLOCK, seed.image_size - offset))
        for start in range(0, len(block), CLUSTER_SIZE):
            piece = block[start:start + CLUSTER_SIZE]
            if any(piece):
                volume.write_at(offset + start, bytes(len(piece)))
    volume.flush()


def is_seeded(volume: access.VolumeBytes) -> bool:
    """Tell whether a volume holds a store that a guest may have written."""
    return qcow2.has_magic(volume.read_at(0, 512))
