# SPDX-License-Identifier: Apache-2.0
"""The instances that the service knows, each with its volume and its lock."""
from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import threading
import typing as ty

from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import bytes as volumes
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import export
from nova_armvm.nvramd import record as records

#: Seconds that a request waits for another one about the same instance.
LOCK_TIMEOUT = 40.0

#: Opens a volume; the second argument is the Ceph client of the service
#: before this one, which is dead.
OpenVolume = Callable[[flash_protocol.Connection, str | None],
                      volumes.Volume]


@dataclasses.dataclass(eq=False)
class Entry:
    """An instance.

    :ivar opened: its volume, None until it is needed after a restart.
    :ivar served: its flash, None while the flash is not served.
    :ivar failure: why serving could not be resumed yet after a restart.
    :ivar gone: the entry was closed while somebody waited for it.
    """

    record: records.Record
    opened: volumes.Volume | None = None
    served: export.Export | None = None
    failure: str | None = None
    gone: bool = False
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def instance(self) -> str:
        """Return its uuid."""
        return self.record.instance

    @property
    def is_served(self) -> bool:
        """Return whether it is served, or is to be again."""
        return self.record.mode is not None

    def close(self) -> None:
        """Close its volume. Idempotent."""
        if self.opened is not None:
            self.opened.close()
        self.opened = None

    def abandon(self) -> None:
        """Release its volume for a process that ends at once."""
        if self.opened is not None:
            self.opened.abandon()


class Entries:
    """All instances, and their records on a disk."""

    def __init__(self, state: records.Records,
                 open_volume: OpenVolume) -> None:
        """Begin without any."""
        self._records = state
        self._open = open_volume
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}

    def load(self, boot: str) -> list[Entry]:
        """Take over what the records of this boot say; return that.

        :raises OSError: if they cannot be read.
        """
        found = [Entry(record) for record in self._records.load(boot)]
        with self._lock:
            self._entries.update({entry.instance: entry for entry in found})
        return found

    def all(self) -> list[Entry]:
        """Return all that there are now."""
        with self._lock:
            return list(self._entries.values())

    def get(self, instance: str) -> Entry:
        """Return an entry without holding anything up.

        :raises NotOpen: if there is none.
        """
        with self._lock:
            entry = self._entries.get(instance)
        if entry is None:
            raise errors.NotOpen(f'the volume of instance {instance} is not '
                                 'open')
        return entry

    def add(self, record: records.Record) -> None:
        """Add an instance, if it is not there yet."""
        with self._lock:
            self._entries.setdefault(record.instance, Entry(record))

    @contextlib.contextmanager
    def held(self, instance: str) -> Iterator[Entry]:
        """Hold other requests about an instance up.

        :raises NotOpen: if there is no such entry.
        :raises VolumeFailed: if another request does not end.
        """
        while True:
            entry = self.get(instance)
            if not entry.lock.acquire(timeout=LOCK_TIMEOUT):
                raise errors.VolumeFailed(
                    'another request about the store does not end' + (
                        f': {entry.failure}' if entry.failure else ''))
            try:
                if not entry.gone:
                    yield entry
                    return
            finally:
                entry.lock.release()

    def save(self, entry: Entry, **changes: ty.Any) -> None:
        """Change the record of an entry.

        :raises OSError: if it cannot be stored.
        """
        record = dataclasses.replace(entry.record, **changes)
        self._records.put(record)
        entry.record = record

    def volume(self, entry: Entry) -> volumes.Volume:
        """Return the volume of an entry, opened if need be.

        :raises VolumeFailed: if it cannot be opened.
        """
        if entry.opened is None:
            entry.opened = self._open(entry.record.connection,
                                      entry.record.client)
            client = getattr(entry.opened, 'client', None)
            if client != entry.record.client:
                self.save(entry, client=client)
        return entry.opened

    def drop_record(self, instance: str) -> None:
        """Remove a record that may be there without an entry."""
        self._records.drop(instance)

    def forget(self, entry: Entry) -> None:
        """Close a volume and remove all that is known of the instance.

        :raises OSError: if the record cannot be removed.
        """
        entry.close()
        self._records.drop(entry.instance)
        entry.gone = True
        with self._lock:
            self._entries.pop(entry.instance, None)
