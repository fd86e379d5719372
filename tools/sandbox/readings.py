# SPDX-License-Identifier: Apache-2.0
"""What lies on a store's volume, read past Nova, Cinder and the guest.

The newest whole store is read twice: by the driver's own parser, and by
virt-firmware's command, which shares nothing with it.
"""
from collections.abc import Iterator
import contextlib
import json
import math
import os
import pathlib
import tempfile

from nova_armvm.nvramd import slots
from nova_armvm.uefi import region
import rados
import rbd

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox import infrastructure
from tools.sandbox import loops
from tools.sandbox import process

#: Of the flash of Debian's firmware.
_FLASH_BYTES = 64 * 1024 ** 2
_GUIDS = (console.GLOBAL, console.OURS)

Variables = dict[str, str]


@contextlib.contextmanager
def _image(volume_id: str) -> Iterator[rbd.Image]:
    with rados.Rados(conffile=str(ceph.CONF), rados_id='admin') as cluster, \
            cluster.open_ioctx(config.POOL) as pool, \
            rbd.Image(pool, f'volume-{volume_id}', read_only=True) as image:
        yield image


def _file(volume_id: str) -> pathlib.Path | None:
    """Return the file behind a volume that is a block device, else None.

    What a host has written and its kernel still keeps is written first.
    """
    path = config.LOOPS / f'volume-{volume_id}'
    if not path.exists():
        return None
    for device in loops.devices(path):
        handle = os.open(device, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return path


def used_mib(volume_id: str) -> int:
    """Return how much of a volume takes up space, in whole objects."""
    path = _file(volume_id)
    if path is not None:
        return math.ceil(path.stat().st_blocks * 512 / 1024 ** 2)
    lengths: list[int] = []
    with _image(volume_id) as image:
        image.diff_iterate(
            0, image.size(), None,
            lambda _offset, length, exists: lengths.append(
                length if exists else 0), whole_object=True)
    return sum(lengths) // 1024 ** 2


class _Image:
    """The bytes of a volume in Ceph, for reading."""

    def __init__(self, image: rbd.Image) -> None:
        self._image = image

    def read_at(self, offset: int, length: int) -> bytes:
        return self._image.read(offset, length)


class _File:
    """The bytes of a volume that is a block device, for reading."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._handle, length, offset)


@contextlib.contextmanager
def _log(volume_id: str) -> Iterator[slots.Log]:
    """Open the log on a volume, whosever it is."""
    path = _file(volume_id)
    with contextlib.ExitStack() as opened:
        if path is None:
            volume = _Image(opened.enter_context(_image(volume_id)))
        else:
            volume = _File(opened.enter_context(open(path, 'rb')).fileno())
        header = slots.header_of(volume)
        if header is None:
            raise process.SandboxError(f'volume {volume_id} holds no log')
        yield slots.Log.open(volume, header['instance'])


def _newest(volume_id: str) -> bytes:
    """Return the newest store on a volume, as it was committed."""
    with _log(volume_id) as log:
        return log.read(log.newest)


def by_our_parser(volume_id: str) -> Variables:
    """Return the guest's and the global variables, contents as hex."""
    store = region.variables_of(_newest(volume_id))
    return {key.name: found.content.hex()
            for key, found in store.variables.items()
            if str(key.guid) in _GUIDS}


def by_virt_firmware(volume_id: str) -> Variables:
    """Return the same by other people's software."""
    with tempfile.TemporaryDirectory() as scratch:
        flash = os.path.join(scratch, 'flash')
        found = os.path.join(scratch, 'found.json')
        with open(flash, 'wb') as stream:
            stream.write(region.region_of(_newest(volume_id)))
            stream.truncate(_FLASH_BYTES)
        process.run(config.BIN / 'virt-fw-vars', '-i', flash,
                    '--output-json', found, log='readings',
                    environment=infrastructure.path_environment())
        with open(found) as stream:
            document = json.load(stream)
    return {each['name']: each['data'] for each in document['variables']
            if each['guid'] in _GUIDS}
