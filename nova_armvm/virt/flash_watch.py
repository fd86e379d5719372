# SPDX-License-Identifier: Apache-2.0
"""Whether the flash service has all that the guests of this host wrote.

QEMU waits for a service that is away. After the time it is told to wait it
gives up and tells the guest that its write succeeded, so what the guest was
told is kept is in QEMU's memory only. The service says of which guests it
cannot know; their flash is read back out of QEMU and compared.
"""
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

from nova_armvm.host import flash_memory
from nova_armvm.host import flash_service

LOG = logging.getLogger(__name__)

_SECONDS = 10


class FlashWatch:
    """Looks after the flashes that are served on this host."""

    def __init__(self, libvirt: libvirt_host.Host,
                 service: flash_service.FlashService) -> None:
        self._libvirt = libvirt
        self._service = service
        self._away = False

    def run(self) -> None:
        """Verify the flash of every guest whose writes may have been lost."""
        try:
            states = self._service.list(_SECONDS)
        except flash_service.FlashServiceError as error:
            if not self._away:
                LOG.error('The flash service does not answer; guests that '
                          'write UEFI variables stand still until it does: '
                          '%s', error)
            self._away = True
            return
        if self._away:
            LOG.info('The flash service answers again')
        self._away = False
        for state in states:
            if state.served and state.gap:
                self._verify(state.instance)

    def _verify(self, instance: str) -> None:
        """Compare a flash with what QEMU has, which is what counts."""
        try:
            domain = self._libvirt.get_connection().lookupByUUIDString(
                instance)
            if not domain.isActive():
                return
            result = flash_memory.verify(self._service, instance, domain,
                                         adopt=True)
        # Through Nova's name for it: tests of Nova replace the module there.
        except (libvirt_host.libvirt.libvirtError,
                flash_memory.FlashMemoryError,
                flash_service.FlashServiceError) as error:
            LOG.warning('Failed to verify the flash of the guest after an '
                        'interruption; will retry: %s', error,
                        instance_uuid=instance)
            return
        if result.adopted:
            LOG.error('Recovered UEFI variables from QEMU that the guest '
                      'wrote while the flash service was away',
                      instance_uuid=instance)
        else:
            LOG.info('Verified the flash of the guest after an interruption: '
                     'nothing was lost', instance_uuid=instance)
