# SPDX-License-Identifier: Apache-2.0
"""What operators read of stores, and change while their servers are off.

A change goes in this order: the server is locked, so that its tenant cannot
start it; the newest version is read and edited; Nova is asked once more
whether the server is off and the lock still this command's; the result is
committed as a version of its own, unless there is a newer one by now; the
server is unlocked. A process that dies leaves a lock with its reason, and the
old version or the new one.
"""
from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import typing as ty

from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.store import cinder
from nova_armvm.store import metadata
from nova_armvm.store import store as nvram_store
from nova_armvm.store import versions as store_versions
from nova_armvm.uefi import region as flashes
from nova_armvm.uefi import varstore

#: Reasons of the versions that commands make.
OPERATOR, RESTORE = 'operator', 'restore'
#: Of versions that are there because an operator wanted it.
_BY_OPERATORS = frozenset({OPERATOR, RESTORE, nvram_store.RESET})


class Server(ty.Protocol):
    """A server, as nova_armvm.cmd.held_server.Server.

    :ivar off: no host runs it or is about to.
    """

    uuid: str
    off: bool

    def check_off(self) -> None:
        """Raise ServerNotOff if it is not."""


class Held(ty.Protocol):
    """A server that a command keeps off."""

    server: Server

    def check(self) -> None:
        """Raise ServerNotOff or ServerLocked if that is not so any more."""


class Servers(ty.Protocol):
    """The servers of the cloud, as nova_armvm.cmd.held_server.Servers."""

    def find(self, wanted: str) -> Server:
        """Return a server by its uuid or its name."""

    def held_off(self, uuid: str) -> ty.ContextManager[Held]:
        """Keep a server off."""


class Access(ty.Protocol):
    """Opens stores here, as nova_armvm.cmd.store_access.StoreAccess."""

    volumes: cinder.StoreVolumes

    def find(self, server: Server) -> cinder.StoreVolume:
        """Return the volume of a server's store."""

    def opened(self, server: Server, volume: cinder.StoreVolume
               ) -> ty.ContextManager[store_versions.Versions]:
        """Have it open in this host's flash service."""


@dataclasses.dataclass(frozen=True)
class Look:
    """A store as it is, or was.

    :ivar version: that was looked at.
    :ivar flash: the part with the variables, or all of it.
    """

    server: Server
    volume: cinder.StoreVolume
    version: flash_service.VersionInfo
    flash: bytes = dataclasses.field(repr=False)

    @property
    def variables(self) -> varstore.VariableStore:
        """Return the variables.

        :raises VariableStoreInvalid: if they cannot be understood.
        """
        return varstore.parse(self.flash)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A version in the history of a store.

    :ivar variables: how many; None where they cannot be understood.
    """

    version: flash_service.VersionInfo
    variables: int | None


@dataclasses.dataclass(frozen=True)
class Change:
    """What a change has done.

    :ivar version: number of the version that it made, None for none.
    :ivar copied: number of the version that this is a copy of.
    :ivar marked: what the next start begins with was changed.
    """

    server: Server
    version: int | None = None
    copied: int | None = None
    marked: bool = False

    @property
    def nothing(self) -> bool:
        """Return whether it was so already."""
        return self.version is None and not self.marked


class StoreEditor:
    """Reads and changes the stores of servers."""

    def __init__(self, servers: Servers, access: Access) -> None:
        """Read and change through these."""
        self._servers = servers
        self._access = access

    # Reading

    def look(self, wanted: str, whole: bool = False,
             running: bool = False) -> Look:
        """Read the newest version of a store.

        :param wanted: uuid or name of the server.
        :param whole: all of the flash, not only the variables.
        :param running: also that of a server that runs on this host.
        :raises ArmVMError: if it cannot be read.
        """
        return self.looks(wanted, (None,), whole, running)[0]

    def looks(self, wanted: str, versions: Sequence[int | None],
              whole: bool = False, running: bool = False) -> list[Look]:
        """Read several versions of a store.

        :param versions: their numbers, None for the newest.
        :raises NoSuchVersion: if there is none of a number.
        :raises ArmVMError: as look() does.
        """
        with self._open(wanted, running) as (server, volume, opened):
            found = [opened.read(version) for version in versions]
        return [Look(server, volume, stored.version, _flash(stored, whole))
                for stored in found]

    def history(self, wanted: str, limit: int) -> list[Entry]:
        """Return the newest versions of a store, also of one that is in use.

        :param limit: how many at most, 0 for all.
        :raises ArmVMError: if they cannot be read.
        """
        with self._open(wanted, running=True) as (_server, _volume, opened):
            return [Entry(version, _count(opened, version))
                    for version in opened.history()[:limit or None]]

    @contextlib.contextmanager
    def _open(self, wanted: str, running: bool
              ) -> Iterator[tuple[Server, cinder.StoreVolume,
                                  store_versions.Versions]]:
        server = self._servers.find(wanted)
        if not running:
            server.check_off()
        volume = self._access.find(server)
        with contextlib.ExitStack() as stack:
            if server.off and not volume.facts.has_log:
                # Perhaps of the old form, to be converted. A start on
                # another host would do that at the same time.
                server = stack.enter_context(
                    self._servers.held_off(server.uuid)).server
            yield server, volume, stack.enter_context(
                self._access.opened(server, volume))

    # Changing

    def change(self, wanted: str, edit: Callable[[bytes], bytes],
               whole: bool = False) -> Change:
        """Replace what a store holds.

        :param edit: makes the new flash from the present one; what it
            raises leaves everything as it was.
        :param whole: it is given all of the flash, and makes another of it
            without regard to what it holds.
        :raises ServerNotOff: if the server runs.
        :raises StoreResetWaiting: if the change would be lost.
        :raises StoreChangeUnfinished: if the content is half of a change by
            an earlier release.
        :raises ArmVMError: if it could not be done.
        """
        with self._held_for_change(wanted, whole) as (held, volume):
            with self._access.opened(held.server, volume) as opened:
                newest = opened.read()
                present = _flash(newest, whole)
                flash = edit(present)
                store = flashes.canonical_of(flash)
                if volume.facts.old_change or (
                        flash != present and store != newest.store):
                    held.check()
                    made = opened.commit(store, OPERATOR, newest.version)
                else:
                    made = None
            if volume.facts.old_change:
                self._mark(volume, metadata.OLD_CHANGING_KEY, False)
            return Change(held.server, made and made.sequence)

    @contextlib.contextmanager
    def _held(self, wanted: str
              ) -> Iterator[tuple[Held, cinder.StoreVolume]]:
        server = self._servers.find(wanted)
        # Before its tenant notices anything.
        self._access.find(server)
        with self._servers.held_off(server.uuid) as held:
            yield held, self._access.find(held.server)

    @contextlib.contextmanager
    def _held_for_change(self, wanted: str, whole: bool = False
                         ) -> Iterator[tuple[Held, cinder.StoreVolume]]:
        with self._held(wanted) as (held, volume):
            if volume.facts.reset_pending:
                raise exception.StoreResetWaiting(server=held.server.uuid)
            if volume.facts.old_change and not whole:
                raise exception.StoreChangeUnfinished(volume_id=volume.id)
            yield held, volume

    def _mark(self, volume: cinder.StoreVolume, key: str,
              value: bool) -> None:
        self._access.volumes.note_anew(volume, {key: str(value)})

    def restore(self, wanted: str, number: int) -> Change:
        """Make a version of before the newest again, by a copy.

        :param number: of the version.
        :raises NoSuchVersion: if there is none.
        :raises VersionUnfit: if it is for another firmware.
        :raises ArmVMError: as change() does.
        """
        with self._held_for_change(wanted) as (held, volume):
            with self._access.opened(held.server, volume) as opened:
                return self._copy(held, opened, number)

    @staticmethod
    def _copy(held: Held, opened: store_versions.Versions,
              number: int) -> Change:
        newest, stored = opened.read(), opened.read(number)
        if stored.flash_size != newest.flash_size:
            raise exception.VersionUnfit(
                version=number, server=held.server.uuid,
                found=stored.flash_size, wanted=newest.flash_size)
        if stored.store == newest.store:
            return Change(held.server)
        held.check()
        made = opened.commit(stored.store, RESTORE, newest.version)
        return Change(held.server, made.sequence, number)

    def undo(self, wanted: str) -> Change:
        """Take back a reset that waits, or what operators have changed.

        That is, since the guest last wrote.

        :raises StoreNothingKept: if there is nothing to be taken back.
        :raises ArmVMError: as change() does.
        """
        with self._held(wanted) as (held, volume):
            if volume.facts.reset_pending:
                self._mark(volume, metadata.RESET_KEY, False)
                return Change(held.server, marked=True)
            if volume.facts.old_change:
                raise exception.StoreChangeUnfinished(volume_id=volume.id)
            with self._access.opened(held.server, volume) as opened:
                before = _before_operators(opened.history())
                if before is not None:
                    done = self._copy(held, opened, before.sequence)
                    if not done.nothing:
                        return done
        raise exception.StoreNothingKept(server=held.server.uuid)

    def reset(self, wanted: str) -> Change:
        """Have the next start begin with the template again.

        That is the firmware's, or the one that the image names.

        :raises ArmVMError: if it could not be done; nothing waits then.
        """
        with self._held(wanted) as (held, volume):
            if volume.facts.reset_pending:
                return Change(held.server)
            self._mark(volume, metadata.RESET_KEY, True)
            try:
                # A start that has not seen the mark would leave it to the
                # next one, for which it was not meant.
                held.check()
            except exception.ArmVMError:
                self._mark(volume, metadata.RESET_KEY, False)
                raise
            return Change(held.server, marked=True)


def _flash(stored: flash_service.StoredStore, whole: bool) -> bytes:
    """Return the flash that a version stands for.

    :param whole: all of it, not only the part with the variables.
    """
    region = flashes.region_of(stored.store)
    return region.ljust(stored.flash_size, b'\0') if whole else region


def _count(opened: store_versions.Versions,
           version: flash_service.VersionInfo) -> int | None:
    """Return how many variables a version holds.

    :returns: None where they cannot be understood, or the version was
        dropped for a newer one meanwhile.
    """
    try:
        return len(flashes.variables_of(
            opened.read(version.sequence).store).variables)
    except (exception.VariableStoreInvalid, exception.NoSuchVersion):
        return None


def _before_operators(history: Sequence[flash_service.VersionInfo]
                      ) -> flash_service.VersionInfo | None:
    """Return the newest version that no operator has made.

    :param history: newest first.
    :returns: None where that is the newest of all, or is not there any more.
    """
    for later, version in zip(history, history[1:]):
        if later.reason not in _BY_OPERATORS:
            return None
        if version.sequence != later.sequence - 1:
            # What was between them is gone.
            return None
        if version.reason not in _BY_OPERATORS:
            return version
    return None


def flash_of_size(content: bytes, wanted: int) -> bytes:
    """Return a raw flash if it has the size that a server's firmware needs.

    :raises FlashMismatch: if it has not.
    :raises VariableStoreInvalid: if it holds no variables.
    """
    if len(content) != wanted:
        raise exception.FlashMismatch(found=len(content), wanted=wanted)
    varstore.parse(content)
    return content
