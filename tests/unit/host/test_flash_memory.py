# SPDX-License-Identifier: Apache-2.0
import os

import fixtures
import testtools

from nova_armvm.host import flash_memory
from tests.unit.store import log_service
from tests.unit.uefi import flash_images as images

MIB = 1024 * 1024


class Domain:
    """A guest whose flash is another one at each look.

    :ivar calls: (offset, size) of each.
    """

    def __init__(self, *flashes):
        self._flashes = list(flashes)
        self.calls = []

    def memoryPeek(self, start, size, flags):
        assert flags == 2, 'addresses have to be physical'
        offset = start - 0x4000000
        self.calls.append((offset, size))
        flash = self._flashes[0]
        if offset + size == len(flash) and len(self._flashes) > 1:
            del self._flashes[0]
        return flash[offset:offset + size]


class MemoryTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.pauses = []
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.host.flash_memory.time.sleep', self.pauses.append))


class FlashTest(MemoryTestCase):

    def setUp(self):
        super().setUp()
        self.one, self.two = os.urandom(1000), os.urandom(1000)

    def test_flash_that_stays(self):
        domain = Domain(self.one)
        self.assertEqual(self.one, flash_memory.flash_of(domain, 1000))
        self.assertEqual(2 * [(0, 1000)], domain.calls)
        self.assertEqual([], self.pauses)

    def test_no_call_is_for_more_than_libvirt_gives(self):
        flash = os.urandom(9 * MIB)
        domain = Domain(flash)
        self.assertEqual(flash, flash_memory.flash_of(domain, 9 * MIB))
        self.assertEqual([(0, 4 * MIB), (4 * MIB, 4 * MIB), (8 * MIB, MIB)],
                         domain.calls[:3])

    def test_flash_that_changes_between_two_looks(self):
        self.assertEqual(self.two, flash_memory.flash_of(
            Domain(self.one, self.two, self.two), 1000))
        self.assertEqual(1, len(self.pauses))

    def test_flash_that_never_stays(self):
        self.assertRaises(
            flash_memory.FlashMemoryError, flash_memory.flash_of,
            Domain(*(os.urandom(10) for _ in range(100))), 10)
        self.assertLess(len(self.pauses), 100)

    def test_status_of_the_device_is_not_its_content(self):
        for status in (b'\x80\0\x80\0', b'\x80' * 4):
            self.assertEqual(self.two, flash_memory.flash_of(
                Domain(status * 250, status * 250, self.two), 1000))

    def test_flash_that_is_blank_or_erased(self):
        for flash in (bytes(1000), b'\xff' * 1000):
            self.assertEqual(flash, flash_memory.flash_of(Domain(flash),
                                                          1000))


class VerifyTest(MemoryTestCase):

    def setUp(self):
        super().setUp()
        self.flash = images.flash(images.record())
        self.service = log_service.LogService(self.flash)
        self.service.flash = self.flash

    def verify(self, domain):
        return flash_memory.verify(self.service, 'server', domain, False)

    def test_service_has_what_qemu_has(self):
        self.assertTrue(self.verify(Domain(self.flash)).equal)

    def test_flash_that_was_written_since_is_read_again(self):
        domain = Domain(self.flash)
        real = domain.memoryPeek

        def written(start, size, flags):
            self.service.writes += len(domain.calls) < 4
            return real(start, size, flags)
        domain.memoryPeek = written
        self.assertTrue(self.verify(domain).equal)
        self.assertEqual(3, self.service.asked.count('verify'))

    def test_guest_that_writes_all_the_time(self):
        domain = Domain(self.flash)
        real = domain.memoryPeek

        def written(start, size, flags):
            self.service.writes += 1
            return real(start, size, flags)
        domain.memoryPeek = written
        self.assertRaises(flash_memory.FlashMemoryError, self.verify, domain)
        self.assertLess(len(self.pauses), 100)
