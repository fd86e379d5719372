# SPDX-License-Identifier: Apache-2.0
"""A host that serves a flash, and troubles that befall it at any write."""
from collections.abc import Callable
import random

from nova_armvm.nvramd import whole
from nova_armvm.uefi import ftw
from tests.unit.nvramd import edk2

_PIECE = 256 * 1024


class Lost(AssertionError):
    """The last commit does not hold what the guest was told is written."""


class Host:
    """Serves the flash of one guest and commits what is whole.

    :ivar committed: the canonical stores that were committed, oldest first.
    :ivar acknowledged: what the guest knows to be set.
    :ivar under_way: what the guest sets or deletes, and to what content.
    :ivar writes: of the flash that have come.
    """

    def __init__(self, model: edk2.Model = edk2.EDK2_2025_02,
                 block: int = ftw.BLOCK_SIZE) -> None:
        self.committed = [b'']
        self.region = bytearray(whole.region_of(b''))
        self.flash = whole.Flash(self.region, b'')
        self.guest = edk2.Firmware(bytearray(self.region), model,
                                   self.written, block)
        self.acknowledged: dict[str, bytes] = {}
        self._held: dict[str, bytes] = {}
        self.under_way: tuple[str, bytes | None] | None = None
        #: Called behind each write.
        self.trouble: Callable[[], None] = lambda: None
        #: Return whether a commit works.
        self.commits: Callable[[], bool] = lambda: True
        self.checking = True
        self.accepted = 0
        self.writes, self.now = 0, 0.0

    def take_over(self, committed: bytes) -> None:
        """Begin with a store, which the guest starts from."""
        self.committed = [committed]
        self.region[:] = self.guest.nor.content[:] = whole.region_of(
            committed)
        self.flash = whole.Flash(self.region, committed)

    # The flash

    def written(self, offset: int, content: bytes) -> None:
        """Take a write of the guest's."""
        self.writes += 1
        self.now += 1.0
        content = content[:max(0, len(self.region) - offset)]
        self.commit_if(self.flash.write(offset, content, self.now))
        self.trouble()
        self.check()

    def commit_if(self, news: bool) -> None:
        """Commit what the flash shows."""
        if not news or not self.commits():
            return
        self.accepted += self.flash.accepted
        self.committed.append(self.flash.canonical())
        self._held = variables(self.committed[-1])
        self.flash.mark_committed()

    def check(self) -> None:
        """Check that a power cut now would lose nothing.

        :raises Lost: if it would.
        """
        if not self.checking or self._held == self.acknowledged:
            return
        if self.under_way is not None:
            name, content = self.under_way
            if self._held == changed(self.acknowledged, name, content):
                return
        raise Lost(f'write {self.writes}, commit {len(self.committed)}, '
                   f'{self.flash.state}: {sorted(self._held)} instead of '
                   f'{sorted(self.acknowledged)}, under way: '
                   f'{self.under_way and self.under_way[0]}')

    # Troubles

    def restart(self) -> None:
        """Start the service again; the flash is still there."""
        self.flash = whole.Flash(self.region, self.committed[-1])
        self.commit_if(self.flash.judge(self.now))

    def die_before_committing(self, offset: int, content: bytes) -> None:
        """Take a write, but end before anything is judged."""
        self.writes += 1
        self.now += 1.0
        content = content[:max(0, len(self.region) - offset)]
        self.region[offset:offset + len(content)] = content
        self.check()
        self.restart()
        # QEMU sends what was not acknowledged once more.
        self.commit_if(self.flash.write(offset, content, self.now))
        self.check()

    def migrate(self, arriving: bool = True, stale: bool = False) -> None:
        """Go on on another host, where the flash arrives in pieces.

        :param stale: the other host has looked at the log long before.
        """
        newest = self.committed[-1]
        seen = self.committed[0] if stale else newest
        self.region = bytearray(whole.region_of(seen))
        self.flash = whole.Flash(self.region, seen, arriving=arriving)
        if stale:
            self.flash.rebase(newest)
        whole_flash = bytes(self.guest.nor.content)
        for start in range(0, len(self.region), _PIECE):
            self.commit_if(self.flash.write(
                start, whole_flash[start:start + _PIECE], self.now))
            self.check()
        self.commit_if(self.flash.settle_arrival(self.now))

    # The guest

    def set(self, name: str, content: bytes | None) -> None:
        """Have the guest set or delete a variable."""
        self.under_way = (name, content)
        done = True
        if content is None:
            self.guest.delete(name)
        else:
            done = self.guest.set(name, content)
        if done:
            self.acknowledged = changed(self.acknowledged, name, content)
        self.under_way = None
        self.check()


def variables(canonical: bytes) -> dict[str, bytes]:
    """Return the variables of a store by their names."""
    return {key.name: variable.content for key, variable
            in whole.variables_of(canonical).variables.items()}


def changed(present: dict[str, bytes], name: str,
            content: bytes | None) -> dict[str, bytes]:
    """Return variables with one set or deleted."""
    result = {**present, name: content}
    return {key: value for key, value in result.items() if value is not None}


def work(host: Host, seed: int, steps: int, names: int = 10,
         sizes: tuple[int, ...] = (1, 30, 100, 300, 700)) -> None:
    """Have the guest set and delete variables at random."""
    chance = random.Random(seed)
    for _step in range(steps):
        content = chance.randbytes(chance.choice(sizes))
        name = f'V{chance.randrange(names)}'
        host.set(name, None if chance.random() < 0.2 else content)
