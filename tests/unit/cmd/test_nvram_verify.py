# SPDX-License-Identifier: Apache-2.0
import contextlib

import fixtures

from nova_armvm.cmd import dialogue
from nova_armvm.cmd import nvram
from nova_armvm.store import versions
from tests.unit.cmd import stage
from tests.unit.cmd import test_spec
from tests.unit.store import log_service
from tests.unit.uefi import flash_images as images

HELD = images.flash(images.record(content=b'held'))
#: The same variables, in another place.
MOVED = images.flash(images.record(content=b'old', state=images.DELETED),
                     images.record(content=b'held'))
OTHER = images.flash(images.record(content=b'other'))


class Libvirt(test_spec.Libvirt):
    """With one guest.

    :ivar flash: of the guest; None for no guest.
    """

    flash = HELD

    def lookupByUUIDString(self, uuid):
        if self.flash is None:
            raise self.libvirtError('Domain not found')
        return self

    def memoryPeek(self, start, size, flags):
        offset = start - 0x4000000
        return self.flash[offset:offset + size]


class VerifyTest(stage.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.libvirt = Libvirt()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.hypervisor.libvirt', self.libvirt))
        self.service = log_service.LogService(HELD)
        self.service.flash = HELD
        self.server = stage.server(vm_state='active', power_state=1)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.nvram._tools',
            lambda conf: nvram._Tools(self, self, None)))

    # What the command has for tools

    def find(self, wanted):
        return self.server

    @contextlib.contextmanager
    def opened(self, server, volume):
        yield versions.Versions(self.service, server.uuid, 'volume')

    def verify(self, *words, answer=''):
        return self.run_command('nvram', 'verify', 'server', *words,
                                answer=answer)

    def test_the_same(self):
        status, printed, _ = self.verify()
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('hold the same', printed)

    def test_what_differs_is_found(self):
        for flash, words in ((OTHER, 'and variables differ'),
                             (MOVED, 'but no variable differs')):
            self.libvirt.flash = flash
            status, printed, _ = self.verify()
            self.assertEqual(dialogue.FOUND, status)
            self.assertIn(words, printed)
        self.assertEqual(HELD, self.service.flash)

    def test_qemu_s_is_adopted_where_that_is_wanted(self):
        self.libvirt.flash = OTHER
        self.assertEqual(dialogue.FAILED, self.verify('--adopt')[0])
        self.assertEqual(HELD, self.service.flash)
        status, printed, _ = self.verify('--adopt', answer='y\n')
        self.assertEqual(dialogue.DONE, status)
        self.assertIn('was adopted', printed)
        self.assertEqual(OTHER, self.service.flash)

    def test_server_that_is_off(self):
        self.server = stage.server()
        status, _, complaint = self.verify()
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('does not run', complaint)

    def test_guest_that_libvirt_does_not_know(self):
        self.libvirt.flash = None
        status, _, complaint = self.verify()
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('Domain not found', complaint)
        self.assertEqual(0, self.libvirt.opened)

    def test_guest_that_writes_all_the_time(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.host.flash_memory.time.sleep', lambda seconds: None))
        number = iter(range(1000))
        self.libvirt.memoryPeek = lambda start, size, flags: bytes(
            [next(number) % 256]) * size
        status, _, complaint = self.verify()
        self.assertEqual(dialogue.FAILED, status)
        self.assertIn('the guest was writing', complaint)
