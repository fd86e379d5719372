# SPDX-License-Identifier: Apache-2.0
"""A nova-compute that can be stopped before each step of the driver.

Everything is real; only a look at a gate (see steps) is added in front of
what changes something outside of the process. Started in place of
nova-compute when ARMVM_SANDBOX_STEPS is set.
"""
from collections.abc import Callable
import functools
import socket
import sys
import threading

# First: it chooses between threads and eventlet.
from nova.cmd import compute  # isort: skip
from nova import objects
from nova.virt.libvirt import driver as libvirt_driver

from nova_armvm.host import flash_service
from nova_armvm.host import volumes as host_volumes
from nova_armvm.store import cinder
from nova_armvm.store import ref as instance_ref
from nova_armvm.store import store
from tools.sandbox.faults import steps

_STEPS = {
    cinder.StoreVolumes: ('create', 'attach', 'complete', 'detach', 'note',
                          'delete'),
    host_volumes.LibvirtHostVolumes: ('connect', 'disconnect'),
    flash_service.FlashService: ('open', 'format', 'convert', 'commit',
                                 'serve', 'take', 'stop', 'close'),
    # Those of Nova that ours stand in front of or behind.
    libvirt_driver.LibvirtDriver: (
        'spawn', '_create_guest', 'destroy', 'migrate_disk_and_power_off',
        'finish_migration', 'finish_revert_migration', 'confirm_migration',
        'pre_live_migration', '_live_migration_operation',
        'post_live_migration', 'post_live_migration_at_destination'),
}
#: What says for which server the steps within are done.
_SCOPES = {
    store.Store: ('attach', 'attach_shared', 'release', 'delete', 'load',
                  'note', 'serve', 'serve_arriving', 'take'),
}
_HERE = threading.local()


def _server_in(arguments: tuple) -> str | None:
    """Return the server that some arguments are about."""
    for each in arguments:
        if isinstance(each, store.Store):
            each = each.ref
        if isinstance(each, (objects.Instance, instance_ref.InstanceRef)):
            return each.uuid
        if isinstance(each, cinder.StoreVolume):
            return each.instance
    return getattr(_HERE, 'server', None)


def _scoped(function: Callable, step: str | None) -> Callable:
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        outer = getattr(_HERE, 'server', None)
        _HERE.server = _server_in((*arguments, *named.values()))
        try:
            if step is not None and _HERE.server is not None:
                _come_to(_HERE.server, steps.Step(socket.gethostname(), step))
            return function(*arguments, **named)
        finally:
            _HERE.server = outer
    return wrapper


def _come_to(server_id: str, step: steps.Step) -> None:
    steps.note(server_id, step)
    steps.Gate(server_id, step).pass_through()


def main() -> None:
    """Put the gates in and run nova-compute."""
    for owner, names in (*_STEPS.items(), *_SCOPES.items()):
        for name in names:
            step = name.lstrip('_') if owner in _STEPS else None
            setattr(owner, name, _scoped(getattr(owner, name), step))
    compute.main()


if __name__ == '__main__':
    sys.exit(main())
