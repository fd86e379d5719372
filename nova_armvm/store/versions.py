# SPDX-License-Identifier: Apache-2.0
"""The versions of one store, for commands, by this host's flash service."""
from collections.abc import Iterator
import contextlib

from nova_armvm import exception
from nova_armvm.host import flash_memory
from nova_armvm.host import flash_service
from nova_armvm.host import volumes as host_volumes


class Versions:
    """What the log of a store holds, while its volume is open here."""

    def __init__(self, service: flash_service.FlashService, instance: str,
                 volume_id: str) -> None:
        """Stand for a log; nothing is asked yet.

        :param service: of this host; has the volume open.
        :param instance: uuid of the instance whose store it is.
        :param volume_id: of the store's volume.
        """
        self._service = service
        self._instance = instance
        self._volume_id = volume_id

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        with host_volumes.translated(self._volume_id):
            try:
                yield
            except flash_service.NotOpen as error:
                raise exception.StoreNotInService(
                    server=self._instance) from error
            except flash_service.StaleSequence as error:
                raise exception.StoreChangedMeanwhile(
                    server=self._instance) from error

    def read(self, version: int | None = None) -> flash_service.StoredStore:
        """Return a version with its content, by default the newest.

        :raises NoSuchVersion: if there is none of that number.
        :raises StoreError: if it cannot be read.
        """
        with self._asking():
            try:
                return self._service.read(self._instance, version)
            except flash_service.VersionUnknown as error:
                if version is None:
                    raise
                raise exception.NoSuchVersion(
                    version=version, server=self._instance) from error

    def history(self) -> list[flash_service.VersionInfo]:
        """Return the versions that there are, newest first.

        :raises StoreError: if they cannot be read.
        """
        with self._asking():
            return self._service.history(self._instance)

    def commit(self, store: bytes, reason: str,
               after: flash_service.VersionInfo
               ) -> flash_service.VersionInfo:
        """Add a version; it is there as a whole, or not at all.

        :param store: canonical store.
        :param after: the newest version, as it was read.
        :raises ServerNotOff: if QEMU has the flash open.
        :raises StoreChangedMeanwhile: if there is a newer version.
        :raises StoreError: if it cannot be written.
        """
        with self._asking():
            state = self._service.state(self._instance)
            if state.served and state.connected:
                raise exception.ServerNotOff(
                    server=self._instance,
                    state='off, but QEMU has its flash open')
            # A guest that was stopped leaves its flash served; the next
            # start has it served anew.
            self._service.stop(self._instance)
            return self._service.commit(self._instance, store, reason,
                                        expect_sequence=after.sequence)

    def verify(self, domain: flash_memory.Domain,
               adopt: bool) -> flash_service.Verification:
        """Compare the served flash with what QEMU has in memory.

        :param domain: of the guest.
        :param adopt: commit QEMU's where they differ.
        :raises FlashUnsettled: if the guest writes to it all the time.
        :raises StoreError: if the service could not.
        :raises libvirt.libvirtError: if libvirt could not.
        """
        with self._asking():
            try:
                return flash_memory.verify(self._service, self._instance,
                                           domain, adopt)
            except flash_memory.FlashMemoryError as error:
                raise exception.FlashUnsettled() from error
