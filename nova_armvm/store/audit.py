# SPDX-License-Identifier: Apache-2.0
"""Compares the volumes that hold variable stores with the servers there are.

Nova does not tell a driver of everything: not of the deletion of a server
that has no host or whose host is down, and a process can die between Nova's
work and Cinder's. Pure functions on what both say; who asks them is
nova_armvm.cmd.
"""
from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import datetime
import enum

from nova_armvm.store import cinder

#: Statuses that a volume passes through and should not stay in.
_PASSING = ('creating', 'downloading', 'reserved', 'attaching', 'detaching',
            'deleting')
#: What Nova shows of a server whose cell does not answer.
_UNKNOWN = 'UNKNOWN'


class Kind(enum.Enum):
    """What can be wrong."""

    NO_SERVER = 'no-server'
    NO_VOLUME = 'no-volume'
    SEVERAL_VOLUMES = 'several-volumes'
    WRONG_HOST = 'wrong-host'
    UNPROTECTED = 'unprotected'
    STUCK = 'stuck'


_ADVICE = {
    Kind.NO_SERVER: 'the server is gone: delete the volume (--delete)',
    Kind.NO_VOLUME: 'the server asks for persistent variables and has none: '
                    'it will not start; restore the volume, or rebuild it',
    Kind.SEVERAL_VOLUMES: 'the server will not start: decide by age and '
                          'content, rename the others',
    Kind.WRONG_HOST: 'the server is not there: detach it (--delete)',
    Kind.UNPROTECTED: 'nothing keeps the volume from being deleted: start '
                      'the server, which attaches it',
    Kind.STUCK: 'look at the log of cinder-volume; then reset its state, or '
                'start the server, which drops attachments that were never '
                'completed',
}


@dataclasses.dataclass(frozen=True)
class Server:
    """A server as Nova shows it.

    :ivar host: compute host, None while it has none.
    :ivar status: of the API, as ACTIVE or SHELVED_OFFLOADED.
    :ivar task_state: None while nothing is going on.
    :ivar persistent: image or flavor ask for persistent variables.
    """

    uuid: str
    host: str | None
    status: str
    task_state: str | None
    persistent: bool = False

    @property
    def at_rest(self) -> bool:
        """Tell whether what Nova says of it can be relied upon."""
        return self.task_state is None and self.status not in (
            _UNKNOWN, 'BUILD')


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    :ivar instance: uuid of the server that is, or was, concerned.
    :ivar volume: id, None where there is none.
    :ivar detail: status or host, in a word.
    :ivar attachment: id of the attachment that is too many.
    """

    kind: Kind
    instance: str
    volume: str | None
    detail: str
    attachment: str | None = None

    @property
    def advice(self) -> str:
        """Say what to do about it."""
        return _ADVICE[self.kind]

    @property
    def removable(self) -> bool:
        """Tell whether --delete may remove it, after another look."""
        return self.kind in (Kind.NO_SERVER, Kind.WRONG_HOST)


def compare(volumes: Iterable[cinder.StoreVolume],
            servers: Mapping[str, Server],
            before: datetime.datetime) -> list[Finding]:
    """Compare what Cinder has with what Nova has.

    :param volumes: every store of the cloud.
    :param servers: every server of the cloud by uuid.
    :param before: what has changed since then (UTC) is left out; it may be
        in the middle of something.
    """
    by_instance: dict[str, list[cinder.StoreVolume]] = {}
    for volume in volumes:
        by_instance.setdefault(volume.instance, []).append(volume)
    findings = []
    for instance, found in sorted(by_instance.items()):
        if len(found) > 1:
            findings += [Finding(Kind.SEVERAL_VOLUMES, instance, each.id,
                                 each.status) for each in found]
            continue
        if found[0].changed_at is None or found[0].changed_at < before:
            findings += _judge(found[0], servers.get(instance))
    findings += [
        Finding(Kind.NO_VOLUME, uuid, None, server.status)
        for uuid, server in sorted(servers.items())
        if server.persistent and server.at_rest and uuid not in by_instance]
    return findings


def _judge(volume: cinder.StoreVolume,
           server: Server | None) -> Iterator[Finding]:
    if server is None:
        yield Finding(Kind.NO_SERVER, volume.instance, volume.id,
                      volume.status)
        return
    if volume.status in _PASSING or volume.status.startswith('error'):
        yield Finding(Kind.STUCK, volume.instance, volume.id, volume.status)
        return
    if not server.at_rest:
        return
    if not volume.hosts:
        yield Finding(Kind.UNPROTECTED, volume.instance, volume.id,
                      volume.status)
    elif server.host in volume.hosts.values():
        for attachment, host in sorted(volume.hosts.items()):
            if host != server.host:
                yield Finding(Kind.WRONG_HOST, volume.instance, volume.id,
                              host, attachment)


def is_still_there(finding: Finding, volume: cinder.StoreVolume,
                   server: Server | None) -> bool:
    """Judge again, by what Cinder and Nova say now, before a removal."""
    return finding in list(_judge(volume, server))
