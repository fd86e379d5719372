# SPDX-License-Identifier: Apache-2.0
"""What lies on a store's volume, read past Nova, Cinder and the guest.

Twice: by the driver's own parser through librbd, and by QEMU's tools and
virt-firmware's command, which share nothing with it.
"""
from collections.abc import Callable, Iterator
import contextlib
import json
import math
import os
import pathlib
import tempfile

from nova_armvm.nvram import qcow2
from nova_armvm.uefi import varstore
import rados
import rbd

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox import infrastructure
from tools.sandbox import loops
from tools.sandbox import process

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


def device_at(volume_id: str, host: config.Host) -> str:
    """Return the block device that a volume is on a host."""
    return loops.device_at(config.LOOPS / f'volume-{volume_id}', host.name)


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


def by_our_parser(volume_id: str) -> Variables:
    """Return the guest's and the global variables, contents as hex."""
    path = _file(volume_id)
    if path is not None:
        with open(path, 'rb') as stream:
            return _parsed(lambda offset, length: os.pread(
                stream.fileno(), length, offset))
    with _image(volume_id) as image:
        return _parsed(lambda offset, length: image.read(offset, length))


def _parsed(read_at: Callable[[int, int], bytes]) -> Variables:
    store = varstore.parse(qcow2.Qcow2Reader(read_at).read(
        0, varstore.READ_SIZE))
    return {key.name: found.content.hex()
            for key, found in store.variables.items()
            if str(key.guid) in _GUIDS}


def by_virt_firmware(volume_id: str) -> Variables:
    """Return the same by other people's software."""
    with tempfile.TemporaryDirectory() as scratch:
        flash = os.path.join(scratch, 'flash')
        found = os.path.join(scratch, 'found.json')
        # Sharing (-U): the guest may have it open.
        path = _file(volume_id)
        source = (f'driver=file,filename={path}' if path is not None else
                  f'driver=rbd,pool={config.POOL},image=volume-{volume_id},'
                  f'conf={ceph.CONF},user=admin')
        process.run('qemu-img', 'convert', '-U', '--image-opts', '-O', 'raw',
                    'driver=qcow2,' + ','.join(
                        f'file.{word}' for word in source.split(',')),
                    flash, log='readings')
        process.run(config.BIN / 'virt-fw-vars', '-i', flash,
                    '--output-json', found, log='readings',
                    environment=infrastructure.path_environment())
        with open(found) as stream:
            document = json.load(stream)
    return {each['name']: each['data'] for each in document['variables']
            if each['guid'] in _GUIDS}
