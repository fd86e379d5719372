# SPDX-License-Identifier: Apache-2.0
"""Live migration: what the hosts tell each other, boot order, flash writes.

The guest finds its flash under the same name on every host, so nothing of
that is rewritten. But QEMU does not notice that its flash changes while it
sends a guest (pflash_cfi01 marks no page as dirty; seen with QEMU 10.0): what
the guest writes to it after that page was sent is not in the flash that the
destination has, and its firmware would find the old one at the next reset. So
a migration within which the guest wrote to its flash is aborted and made
again, and at last with the guest paused.
"""
from collections.abc import Callable
import threading
import typing as ty

from nova.objects import migrate_data as nova_migrate_data
from nova.virt.libvirt import guest as libvirt_guest
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

from nova_armvm.profile import guest_xml

LOG = logging.getLogger(__name__)

#: Attempts, of which the first are made with the guest running: few guests
#: set a variable more than once a day. The others fail as well if QEMU begins
#: to send before the guest could be paused.
ATTEMPTS, RUNNING_ATTEMPTS = 12, 3
_POLL_SECONDS = 0.02
# Places in what libvirt's jobInfo() returns: there is a job, and QEMU has
# begun to send.
_JOB_TYPE, _DATA_TOTAL = 0, 3

CountWrites = Callable[[], int | None]


def announce(migrate_data: nova_migrate_data.LibvirtLiveMigrateData) -> None:
    """Tell the source that the destination has this driver.

    An empty list of mediated devices changes nothing but one: Nova then
    always has the destination clean up after a failure, also where both
    hosts share the directory of instances (Nova 32 to 34).
    """
    if 'target_mdevs' not in migrate_data:
        migrate_data.target_mdevs = {}


def is_announced(
        migrate_data: nova_migrate_data.LibvirtLiveMigrateData) -> bool:
    """Tell whether announce() was called on the destination."""
    return 'target_mdevs' in migrate_data


class FlashWriteGuard:
    """Aborts a migration within which the guest writes to its flash.

    :ivar written: the guest did, so the destination's flash is not its own.
    """

    def __init__(self, domain: ty.Any, count: CountWrites,
                 pause: bool) -> None:
        """Begin to count.

        :param domain: libvirt's, of the guest that is to be sent.
        :param count: returns how often it has written to its flash.
        :param pause: pause the guest as soon as it is being sent.
        """
        self._domain = domain
        self._count = count
        self._pause = pause
        self._paused = False
        self._active = False
        self._sending = False
        self._before = count()
        self._ended = threading.Event()
        self.written = False
        self._thread = threading.Thread(target=self._watch, daemon=True,
                                        name='armvm-flash-guard')

    def __enter__(self) -> 'FlashWriteGuard':
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._paused and self._is_here():
            # It was not sent, so it goes on here.
            self._domain.resume()
        else:
            self._look()

    def _is_here(self) -> bool:
        """Return whether the guest was not sent; libvirt undefines it then."""
        try:
            return bool(self._domain.isActive())
        except libvirt_host.libvirt.libvirtError:
            return False

    def _look(self) -> bool:
        now = self._count()
        if now is not None and self._before not in (None, now):
            self.written = True
        return self.written

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            try:
                if self._step():
                    return
            except libvirt_host.libvirt.libvirtError as error:
                # It has just ended, one way or the other.
                LOG.debug('Failed to look after the migration: %s', error)

    def _step(self) -> bool:
        """Look once; return whether that was the last time."""
        if not self._sending:
            count = self._count()
            job = self._domain.jobInfo()
            active = bool(job[_JOB_TYPE])
            self._sending = active and bool(job[_DATA_TOTAL])
            # Not with the first sign of a job: a guest that libvirt finds
            # paused when it begins stays so at the destination.
            if self._pause and not self._paused and (
                    self._sending or active and self._active):
                self._domain.suspend()
                self._paused = True
            self._active = active
            if not self._sending:
                # What was written before QEMU sends anything is sent.
                self._before = count
                return False
        if self._look():
            self._domain.abortJob()
        return self.written


class WatchedGuest:
    """Nova's guest, for who watches the migration.

    An attempt that this driver has aborted is not the end of the migration.
    """

    def __init__(self, guest: libvirt_guest.Guest,
                 has_ended: Callable[[], bool]) -> None:
        """Stand for a guest.

        :param has_ended: returns whether no more attempt is being made.
        """
        self._guest = guest
        self._has_ended = has_ended

    def __getattr__(self, name: str) -> ty.Any:
        return getattr(self._guest, name)

    def get_job_info(self) -> libvirt_guest.JobInfo:
        """Return what Nova's does, but not the end of an attempt."""
        # Asked first: an end that comes in between is told the next time.
        ended = self._has_ended()
        info = self._guest.get_job_info()
        libvirt = libvirt_host.libvirt
        if not ended and info.type in (libvirt.VIR_DOMAIN_JOB_CANCELLED,
                                       libvirt.VIR_DOMAIN_JOB_FAILED):
            info.type = libvirt.VIR_DOMAIN_JOB_NONE
        return info


class MovingGuest:
    """Nova's guest, for the time in which it is sent to another host.

    There it finds no boot order but its own: it has been left to it when it
    started. And it finds the flash that it had here.
    """

    def __init__(self, guest: libvirt_guest.Guest,
                 count: CountWrites) -> None:
        """Stand for a guest.

        :param count: returns how often it has written to its flash.
        """
        self._guest = guest
        self._count = count

    def __getattr__(self, name: str) -> ty.Any:
        return getattr(self._guest, name)

    def migrate(self, *args: ty.Any, destination_xml: str | None = None,
                **kwargs: ty.Any) -> None:
        """Do what Nova's does, until the flash arrives as it is.

        If that never works, or somebody else aborts it, the guest runs on
        here and Nova finds that the migration has failed.

        :raises libvirt.libvirtError: as Nova's does.
        """
        xml = destination_xml or self._guest.get_xml_desc(
            dump_migratable=True)
        kwargs['destination_xml'] = guest_xml.with_guest_boot_order(xml)
        for attempt in range(ATTEMPTS):
            if self._is_sent(attempt >= RUNNING_ATTEMPTS, args, kwargs):
                return
            LOG.info('Aborted the live migration: the guest wrote to its '
                     'flash meanwhile (attempt %d of %d)', attempt + 1,
                     ATTEMPTS, instance_uuid=self._guest.uuid)
        LOG.error('Failed to live migrate: the guest writes UEFI variables '
                  'all the time', instance_uuid=self._guest.uuid)

    def _is_sent(self, pause: bool, args: ty.Any, kwargs: ty.Any) -> bool:
        """Send the guest; return whether it is to be left at that."""
        guard = FlashWriteGuard(self._guest._domain, self._count, pause)
        try:
            with guard:
                self._guest.migrate(*args, **kwargs)
        except libvirt_host.libvirt.libvirtError:
            if not guard.written:
                raise
            return False
        if guard.written:
            LOG.error('The guest wrote to its flash when it left this host, '
                      'so QEMU on the destination may have an older one than '
                      'the volume. Hard reboot the server before it reboots '
                      'by itself', instance_uuid=self._guest.uuid)
        return True
