# SPDX-License-Identifier: Apache-2.0
"""How a flash comes to be served, ceases to be, and is again after a restart.

To begin: claim the store, make the flash file, note it in the record. To end:
note it in the record, remove the flash file. A service that finds the note
resumes; without it there was no answer to the driver, and none is served.
"""
import logging
import os
import time

from nova_armvm import exception
from nova_armvm.nvramd import committer
from nova_armvm.nvramd import entries
from nova_armvm.nvramd import errors
from nova_armvm.nvramd import export
from nova_armvm.nvramd import flash_file
from nova_armvm.nvramd import record as records
from nova_armvm.nvramd import recovery
from nova_armvm.nvramd import slots
from nova_armvm.nvramd import whole

LOG = logging.getLogger(__name__)

MODES = ('start', 'incoming')


class Serving:
    """Serves the flashes of entries, whose locks the caller holds."""

    def __init__(self, directory: str, known: entries.Entries,
                 steps: committer.Steps) -> None:
        """Serve none yet.

        :param directory: for the flash files; made if it is not there.
        """
        self._directory = directory
        self._entries = known
        self._steps = steps
        self._recovery: recovery.Recovery | None = None
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def remove_file(self, instance: str) -> None:
        """Remove the flash file of an instance, if there is one."""
        flash_file.remove(self._path(instance))

    def _path(self, instance: str) -> str:
        return os.path.join(self._directory, instance)

    def start(self, entry: entries.Entry, mode: str, owner: str) -> None:
        """Serve a flash that is not served.

        :raises NotALog: if the volume holds no log with a version.
        :raises OSError: if it cannot be claimed or read.
        """
        log = slots.Log.open(self._entries.volume(entry), entry.instance)
        epoch = None
        if mode == 'start':
            epoch = log.claim(owner, time.time())
            self._steps('claimed')
        if log.newest is None:
            raise errors.NotALog('the log on the volume holds no version')
        committed = log.read(log.newest)
        content = flash_file.FlashFile.create(
            self._path(entry.instance), whole.region_of(committed))
        self._steps('file')
        arrival = export.ARRIVED if mode == 'start' else export.EXPECTED
        try:
            self._entries.save(entry, mode=mode, owner=owner, log=log.id,
                               epoch=epoch, arrival=arrival)
        except BaseException:
            content.close()
            raise
        self._steps('recorded')
        entry.served = self._export(entry, log, content, committed)
        LOG.info('Started to serve version %d, mode %s, epoch %s instance=%s',
                 log.newest.sequence, mode, epoch, entry.instance)

    def _export(self, entry: entries.Entry, log: slots.Log,
                content: flash_file.FlashFile, committed: bytes,
                restarted: bool = False) -> export.Export:
        record = entry.record
        terms = export.Terms(record.instance, record.mode, record.owner,
                             log.newest.flash_size, self._path(entry.instance))
        return export.Export(
            terms, log, content, committed, epoch=record.epoch,
            arrival=record.arrival, restarted=restarted, steps=self._steps,
            save=lambda **changes: self._entries.save(entry, **changes))

    def stop(self, entry: entries.Entry) -> None:
        """End serving. Idempotent.

        :raises VolumeFailed: if a write does not end.
        :raises OSError: if the record cannot be stored.
        """
        if entry.served is not None:
            # A write that cannot be committed gives up now.
            entry.served.refuse()
        if entry.is_served:
            self._entries.save(entry, mode=None, log=None, epoch=None)
            self._steps('recorded')
            LOG.info('Stopped to serve instance=%s', entry.instance)
        if entry.served is not None:
            entry.served.stop()
            entry.served = None
        entry.failure = None
        self.remove_file(entry.instance)

    def export_of(self, entry: entries.Entry) -> export.Export:
        """Return the served flash of an entry.

        :raises NotServed: if it is not served.
        :raises OSError: if serving cannot be resumed.
        :raises FlashError: likewise.
        """
        if not entry.is_served:
            raise errors.NotServed('the flash is not served')
        if entry.served is None:
            # Sooner than the recovery would try again.
            self._resume(entry)
        return entry.served

    # A service that was started again

    def recover(self, boot: str, patience: float) -> None:
        """Serve what was served when the service before died.

        What cannot be resumed at once is tried again in the background.

        :param boot: of the host, see nova_armvm.nvramd.record.
        :param patience: seconds to wait for the first attempts.
        :raises OSError: if the records cannot be read.
        """
        served = [entry.instance for entry in self._entries.load(boot)
                  if entry.is_served]
        for name in set(os.listdir(self._directory)) - set(served):
            self.remove_file(name)
        self._recovery = recovery.Recovery(served, self._try_to_resume)
        self._recovery.wait(patience)

    def end_recovery(self) -> None:
        """Resume nothing any more."""
        if self._recovery is not None:
            self._recovery.stop()

    def _try_to_resume(self, instance: str) -> bool:
        """Return whether there is nothing left to do."""
        try:
            with self._entries.held(instance) as entry:
                return not entry.is_served or self._has_resumed(entry)
        except errors.NotOpen:
            return True
        except errors.VolumeFailed:
            # Another request about it does not end, and may resume it.
            return False

    def _has_resumed(self, entry: entries.Entry) -> bool:
        try:
            self.export_of(entry)
        except (errors.FlashError, OSError,
                exception.VariableStoreInvalid) as error:
            reason = committer.describe(error)
            if entry.failure != reason:
                LOG.error('Failed to resume serving; will retry: %s '
                          'instance=%s', reason, entry.instance)
            entry.failure = reason
            return False
        return True

    def _resume(self, entry: entries.Entry) -> None:
        record = entry.record
        log = slots.Log.open(self._entries.volume(entry), entry.instance)
        if log.id != record.log or log.newest is None:
            raise errors.ForeignLog('the volume holds another log than the '
                                    'one that was served')
        committed = log.read(log.newest)
        content, is_lost = self._resumed_file(record, committed)
        served = self._export(entry, log, content, committed, restarted=True)
        try:
            served.resume()
        except BaseException:
            served.stop(keep_file=True)
            raise
        served.gate.gap = is_lost
        entry.served, entry.failure = served, None
        LOG.info('Resumed serving, mode %s, epoch %s instance=%s',
                 record.mode, record.epoch, entry.instance)

    def _resumed_file(self, record: records.Record, committed: bytes
                      ) -> tuple[flash_file.FlashFile, bool]:
        """Return the flash file, and whether it was lost and made anew."""
        path = self._path(record.instance)
        if record.arrival == export.EXPECTED:
            # Nothing was written, but the other host may have committed.
            return flash_file.FlashFile.create(
                path, whole.region_of(committed)), False
        try:
            return flash_file.FlashFile(path), False
        except OSError as error:
            LOG.error('Failed to find the flash file; goes on with the last '
                      'version: %s instance=%s', committer.describe(error),
                      record.instance)
            return flash_file.FlashFile.create(
                path, whole.region_of(committed)), True
