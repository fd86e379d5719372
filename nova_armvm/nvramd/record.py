# SPDX-License-Identifier: Apache-2.0
"""What the service remembers of an instance over its own restart.

Files of mode 0600: connections hold keys. Those of an earlier boot of the
host are void, since the guests and the flashes of then are gone.
"""
from collections.abc import Iterator
import dataclasses
import json
import logging
import os
import tempfile

from nova_armvm.host import flash_protocol

LOG = logging.getLogger(__name__)

_BOOT_ID = '/proc/sys/kernel/random/boot_id'


@dataclasses.dataclass(frozen=True)
class Record:
    """One instance.

    :ivar boot: of the host, as the kernel names it.
    :ivar client: name of the Ceph client that had the image open.
    :ivar mode: ``start`` or ``incoming`` while its flash is served.
    :ivar owner: name of the host for the log.
    :ivar log: id of the log that is served.
    :ivar epoch: under which this host commits; None before it has claimed.
    :ivar arrival: how far a flash served as incoming has come, see
        nova_armvm.nvramd.export.
    """

    instance: str
    connection: flash_protocol.Connection
    boot: str
    client: str | None = None
    mode: str | None = None
    owner: str = ''
    log: str | None = None
    epoch: int | None = None
    arrival: str = 'arrived'


def boot_id() -> str:
    """Return what tells this boot of the host from others."""
    with open(_BOOT_ID, encoding='ascii') as stream:
        return stream.read().strip()


class Records:
    """Records in a directory, one file an instance."""

    def __init__(self, directory: str) -> None:
        """Use a directory, which is made with the first record."""
        self._directory = directory

    def _path(self, instance: str) -> str:
        return os.path.join(self._directory, f'{instance}.json')

    def put(self, record: Record) -> None:
        """Store a record so that a crash leaves the old or the new one.

        :raises OSError: if it cannot be stored.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=self._directory, suffix='.new')
        try:
            with os.fdopen(handle, 'w', encoding='utf-8') as stream:
                json.dump(dataclasses.asdict(record), stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(scratch, self._path(record.instance))
        except BaseException:
            os.unlink(scratch)
            raise
        self._sync()

    def drop(self, instance: str) -> None:
        """Remove the record of an instance, if there is one.

        :raises OSError: if it cannot be removed.
        """
        try:
            os.unlink(self._path(instance))
        except FileNotFoundError:
            return
        self._sync()

    def _sync(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def load(self, boot: str) -> Iterator[Record]:
        """Yield the records of this boot and remove what is older.

        :param boot: as boot_id() returns it.
        :raises OSError: if the directory cannot be read.
        """
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return
        for name in names:
            path = os.path.join(self._directory, name)
            instance, ending = os.path.splitext(name)
            record = _read(path) if ending == '.json' else None
            if (record is not None and record.boot == boot
                    and record.instance == instance):
                yield record
            elif ending in ('.json', '.new'):
                os.unlink(path)


def _read(path: str) -> Record | None:
    try:
        with open(path, encoding='utf-8') as stream:
            content = json.load(stream)
        content['connection'] = flash_protocol.connection_from_message(
            content['connection'])
        return Record(**content)
    except (ValueError, TypeError, KeyError,
            flash_protocol.ProtocolError) as error:
        # Written in one step, so this is another version's, or damage.
        LOG.error('Failed to read record %s, which is dropped: %s', path,
                  type(error).__name__)
        return None
