# SPDX-License-Identifier: Apache-2.0
"""Guests that reboot by themselves, of which Nova takes no notice."""
from nova.virt import event as virtevent
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

#: libvirt.VIR_DOMAIN_EVENT_ID_REBOOT; the module is absent where libvirt is
#: only imitated, and Nova's imitation has no such name.
EVENT = 1


class GuestRebooted(virtevent.InstanceEvent):
    """A guest was reset; the same QEMU goes on."""


def listen(host: libvirt_host.Host) -> None:
    """Have the driver's emit_event() told of reboots of guests.

    To be done again with each new connection to libvirt.
    """
    try:
        host.get_connection().domainEventRegisterAny(
            None, EVENT, _on_reboot, host)
    except libvirt_host.libvirt.libvirtError as error:
        LOG.warning('libvirt will not tell of reboots of guests: %s', error)


def _on_reboot(_connection, domain, host: libvirt_host.Host) -> None:
    # In libvirt's own thread, where under eventlet not even logging is
    # allowed: left to Nova's queue for such events. Nova 32 has it in the
    # host itself.
    queue = getattr(host, '_event_handler', host)
    queue._queue_event(GuestRebooted(domain.UUIDString()))
