# SPDX-License-Identifier: Apache-2.0
"""What lies on a store's volume, read past Nova, Cinder and the guest.

Twice: by the driver's own parser through librbd, and by QEMU's tools and
virt-firmware's command, which share nothing with it.
"""
from collections.abc import Iterator
import contextlib
import json
import os
import tempfile

from nova_armvm.nvram import qcow2
from nova_armvm.nvram import varstore
import rados
import rbd

from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox import infrastructure
from tools.sandbox import process

_GUIDS = (console.GLOBAL, console.OURS)

Variables = dict[str, str]


@contextlib.contextmanager
def _image(volume_id: str) -> Iterator[rbd.Image]:
    with rados.Rados(conffile=str(ceph.CONF), rados_id='admin') as cluster, \
            cluster.open_ioctx(config.POOL) as pool, \
            rbd.Image(pool, f'volume-{volume_id}', read_only=True) as image:
        yield image


def used_mib(volume_id: str) -> int:
    """Return how much of a volume takes up space, in whole objects."""
    lengths: list[int] = []
    with _image(volume_id) as image:
        image.diff_iterate(
            0, image.size(), None,
            lambda _offset, length, exists: lengths.append(
                length if exists else 0), whole_object=True)
    return sum(lengths) // 1024 ** 2


def by_our_parser(volume_id: str) -> Variables:
    """Return the guest's and the global variables, contents as hex."""
    with _image(volume_id) as image:
        reader = qcow2.Qcow2Reader(
            lambda offset, length: image.read(offset, length))
        store = varstore.parse(reader.read(0, varstore.READ_SIZE))
    return {key.name: found.content.hex()
            for key, found in store.variables.items()
            if str(key.guid) in _GUIDS}


def by_virt_firmware(volume_id: str) -> Variables:
    """Return the same by other people's software."""
    with tempfile.TemporaryDirectory() as scratch:
        flash = os.path.join(scratch, 'flash')
        found = os.path.join(scratch, 'found.json')
        # Sharing (-U): the guest may have it open.
        process.run('qemu-img', 'convert', '-U', '--image-opts', '-O', 'raw',
                    'driver=qcow2,file.driver=rbd,'
                    f'file.pool={config.POOL},file.image=volume-{volume_id},'
                    f'file.conf={ceph.CONF},file.user=admin', flash,
                    log='readings')
        process.run(config.BIN / 'virt-fw-vars', '-i', flash,
                    '--output-json', found, log='readings',
                    environment=infrastructure.path_environment())
        with open(found) as stream:
            document = json.load(stream)
    return {each['name']: each['data'] for each in document['variables']
            if each['guid'] in _GUIDS}
