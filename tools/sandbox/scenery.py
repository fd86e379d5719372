# SPDX-License-Identifier: Apache-2.0
"""The things whose names the documentation uses, in the sandbox."""
from collections.abc import Iterable
import pathlib

from tools.documented import stage
from tools.sandbox import ceph
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import process
from tools.sandbox import resources

_LIMIT = 60
_MEMORY_MIB = 512


def programs(directory: pathlib.Path) -> None:
    """Make commands that find the sandbox's configuration by themselves."""
    directory.mkdir()
    nova = config.ARMVM.directory / 'nova.conf'
    glance = config.ETC / 'glance' / 'glance.conf'
    for name, words in (
            ('armvm-manage', (config.BIN / 'armvm-manage', '--config-file',
                              nova)),
            ('glance-manage', (config.BIN / 'glance-manage', '--config-file',
                               glance)),
            ('ceph', ('/usr/bin/ceph', '--conf', ceph.CONF, '--keyring',
                      ceph.KEYRING))):
        program = directory / name
        program.write_text(
            f'#!/bin/sh\nexec {" ".join(map(str, words))} "$@"\n')
        program.chmod(0o755)


def make(directory: pathlib.Path) -> None:
    """Make the file and the flavor that pages expect."""
    process.run('/usr/bin/qemu-img', 'convert', '-O', 'qcow2',
                image.build(image.DISK_A), directory / stage.FILE)
    operators = resources.connect()
    if operators.compute.find_flavor(stage.FLAVOR) is None:
        operators.compute.create_flavor(name=stage.FLAVOR, vcpus=1,
                                        ram=_MEMORY_MIB, disk=1)


def clear() -> None:
    """Take away what the pages' commands make, also in an earlier run."""
    tenants = resources.connect(config.TENANT, config.TENANT)
    for server in list(tenants.compute.servers(name=f'^{stage.SERVER}$')):
        tenants.compute.delete_server(server)
        tenants.compute.wait_for_delete(server, interval=1, wait=_LIMIT)
    _delete_all(tenants.block_storage.volumes(name=stage.VOLUME),
                tenants.block_storage.delete_volume)
    for name in stage.IMAGES:
        _delete_all(tenants.image.images(name=name),
                    tenants.image.delete_image)
    operators = resources.connect()
    left = operators.block_storage.find_type(stage.VOLUME_TYPE)
    if left is not None:
        operators.block_storage.delete_type(left)


def _delete_all(found: Iterable, delete) -> None:
    for each in list(found):
        delete(each)
