# SPDX-License-Identifier: Apache-2.0
"""All stores of this host: what the driver can have done with them.

Requests about one instance are done one after the other, those about others
go on meanwhile. Each leaves something behind from which a service that is
started again goes on, at whatever instruction this one dies.
"""
from collections.abc import Iterator
import contextlib
import logging
import os
import time
import typing as ty

from nova_armvm import exception
from nova_armvm.host import flash_protocol
from nova_armvm.nvramd import bytes as volumes
from nova_armvm.nvramd import ceph
from nova_armvm.nvramd import committer
from nova_armvm.nvramd import contents
from nova_armvm.nvramd import entries
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import export
from nova_armvm.nvramd import legacy
from nova_armvm.nvramd import record as records
from nova_armvm.nvramd import serving
from nova_armvm.nvramd import slots
from nova_armvm.nvramd import whole

LOG = logging.getLogger(__name__)

#: Flash is not larger than the firmware's window for it.
FLASH_MAX = 64 * 1024 * 1024

Message = dict[str, ty.Any]


class Service:
    """The stores of this host."""

    def __init__(self, directory: str, state: str,
                 open_volume: entries.OpenVolume | None = None,
                 steps: committer.Steps = committer.no_steps,
                 boot: str | None = None) -> None:
        """Know nothing yet; recover() is to be called before QEMU connects.

        :param directory: for the flash files, on tmpfs.
        :param state: directory for the records, on a disk.
        :param open_volume: by default volumes of this host and of Ceph.
        :param steps: called at each step, for tests that die there.
        :param boot: what tells this boot of the host from others.
        """
        self._boot = boot or records.boot_id()
        self._entries = entries.Entries(
            records.Records(state), open_volume or _opener(ceph.Clusters()))
        self._serving = serving.Serving(os.path.join(directory, 'flash'),
                                        self._entries, steps)
        self._steps = steps

    def export(self, instance: str) -> export.Export:
        """Return the served flash of an instance, for QEMU.

        :raises NotServed: if it is not served.
        """
        try:
            entry = self._entries.get(instance)
        except errors.NotOpen as error:
            raise errors.NotServed(str(error)) from None
        if entry.served is None:
            raise errors.NotServed(
                f'the flash of instance {instance} is not served' + (
                    f' yet: {entry.failure}' if entry.failure else ''))
        return entry.served

    def recover(self, patience: float = 10.0) -> None:
        """Serve what was served when the service before died.

        :param patience: seconds to wait for volumes that do not answer.
        :raises OSError: if the records cannot be read.
        """
        self._serving.recover(self._boot, patience)

    def shut_down(self) -> None:
        """Close everything; the flashes are left to a later service."""
        self._serving.end_recovery()
        for entry in self._entries.all():
            try:
                if entry.served is not None:
                    entry.served.stop(keep_file=True)
                entry.close()
            except errors.VolumeFailed as error:
                LOG.warning('Failed to close the volume: %s instance=%s',
                            error, entry.instance)

    def abandon(self) -> None:
        """Release the volumes, for a process that ends at once.

        Writes that wait for their commits go on waiting: QEMU repeats what
        was not answered.
        """
        self._serving.end_recovery()
        for entry in self._entries.all():
            entry.abandon()

    # Opening and closing

    def open(self, instance: str,
             connection: flash_protocol.Connection) -> Message:
        """Open the volume of an instance. Idempotent.

        :raises Invalid: if it is served from another volume.
        :raises VolumeFailed: if it cannot be opened or read.
        """
        self._entries.add(records.Record(instance, connection, self._boot))
        with self._entries.held(instance) as entry:
            try:
                self._connect(entry, connection)
                volume = self._entries.volume(entry)
                content = contents.describe(volume, instance)
                if content['content'] == 'log':
                    legacy.finish(volume)
                return content
            except BaseException:
                if not entry.is_served:
                    self._entries.forget(entry)
                raise

    def _connect(self, entry: entries.Entry,
                 connection: flash_protocol.Connection) -> None:
        """Open the volume of an entry by a connection."""
        if entry.is_served:
            if not _is_same_place(entry.record.connection, connection):
                raise errors.Invalid('the flash is served from another '
                                     'volume')
            if entry.record.connection != connection:
                # Addresses or keys of the same image have changed.
                self._entries.save(entry, connection=connection)
            return
        # Always anew: a path may lead to another device than the last time.
        entry.close()
        self._entries.save(entry, connection=connection)
        self._steps('recorded')

    def close(self, instance: str) -> None:
        """Stop serving, close the volume, forget both. Idempotent.

        :raises VolumeFailed: if a write does not end.
        """
        try:
            with self._entries.held(instance) as entry:
                self._serving.stop(entry)
                self._entries.forget(entry)
        except errors.NotOpen:
            self._entries.drop_record(instance)
            self._serving.remove_file(instance)

    # What the volume holds

    def format(self, instance: str, flash_size: int, store: bytes,
               reason: str, expect: str = 'any') -> Message:
        """Make a new log, whatever the volume holds.

        :raises AlreadyServed: if the flash is served.
        :raises Invalid: if there is a log and none was expected, or the
            sizes make no sense. What the stock driver had is taken over as
            it is, also where only the firmware can tell what it is.
        """
        _check_size(store, flash_size)
        with self._unserved(instance) as entry:
            volume = self._entries.volume(entry)
            if expect == 'not-log' and slots.header_of(volume) is not None:
                raise errors.Invalid('there is a log on the volume already')
            # Else it would count if this is interrupted.
            legacy.finish(volume)
            log = slots.Log.format(volume, instance, flash_size, store,
                                   reason, time.time())
            LOG.info('Made a log with version 1 (%s) instance=%s', reason,
                     instance)
            return {'version': contents.version_message(log.newest)}

    def convert(self, instance: str) -> Message:
        """Turn the qcow2 image on the volume into a log. Idempotent.

        :raises AlreadyServed: if the flash is served.
        :raises NotALog: if there is neither.
        """
        with self._unserved(instance) as entry:
            volume = self._entries.volume(entry)
            legacy.convert(volume, instance, time.time())
            return contents.describe(volume, instance)

    def read(self, instance: str, version: int | None = None) -> Message:
        """Return a version with its content, by default the newest.

        :raises VersionUnknown: if there is no such version.
        """
        with self._entries.held(instance) as entry:
            return contents.read(self._entries.volume(entry), instance,
                                 version)

    def history(self, instance: str) -> Message:
        """Return the versions on the volume, newest first."""
        with self._entries.held(instance) as entry:
            log = slots.Log.open(self._entries.volume(entry), instance)
            return {'versions': [contents.version_message(version)
                                 for version in log.versions()]}

    def commit(self, instance: str, store: bytes, reason: str,
               expect_sequence: int | None = None,
               flash_size: int | None = None) -> Message:
        """Append a version while the flash is not served.

        :param flash_size: in bytes; None for that of the newest version.
        :raises AlreadyServed: if it is served.
        :raises StaleSequence: if the newest version is another one.
        """
        with self._unserved(instance) as entry:
            log = slots.Log.open(self._entries.volume(entry), instance)
            # Twice: no claim in vain, and none between look and claim.
            _check_sequence(log, expect_sequence)
            if flash_size is None:
                flash_size = log.newest.flash_size if log.newest else 0
            _check_store(store, flash_size)
            epoch = log.claim(os.uname().nodename, time.time())
            _check_sequence(log, expect_sequence)
            version = log.append(epoch, reason, flash_size, store,
                                 time.time())
            LOG.info('Committed version %d (%s) instance=%s',
                     version.sequence, reason, instance)
            return {'version': contents.version_message(version)}

    @contextlib.contextmanager
    def _unserved(self, instance: str) -> Iterator[entries.Entry]:
        with self._entries.held(instance) as entry:
            if entry.is_served:
                raise errors.AlreadyServed('the flash is served to a guest')
            yield entry

    # Serving

    def serve(self, instance: str, mode: str, owner: str) -> Message:
        """Let QEMU connect. Idempotent for the same mode.

        :param mode: ``start``, or ``incoming`` for a guest that comes from
            elsewhere.
        :param owner: name of this host.
        :raises AlreadyServed: if a guest that was started here is served.
        :raises NotALog: if the volume holds no log with a version.
        """
        if mode not in serving.MODES:
            raise errors.Invalid(f'the mode "{mode}" is unknown')
        with self._entries.held(instance) as entry:
            if not entry.is_served:
                self._serving.start(entry, mode, owner)
            elif entry.record.mode != mode:
                if mode == 'incoming':
                    raise errors.AlreadyServed('the flash is served to a '
                                               'guest that was started here')
                self._serving.export_of(entry).take()
            return self._serving.export_of(entry).state()

    def take(self, instance: str) -> Message:
        """Claim the store of a flash that is served as incoming. Idempotent.

        :raises NotServed: if it is not served.
        """
        with self._entries.held(instance) as entry:
            served = self._serving.export_of(entry)
            served.take()
            return served.state()

    def stop(self, instance: str) -> Message:
        """Stop serving; the volume stays open. Idempotent.

        :raises VolumeFailed: if a write does not end.
        """
        try:
            with self._entries.held(instance) as entry:
                self._serving.stop(entry)
                return _state(entry)
        except errors.NotOpen:
            return {'instance': instance, 'served': False}

    def verify(self, instance: str, flash: bytes, adopt: bool,
               expect_writes: int | None = None) -> Message:
        """Compare a served flash with what QEMU has in memory.

        :param expect_writes: of the state before that was read.
        :raises NotServed: if it is not served.
        :raises StaleSequence: if the guest has written since.
        """
        with self._entries.held(instance) as entry:
            return self._serving.export_of(entry).verify(flash, adopt,
                                                         expect_writes)

    # What clients want to know, also while requests hang

    def hello(self) -> Message:
        """Return what the service says of itself."""
        return {'version': flash_protocol.VERSION, 'pid': os.getpid(),
                'exports': len(self._entries.all()), 'rbd': ceph.is_there()}

    def state(self, instance: str) -> Message:
        """Return the state of an instance.

        :raises NotOpen: if its volume is not open.
        """
        return _state(self._entries.get(instance))

    def list(self) -> Message:
        """Return the states of all instances."""
        return {'states': [_state(entry) for entry in self._entries.all()]}


def _opener(clusters: ceph.Clusters) -> entries.OpenVolume:
    def open_volume(connection: flash_protocol.Connection,
                    predecessor: str | None) -> volumes.Volume:
        if isinstance(connection, flash_protocol.RbdConnection):
            volume: volumes.Volume = ceph.RbdVolume(clusters, connection,
                                                    predecessor)
        else:
            volume = volumes.PathVolume(connection.path)
        if volume.size < slots.LOG_BYTES:
            volume.close()
            raise errors.VolumeFailed(f'a volume of {volume.size} bytes is '
                                      'too small')
        return volume
    return open_volume


def _is_same_place(one: flash_protocol.Connection,
                   other: flash_protocol.Connection) -> bool:
    """Return whether two connections lead to one volume."""
    if isinstance(one, flash_protocol.RbdConnection) and isinstance(
            other, flash_protocol.RbdConnection):
        return (one.cluster_name, one.pool, one.image) == (
            other.cluster_name, other.pool, other.image)
    return one == other


def _check_store(store: bytes, flash_size: int) -> None:
    """Refuse what firmware could not start with.

    :raises Invalid: if that is so.
    """
    _check_size(store, flash_size)
    try:
        whole.variables_of(store)
    except exception.VariableStoreInvalid as error:
        raise errors.Invalid(f'the store is not valid: {error}') from error
    if whole.canonical_of(whole.region_of(store)) != store:
        raise errors.Invalid('the store is not the block with the variables')


def _check_size(store: bytes, flash_size: int) -> None:
    """Refuse a store that does not fit into its flash.

    :raises Invalid: if that is so.
    """
    try:
        size = len(whole.region_of(store))
    except exception.VariableStoreInvalid as error:
        raise errors.Invalid(f'the store is not valid: {error}') from error
    if not size <= flash_size <= FLASH_MAX:
        raise errors.Invalid(f'a store of {size} bytes does not fit into a '
                             f'flash of {flash_size} bytes')


def _check_sequence(log: slots.Log, expected: int | None) -> None:
    newest = log.newest.sequence if log.newest else None
    if expected is not None and expected != newest:
        raise errors.StaleSequence(f'the newest version is {newest}, not '
                                   f'{expected}')


def _state(entry: entries.Entry) -> Message:
    served = entry.served
    if served is not None:
        return served.state()
    return {'instance': entry.instance, 'served': False,
            'mode': entry.record.mode, 'commit_error': entry.failure}
