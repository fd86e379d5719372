# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage nvram migrate-type``: a store goes to another volume type.

Cinder moves it (retype): the volume keeps its id, name and metadata, and
Cinder cleans up after a move that fails. It moves only what is not attached,
so for that time no attachment protects the volume. A process that dies
leaves a volume that the server's next start attaches again.
"""
from collections.abc import Callable
import time

from nova_armvm.cmd import held_server
from nova_armvm.cmd import store_access
from nova_armvm import exception
from nova_armvm.store import attachments
from nova_armvm.store import cinder
from nova_armvm.store import ref as instance_ref
from nova_armvm.virt import preflight

_POLL_SECONDS = 1


class Retyper:
    """Moves stores, on the host where their servers are."""

    def __init__(self, host: str, servers: held_server.Servers,
                 volumes: cinder.StoreVolumes,
                 attached: attachments.Attachments, limit: float,
                 has_rbd: Callable[[], bool],
                 say: Callable[[str], None]) -> None:
        """Move stores through these.

        :param host: name of this host.
        :param attached: the volumes that are attached to it.
        :param limit: seconds that Cinder may take.
        :param has_rbd: returns whether the flash service of this host can
            open RBD images; may raise StoreError.
        :param say: told how far it is.
        """
        self._host = host
        self._servers = servers
        self._volumes = volumes
        self._attached = attached
        self._limit = limit
        self._has_rbd = has_rbd
        self._say = say

    def retype(self, wanted: str, volume_type: str) -> str:
        """Move the store of a server to another type; return its volume's id.

        :raises ServerNotOff: if it runs.
        :raises ServerElsewhere: if it is on another host, or on none.
        :raises ServerLocked: if somebody else holds it.
        :raises VolumeTypeUnsuitable: if the driver could not use the type.
        :raises StoreSnapshotInTheWay: if a change by an earlier release has
            left a snapshot.
        :raises StoreRetypeFailed: if Cinder could not; the store is where it
            was.
        :raises StoreRetypeSlow: if Cinder is still at it.
        """
        server = self._servers.find(wanted)
        if server.host != self._host:
            raise exception.ServerElsewhere(server=server.uuid,
                                            host=server.host or 'none')
        with self._servers.held_off(server.uuid) as held:
            server = held.server
            ref = store_access.ref_of(server)
            found = self._volumes.find(ref)
            if found is None:
                raise exception.ServerWithoutStore(server=server.uuid)
            if found.facts.old_snapshot is not None:
                raise exception.StoreSnapshotInTheWay(server=server.uuid)
            if found.volume_type == volume_type:
                self._say(f'it is of type {volume_type} already')
                return found.id
            self._check_type(volume_type)
            try:
                self._attached.detach_everywhere(ref)
                self._move(found, volume_type)
            except exception.StoreRetypeSlow:
                # Cinder attaches nothing that it moves.
                raise
            except BaseException:
                self._protect(ref)
                raise
            self._protect(ref)
            return found.id

    def _check_type(self, volume_type: str) -> None:
        """Refuse a type that the server could not start from."""
        has_rbd = self._has_rbd()
        with cinder.translated('look at the volume type'):
            client = self._volumes.client()
            problems = (list(preflight.type_problems(client, volume_type)) or
                        list(preflight.binding_problems(client, volume_type,
                                                        has_rbd)))
        if problems:
            raise exception.VolumeTypeUnsuitable(problems=' '.join(problems))

    def _protect(self, ref: instance_ref.InstanceRef) -> None:
        """Attach it again, so that nobody can delete it."""
        self._attached.attach(ref, may_create=False)

    def _move(self, found: cinder.StoreVolume, volume_type: str) -> None:
        self._say(f'Cinder moves volume {found.id} to {volume_type} ...')
        self._volumes.retype(found, volume_type)
        deadline, last = time.monotonic() + self._limit, None
        while True:
            seen = self._volumes.get(found.id)
            if seen is None:
                raise exception.StoreRetypeFailed(
                    volume_id=found.id, status='gone', type=volume_type)
            if seen.status == 'available' and (
                    seen.migration_status in (None, 'success', 'error')):
                if seen.volume_type == volume_type:
                    return
                raise exception.StoreRetypeFailed(
                    volume_id=found.id, type=volume_type,
                    status=f'{seen.status}, still {seen.volume_type}')
            if seen.status != last:
                self._say(f'... {seen.status}')
                last = seen.status
            if time.monotonic() >= deadline:
                raise exception.StoreRetypeSlow(
                    volume_id=found.id, status=seen.status,
                    type=volume_type)
            time.sleep(_POLL_SECONDS)
