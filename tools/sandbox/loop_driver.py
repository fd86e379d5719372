# SPDX-License-Identifier: Apache-2.0
"""A Cinder driver for tests: sparse files behind loop devices.

What a SAN is to real hosts: each host that a volume is attached to has a
kernel block device of its own for it, with a name and a cache of its own. Of
Cinder's own drivers none does this without device-mapper or iSCSI, which the
machines that run the sandbox do not have. Loaded by cinder-volume.
"""
import os
import subprocess

from cinder import interface
from cinder.volume import configuration
from cinder.volume import driver
from oslo_config import cfg

_OPTIONS = [cfg.StrOpt('loop_directory', help='Where the files lie.')]
cfg.CONF.register_opts(_OPTIONS, group=configuration.SHARED_CONF_GROUP)


def _losetup(*words: str) -> str:
    return subprocess.run(['losetup', *words], check=True, text=True,
                          capture_output=True).stdout.strip()


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
        _losetup('--version')

    def _path(self, volume) -> str:
        return os.path.join(self.configuration.loop_directory, volume.name)

    def create_volume(self, volume) -> None:
        with open(self._path(volume), 'xb') as stream:
            stream.truncate(volume.size * 1024 ** 3)

    def delete_volume(self, volume) -> None:
        directory = self.configuration.loop_directory
        for name in os.listdir(directory):
            if name.startswith(f'{volume.name}@'):
                self._detach(os.path.join(directory, name))
        if os.path.exists(self._path(volume)):
            os.unlink(self._path(volume))

    def initialize_connection(self, volume, connector) -> dict:
        mark = f'{self._path(volume)}@{connector["host"]}'
        if not os.path.islink(mark):
            os.symlink(_losetup('--find', '--show', self._path(volume)), mark)
        return {'driver_volume_type': 'local',
                'data': {'device_path': os.readlink(mark)}}

    def terminate_connection(self, volume, connector, **kwargs) -> None:
        if connector:
            self._detach(f'{self._path(volume)}@{connector["host"]}')

    @staticmethod
    def _detach(mark: str) -> None:
        """Free a host's device, as soon as nobody has it open."""
        if os.path.islink(mark):
            subprocess.run(['losetup', '--detach', os.readlink(mark)])
            os.unlink(mark)

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
