# SPDX-License-Identifier: Apache-2.0
"""Whose boot order counts, and how QEMU is told.

With any bootindex QEMU gives the firmware a list of devices, and edk2 then
reorders BootOrder and deletes Boot#### entries of other devices at every
boot. So a guest with an order of its own is started without any bootindex.
Otherwise Nova's order is given for one boot: QEMU makes the list when it
starts and makes it anew at each reset inside, so the indexes are withdrawn
before the first instruction runs. The next reset, also one from inside the
guest, then finds the order that firmware and guest have written.
"""
from collections.abc import Sequence
import json

from nova.virt.libvirt import guest as libvirt_guest
from oslo_log import log as logging
from oslo_utils import importutils

from nova_armvm import exception
from nova_armvm.profile import guest_xml

# Comes with libvirt-python; absent where libvirt is only imitated.
libvirt_qemu = importutils.try_import('libvirt_qemu')

LOG = logging.getLogger(__name__)

_WITHDRAWN = -1


def withdraw(guest: libvirt_guest.Guest) -> None:
    """Take the bootindex from every device of a guest that is paused.

    :param guest: started paused; libvirt has no interface of its own to
        remove a bootindex from a running guest (libvirt 11.3 accepts the
        change and does nothing), so QEMU's monitor is used.
    :raises GuestBootOrderStuck: QEMU refused.
    """
    for alias in guest_xml.boot_device_aliases(guest.get_xml_desc()):
        command = {'execute': 'qom-set', 'arguments': {
            'path': f'/machine/peripheral/{alias}',
            'property': 'bootindex', 'value': _WITHDRAWN}}
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(
            guest._domain, json.dumps(command), 0))
        error = answer.get('error')
        # A kind of device that has no bootindex needs none withdrawn.
        if error and 'not found' not in error.get('desc', ''):
            LOG.error('QEMU kept the bootindex of %(alias)s: %(error)s',
                      {'alias': alias, 'error': error},
                      instance_uuid=guest.uuid)
            raise exception.GuestBootOrderStuck()


def to_text(paths: Sequence[guest_xml.PciPath]) -> str:
    """Write PCI paths for the volume's metadata: ``1.1/0.0 1.2/0.0``."""
    return ' '.join('/'.join(f'{slot:x}.{function:x}'
                             for slot, function in path) for path in paths)


def from_text(text: str) -> tuple[guest_xml.PciPath, ...]:
    """Read what to_text() wrote; what cannot be read counts as nothing."""
    try:
        return tuple(tuple(_pair(part) for part in path.split('/'))
                     for path in text.split())
    except ValueError:
        LOG.warning('Ignoring the unreadable boot offer "%s" of a volume.',
                    text)
        return ()


def _pair(text: str) -> tuple[int, int]:
    slot, function = text.split('.')
    return int(slot, 16), int(function, 16)
