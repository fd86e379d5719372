# SPDX-License-Identifier: Apache-2.0
"""A Cinder driver for tests: sparse files behind loop devices.

What a SAN is to real hosts: each host that a volume is attached to has a
kernel block device of its own for it, with a name and a cache of its own. Of
Cinder's own drivers none does this without device-mapper or iSCSI, which the
machines that run the sandbox do not have. Loaded by cinder-volume.
"""
import os
import pathlib
import shutil

from cinder import exception
from cinder import interface
from cinder.volume import configuration
from cinder.volume import driver
from oslo_concurrency import processutils
from oslo_config import cfg

from tools.sandbox import loops

_OPTIONS = [cfg.StrOpt('loop_directory', help='Where the files lie.')]
cfg.CONF.register_opts(_OPTIONS, group=configuration.SHARED_CONF_GROUP)


@interface.volumedriver
class LoopDriver(driver.VolumeDriver):
    """Volumes of connection type ``local``."""

    VERSION = '1.0'
    CI_WIKI_NAME = 'none'

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(_OPTIONS)

    def do_setup(self, context) -> None:
        os.makedirs(self.configuration.loop_directory, exist_ok=True)

    def check_for_setup_error(self) -> None:
        if not shutil.which('losetup'):
            raise exception.VolumeBackendAPIException(
                data='losetup is not installed')

    def _path(self, volume) -> pathlib.Path:
        return pathlib.Path(self.configuration.loop_directory, volume.name)

    def create_volume(self, volume) -> None:
        with open(self._path(volume), 'xb') as stream:
            stream.truncate(volume.size * 1024 ** 3)

    def delete_volume(self, volume) -> None:
        path = self._path(volume)
        loops.detach_all(path.parent, path.name)
        path.unlink(missing_ok=True)

    def _snapshot(self, snapshot) -> pathlib.Path:
        return pathlib.Path(self.configuration.loop_directory, snapshot.name)

    def create_snapshot(self, snapshot) -> None:
        # As of a SAN: without what a host has not flushed.
        _copy(self._path(snapshot.volume), self._snapshot(snapshot))

    def delete_snapshot(self, snapshot) -> None:
        self._snapshot(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume, snapshot) -> None:
        _copy(self._snapshot(snapshot), self._path(volume))

    def initialize_connection(self, volume, connector) -> dict:
        return {'driver_volume_type': 'local',
                'data': {'device_path': loops.attach(self._path(volume),
                                                     connector['host'])}}

    def terminate_connection(self, volume, connector, **kwargs) -> None:
        if connector:
            loops.detach(self._path(volume), connector['host'])

    def create_export(self, context, volume, connector) -> None:
        """Nothing to do."""

    def ensure_export(self, context, volume) -> None:
        """Nothing to do."""

    def remove_export(self, context, volume) -> None:
        """Nothing to do."""

    def _update_volume_stats(self) -> None:
        self._stats = {
            'volume_backend_name':
                self.configuration.volume_backend_name,
            'vendor_name': 'ARM VM sandbox', 'driver_version': self.VERSION,
            'storage_protocol': 'local', 'thin_provisioning_support': True,
            'total_capacity_gb': 100, 'free_capacity_gb': 100,
            'provisioned_capacity_gb': 0, 'max_over_subscription_ratio': 20,
            'reserved_percentage': 0, 'multiattach': False}


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a sparse file."""
    processutils.execute('cp', '--sparse=always', source, target)
