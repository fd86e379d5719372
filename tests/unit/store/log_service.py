# SPDX-License-Identifier: Apache-2.0
"""A flash service that keeps the versions of one store in memory."""
import hashlib

from nova_armvm.host import flash_service
from nova_armvm.uefi import region
from nova_armvm.uefi import varstore

FLASH_SIZE = 64 * 1024 * 1024


class LogService:
    """What commands ask of nova_armvm.host.flash_service.FlashService.

    :ivar content: of the volume, as Opened.content.
    :ivar away: it does not answer.
    :ivar is_open: it has the volume open.
    :ivar served: QEMU may connect.
    :ivar connected: connections of QEMU.
    :ivar flash: that it serves, for verify().
    :ivar writes: of QEMU.
    :ivar asked: the verbs, in order.
    :ivar before_commit: called before a version is added.
    """

    def __init__(self, *flashes, reason='guest'):
        self.content = 'log'
        self.away = None
        self.is_open = True
        self.served, self.connected = False, 0
        self.flash, self.writes = b'', 0
        self.asked = []
        self.before_commit = lambda: None
        self.versions = []
        for flash in flashes:
            self.add(flash, reason)

    def add(self, flash, reason='guest', flash_size=FLASH_SIZE):
        self.add_store(region.canonical_of(flash), reason, flash_size)

    def add_store(self, store, reason, flash_size=FLASH_SIZE):
        """Append a version as a guest or the driver would."""
        number = self.versions[0].version.sequence + 1 if (
            self.versions) else 1
        made = flash_service.VersionInfo(
            number, 1, 1_790_000_000 + number, reason, len(store),
            hashlib.sha256(store).hexdigest())
        self.versions.insert(0, flash_service.StoredStore(
            store, flash_size, made))
        return made

    def _asked(self, verb):
        if self.away is not None:
            raise flash_service.FlashServiceAway('away') from self.away
        self.asked.append(verb)
        if not self.is_open and verb != 'hello':
            raise flash_service.NotOpen('not open')

    def hello(self, timeout=None):
        self._asked('hello')

    def convert(self, instance):
        self._asked('convert')
        self.content = 'log'

    def read(self, instance, version=None):
        self._asked('read')
        for stored in self.versions:
            if version in (None, stored.version.sequence):
                return stored
        raise flash_service.VersionUnknown(f'no version {version}')

    def history(self, instance):
        self._asked('history')
        return [stored.version for stored in self.versions]

    def state(self, instance):
        self._asked('state')
        return flash_service.ExportState(instance, self.served,
                                         connected=self.connected,
                                         writes=self.writes)

    def stop(self, instance):
        self._asked('stop')
        self.served = False

    def commit(self, instance, store, reason, expect_sequence=None):
        self._asked('commit')
        self.before_commit()
        if self.served:
            raise flash_service.AlreadyServed('it is served')
        if expect_sequence != self.versions[0].version.sequence:
            raise flash_service.StaleSequence('there is a newer one')
        return self.add_store(store, reason, self.versions[0].flash_size)

    def verify(self, instance, flash, adopt, expect_writes):
        self._asked('verify')
        if expect_writes != self.writes:
            raise flash_service.StaleSequence('written meanwhile')
        before, after = (varstore.parse(each).variables
                         for each in (self.flash, flash))
        equal = flash == self.flash
        if adopt:
            self.flash = flash
        return flash_service.Verification(equal, before != after,
                                          adopt and not equal)
