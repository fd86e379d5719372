# SPDX-License-Identifier: Apache-2.0
"""Changes of a server's store while it is off.

In this order: the server is locked, so that its tenant cannot start it; the
content is kept in a snapshot; the volume is marked; Nova is asked once more
whether the server is off and the lock still this command's; the blocks that
differ are written; the mark goes; the server is unlocked. A process that dies
leaves a lock with its reason, a snapshot, and perhaps the mark, with which no
host starts the server. "undo" takes it back then.

Of two commands that begin at once, one sees the lock of the other, or the
other's mark, which was not there when the server was unlocked.
"""
from collections.abc import Callable, Iterator
import contextlib
import dataclasses

from nova_armvm.cmd import held_server
from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.nvram import offline
from nova_armvm.nvram import previous
from nova_armvm.nvram import volume
from nova_armvm.uefi import varstore


@dataclasses.dataclass(frozen=True)
class Look:
    """A store as it is.

    :ivar flash: the part with the variables, or all of it.
    """

    server: held_server.Server
    volume: volume.Volume
    flash: bytes

    @property
    def variables(self) -> varstore.VariableStore:
        """Return the variables.

        :raises VariableStoreInvalid: they cannot be understood.
        """
        return varstore.parse(self.flash)


@dataclasses.dataclass(frozen=True)
class Change:
    """What a change has done.

    :ivar written: bytes on the volume; 0 when it was as wanted already.
    :ivar snapshot: id of the snapshot with the previous content.
    :ivar undone: the previous content is back.
    """

    server: held_server.Server
    written: int
    snapshot: str | None = None
    undone: bool = False

    @property
    def nothing(self) -> bool:
        """Whether it was so already."""
        return self.snapshot is None and not self.undone


class StoreEditor:
    """Reads and changes the stores of servers."""

    def __init__(self, servers: held_server.Servers,
                 stores: store_access.StoreAccess,
                 kept: previous.PreviousContents) -> None:
        self._servers = servers
        self._stores = stores
        self._kept = kept

    def look(self, wanted: str, whole: bool = False,
             running: bool = False) -> Look:
        """Read a store.

        :param wanted: uuid or name of the server.
        :param whole: all of the flash, not only the variables.
        :param running: also that of a server that runs on this host.
        :raises ArmVMError: it cannot be read.
        """
        server = self._servers.find(wanted)
        if not running:
            held_server.check_off(server)
        found = self._stores.find(server)
        with self._stores.opened(server, found) as opened:
            return Look(server, found, offline.read(opened, whole))

    def change(self, wanted: str, edit: Callable[[bytes], bytes],
               whole: bool = False) -> Change:
        """Replace what a store holds.

        :param edit: makes the new flash from the present one; what it
            raises leaves everything as it was.
        :param whole: it is given all of the flash, and makes another of it
            without regard to what it holds.
        :raises ServerNotOff: the server runs.
        :raises StoreResetWaiting: the change would be lost.
        :raises StoreChangeUnfinished: the content is half of an earlier
            change.
        :raises ArmVMError: it could not be done.
        """
        with self._held(wanted) as (held, found):
            if previous.waits_for_reset(found):
                raise exception.StoreResetWaiting(server=held.server.uuid)
            if not whole:
                previous.check_whole(found)
            with self._stores.opened(held.server, found) as opened:
                present = offline.read(opened, whole)
                flash = edit(present)
                if flash == present and not previous.mark_of(found):
                    return Change(held.server, 0)
                snapshot = self._kept.keep(found, present)
                with self._kept.changing(found, flash, held.check):
                    written = offline.write(opened, present, flash)
            return Change(held.server, written, snapshot)

    @contextlib.contextmanager
    def _held(self, wanted: str) -> Iterator[
            tuple[held_server.Held, volume.Volume]]:
        server = self._servers.find(wanted)
        # Before the server is seen unlocked, so that a mark that appears
        # later is that of a command which began meanwhile.
        known = previous.mark_of(self._stores.find(server))
        with self._servers.held_off(server.uuid) as held:
            found = self._stores.find(held.server)
            if previous.mark_of(found) not in (known, None):
                raise exception.ServerLocked(
                    server=server.uuid, reason='another armvm-manage has '
                    'begun to change its UEFI variables')
            yield held, found

    def undo(self, wanted: str) -> Change:
        """Bring back what a store held before the changes since it last ran.

        :raises StoreNothingKept: there was none.
        :raises ArmVMError: it could not be done.
        """
        with self._held(wanted) as (held, found):
            server = held.server
            with self._stores.opened(server, found) as opened:
                present = offline.read(opened, whole=True)
            self._kept.check_kept(found, present)
            with self._kept.volume_from(found) as copy:
                with self._stores.attached_copy(server, copy) as opened:
                    flash = offline.read(opened, whole=True)
            with self._stores.opened(server, found) as opened:
                with self._kept.changing(found, flash, held.check):
                    written = offline.write(opened, present, flash)
            self._kept.drop(found)
            return Change(server, written, undone=True)

    def reset(self, wanted: str) -> Change:
        """Have the next start begin with the template again.

        That is the firmware's, or the one that the image names.

        What a change that was cut short has left is of no interest then.

        :raises ArmVMError: it could not be done.
        """
        with self._held(wanted) as (held, found):
            with self._stores.opened(held.server, found) as opened:
                present = offline.read(opened)
            snapshot = self._kept.keep(found, present)
            with self._kept.changing(found, present, held.check, reset=True):
                pass
            return Change(held.server, 0, snapshot)


def flash_of_size(content: bytes, wanted: int) -> bytes:
    """Return a raw flash if it has the size that a server's firmware needs.

    :raises FlashMismatch: it has not.
    :raises VariableStoreInvalid: it holds no variables.
    """
    if len(content) != wanted:
        raise exception.FlashMismatch(found=len(content), wanted=wanted)
    varstore.parse(content)
    return content
