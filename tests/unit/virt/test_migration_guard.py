# SPDX-License-Identifier: Apache-2.0
"""What a guest writes to its flash while it is sent goes with it."""
import threading
import unittest
from unittest import mock

from nova import objects

from nova_armvm.virt import migration

objects.register_all()

#: How long a test waits for what must come.
PATIENCE = 10


class LibvirtError(Exception):
    """Stands for libvirt's."""


class Domain:
    """A guest of libvirt's, with a migration that takes a while.

    :ivar writes: of the guest to its flash.
    :ivar plan: for each attempt, what happens once QEMU sends.
    :ivar quick: QEMU sends as soon as there is a job.
    """

    def __init__(self, *plan, quick=False):
        self.quick = quick
        self.writes = 0
        self.plan = list(plan)
        self.paused = []
        self.attempts = 0
        self._running = True
        self._here = True
        self._job = self._sending = False
        self._aborted = threading.Event()
        self._suspended = threading.Event()
        self._asked = threading.Semaphore(0)

    def count(self):
        self._asked.release()
        return self.writes

    def jobInfo(self):
        return [2 * self._job, 1, 0, 512 * self._sending] + [0] * 8

    def suspend(self):
        self._running = False
        self._suspended.set()

    def resume(self):
        self._running = True

    def isActive(self):
        if not self._here:
            raise LibvirtError('no domain with matching uuid')
        return True

    @property
    def here(self):
        return self._here

    def abortJob(self):
        self._aborted.set()

    def write(self):
        """The guest sets a variable, if it runs."""
        if self._running:
            self.writes += 1

    def migrate(self, *_args, **_kwargs):
        self.attempts += 1
        self._aborted.clear()
        self._suspended.clear()
        self._job = not self.quick
        # What is written before QEMU sends anything is no matter.
        self.write()
        self._wait_until_asked()
        self._job = self._sending = True
        self.plan.pop(0)(self)
        self._job = self._sending = False
        self.paused.append(not self._running)
        if self._aborted.is_set():
            raise LibvirtError('operation aborted')
        self._here = False

    def _wait_until_asked(self):
        """Wait until somebody has asked for the writes from now on."""
        while self._asked.acquire(blocking=False):
            continue
        # The first answer may have been on its way already.
        for _time in range(2):
            assert self._asked.acquire(timeout=PATIENCE)

    # What may happen meanwhile

    def quiet(self):
        self._aborted.wait(0.2)

    def busy(self):
        self.write()
        assert self._aborted.wait(PATIENCE)

    def busy_until_paused(self):
        self.write()
        assert self._suspended.wait(PATIENCE)
        self._aborted.wait(0.2)
        self.write()

    def refused(self):
        raise LibvirtError('no')


class Guest:
    """Nova's guest."""

    uuid = 'its uuid'

    def __init__(self, domain):
        self._domain = domain

    def get_xml_desc(self, dump_migratable=False):
        return '<domain><os><type>hvm</type></os><devices/></domain>'

    def migrate(self, *args, **kwargs):
        self._domain.migrate(*args, **kwargs)


class FlashWriteGuardTest(unittest.TestCase):

    def setUp(self):
        patch = mock.patch.object(
            migration.libvirt_host, 'libvirt',
            mock.Mock(libvirtError=LibvirtError), create=True)
        patch.start()
        self.addCleanup(patch.stop)

    def send(self, *plan, **given):
        domain = Domain(*plan, **given)
        migration.MovingGuest(Guest(domain), domain.count).migrate('uri')
        return domain

    def test_quiet_guest_is_sent_as_it_runs(self):
        domain = self.send(Domain.quiet)
        self.assertEqual((1, [False], False),
                         (domain.attempts, domain.paused, domain.here))

    def test_guest_that_has_written_is_sent_again(self):
        domain = self.send(Domain.busy, Domain.quiet)
        self.assertEqual((2, [False, False], False),
                         (domain.attempts, domain.paused, domain.here))

    def test_guest_that_writes_all_the_time_is_sent_paused(self):
        running = migration.RUNNING_ATTEMPTS
        domain = self.send(*[Domain.busy] * running,
                           Domain.busy_until_paused)
        self.assertEqual((running + 1, True, False), (
            domain.attempts, domain.paused[-1], domain.here))

    def test_guest_that_always_writes_in_time_runs_on_here(self):
        domain = self.send(*[Domain.busy] * migration.ATTEMPTS, quick=True)
        self.assertEqual((migration.ATTEMPTS, True, True), (
            domain.attempts, domain.here, domain._running))

    def test_error_of_libvirt_is_nova_s_to_handle(self):
        self.assertRaises(LibvirtError, self.send, Domain.refused)

    def test_guest_that_was_paused_for_nothing_runs_on(self):
        domain = Domain(*[Domain.busy] * migration.RUNNING_ATTEMPTS,
                        Domain.refused)
        guest = migration.MovingGuest(Guest(domain), domain.count)
        self.assertRaises(LibvirtError, guest.migrate, 'uri')
        self.assertTrue(domain._running)

    def test_write_in_the_last_moment_is_told(self):
        def late(domain):
            domain._aborted.wait(0.2)
            with mock.patch.object(domain, 'abortJob'):
                domain.write()
        with self.assertLogs('nova_armvm.virt.migration', 'ERROR') as logs:
            self.send(late)
        self.assertIn('Hard reboot the server', logs.output[0])

    def test_service_that_does_not_answer_stops_nothing(self):
        domain = Domain(Domain.quiet)

        def away():
            domain.count()
        migration.MovingGuest(Guest(domain), away).migrate('uri')
        self.assertFalse(domain.here)


class WatchedGuestTest(unittest.TestCase):

    def told(self, kind, ended):
        libvirt = mock.Mock(VIR_DOMAIN_JOB_NONE=0, VIR_DOMAIN_JOB_FAILED=4,
                            VIR_DOMAIN_JOB_CANCELLED=5)
        guest = mock.Mock()
        guest.get_job_info.return_value.type = kind
        with mock.patch.object(migration.libvirt_host, 'libvirt', libvirt,
                               create=True):
            return migration.WatchedGuest(
                guest, lambda: ended).get_job_info().type

    def test_end_of_an_attempt_is_not_the_end(self):
        for kind in (4, 5):
            self.assertEqual(0, self.told(kind, ended=False))
            self.assertEqual(kind, self.told(kind, ended=True))

    def test_progress_and_success_are_told(self):
        for kind in (0, 2, 3):
            self.assertEqual(kind, self.told(kind, ended=False))
