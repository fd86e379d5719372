# SPDX-License-Identifier: Apache-2.0
"""A guest that writes all the time, and what is held against it."""
import contextlib
import time

from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image
from tools.sandbox.history import checker
from tools.sandbox.history import following
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import stories

#: How long a guest takes to boot and to write, with others beside it.
_WRITES_SECONDS = 240
#: How much it is to write before something happens to it again, and how long
#: that is waited for.
_ENOUGH, _ENOUGH_SECONDS = 25, 60
_HOSTS = (config.ARMVM, config.ARMVM_2)


def _settled(written: stories.Written) -> dict[str, str]:
    """Return what the guest has written once, in hexadecimal."""
    order = b''.join(number.to_bytes(2, 'little') for number in written.order)
    return {console.PROBE: written.probe.hex(), 'BootOrder': order.hex(),
            **{name: content.hex()
               for name, content in written.variables.items()}}


class Writer:
    """The busy writer of one server after the other."""

    def __init__(self, listener: following.Listener, seed: int) -> None:
        self._listener = listener
        self._seed = seed
        self._guest: following.Guest | None = None
        #: Of the servers before.
        self._earlier = checker.Counts()

    def begin(self, story: stories.Story) -> None:
        """Let the guest of a server write; what was before does not count.

        :raises SandboxError: it does not answer.
        """
        self.end()
        server = story.server
        first = server.console.be_busy(self._seed)
        guest = following.Guest(
            [hosts.ComputeHost(host).console(server.id) for host in _HOSTS],
            image.DISK_A.identity, first)
        guest.listen()
        guest.ask(lambda history: history.settle(_settled(story.written)))
        self._guest = guest
        self._listener.add(guest)

    def end(self) -> None:
        """Let go of the guest, which is not asked any more."""
        if self._guest is not None:
            self._listener.remove(self._guest)
            self._earlier = self.counts()
            self._guest = None

    def writes_again(self) -> None:
        """Wait until it writes, unless something is wrong already.

        :raises SandboxError: it does not.
        """
        self._listener.require()
        since = time.monotonic()
        process.wait_for(
            lambda: self._guest.has_written_since(since) or self.violations(),
            _WRITES_SECONDS, 'the guest to write', pause=1)

    def writes_much(self) -> None:
        """Give it time to write, so that there is something to lose."""
        wanted = self.counts().acknowledged + _ENOUGH
        with contextlib.suppress(process.SandboxError):
            # Less is enough where a store is slow.
            process.wait_for(
                lambda: self.counts().acknowledged >= wanted or
                self.violations(), _ENOUGH_SECONDS, 'writes', pause=1)

    def violations(self) -> list[checker.Violation]:
        """Return all that is wrong with what was found up to now."""
        self._listener.require()
        return [] if self._guest is None else self._guest.ask(
            checker.History.violations)

    def check(self) -> None:
        """Make sure that nothing is lost.

        :raises SandboxError: something is, or the guest does not write.
        """
        if self._guest is None:
            return
        self.writes_again()
        found = self.violations()
        if found:
            raise process.SandboxError(found[0].report())

    def counts(self) -> checker.Counts:
        """Count what has happened to all guests."""
        return self._earlier if self._guest is None else (
            self._earlier + self._guest.ask(checker.History.counts))
