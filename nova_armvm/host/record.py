# SPDX-License-Identifier: Apache-2.0
"""What this host remembers of the volumes that are connected to it.

Needed to disconnect a volume whose attachment is gone from Cinder, and to
delete one that Cinder could not delete when its instance was. The files
hold connection data, which may contain credentials of the back end.
"""
from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
import tempfile
import typing as ty

from oslo_log import log as logging

LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class HostRecord:
    """One store on this host.

    :ivar instance: uuid of the instance.
    :ivar project: of the instance's tenant.
    :ivar connection_info: of the connected volume; None while it is not
        connected, though an attachment may have been begun.
    :ivar disconnected: the volume was disconnected from this host; what is
        left to do is Cinder's.
    :ivar to_delete: the instance is gone, the volume must go.
    :ivar flash_file: (path, format) of the file that the stock driver kept
        the variables in, until they are on a volume.
    :ivar hardware: what was decided about the machine, by property.
    """

    instance: str
    project: str
    connection_info: dict[str, ty.Any] | None = None
    to_delete: bool = False
    flash_file: tuple[str, str] | None = None
    disconnected: bool = False
    hardware: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def only_in_file(self) -> bool:
        """Tell whether the variables have yet to come to a volume."""
        return self.flash_file is not None and self.connection_info is None


class HostRecords:
    """Records in files of mode 0600, one an instance."""

    def __init__(self, directory: str) -> None:
        """Prepare; the directory is made with the first record."""
        self._directory = directory

    def _path(self, instance: str) -> str:
        return os.path.join(self._directory, f'{instance}.json')

    def put(self, record: HostRecord) -> None:
        """Store a record so that a crash leaves the old or the new one."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=self._directory)
        try:
            with os.fdopen(handle, 'w', encoding='utf-8') as stream:
                json.dump(dataclasses.asdict(record), stream)
                stream.flush()
                os.fsync(stream.fileno())
            if os.geteuid() == 0:
                # Of a command that root has run; nova-compute is to read it.
                owner = os.stat(self._directory)
                os.chown(scratch, owner.st_uid, owner.st_gid)
            os.rename(scratch, self._path(record.instance))
        except BaseException:
            os.unlink(scratch)
            raise

    def get(self, instance: str) -> HostRecord | None:
        """Return the record of an instance, None if there is none."""
        try:
            with open(self._path(instance), encoding='utf-8') as stream:
                found = json.load(stream)
                known = {field.name for field in
                         dataclasses.fields(HostRecord)}
                # A newer release that ran here may have had more to say.
                return HostRecord(**{name: value for name, value
                                     in found.items() if name in known})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError):
            LOG.warning('Ignoring the unreadable NVRAM record of this '
                        'instance on this host', instance_uuid=instance)
            return None

    @contextlib.contextmanager
    def updating(self, instance: str, project: str) -> Iterator[HostRecord]:
        """Give the record of an instance to be changed, or a new one.

        It is stored when the block ends without an error.
        """
        record = self.get(instance) or HostRecord(instance, project)
        yield record
        self.put(record)

    def drop(self, instance: str) -> None:
        """Remove the record of an instance, if there is one."""
        try:
            os.unlink(self._path(instance))
        except FileNotFoundError:
            return

    def __iter__(self) -> Iterator[HostRecord]:
        """Yield every record that can be read."""
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return
        for name in names:
            instance, ending = os.path.splitext(name)
            record = self.get(instance) if ending == '.json' else None
            if record is not None:
                yield record
