# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage nvram audit``: finds what was left behind, and removes it."""
from collections.abc import Callable, Mapping
import dataclasses
import datetime
import json
import typing as ty

from nova_armvm.cmd import nvram_show
from nova_armvm import exception
from nova_armvm.store import audit
from nova_armvm.store import cinder


class Servers(ty.Protocol):
    """Who knows the cloud's servers; see nova_armvm.cmd.compute."""

    def servers(self) -> Mapping[str, audit.Server]:
        """Return every server by uuid."""

    def server(self, uuid: str) -> audit.Server | None:
        """Return one server, None only if it is certain that it is gone."""


@dataclasses.dataclass
class Outcome:
    """What was found, and what became of it.

    :ivar removed: the findings that are no more.
    """

    findings: list[audit.Finding]
    removed: list[audit.Finding] = dataclasses.field(default_factory=list)

    @property
    def left(self) -> list[audit.Finding]:
        """Return what an operator has still to look after."""
        return [finding for finding in self.findings
                if finding not in self.removed]


def look(volumes: cinder.StoreVolumes, servers: Servers,
         now: datetime.datetime, older_than: float) -> Outcome:
    """Compare Cinder with Nova.

    :param now: in UTC.
    :param older_than: seconds for which a volume must have been unchanged.
    :raises ArmVMError: one of them could not be asked.
    """
    # The servers first: what is built meanwhile has a volume that is too
    # young to be judged.
    known = dict(servers.servers())
    stores = volumes.all_stores()
    before = now - datetime.timedelta(seconds=older_than)
    for finding in audit.compare(stores, known, before):
        if finding.kind not in (audit.Kind.NO_SERVER, audit.Kind.NO_VOLUME):
            continue
        # The list leaves out what is soft-deleted, which an operator may
        # restore with its variables; and what was deleted since has taken
        # its volume along.
        server = servers.server(finding.instance)
        known.pop(finding.instance, None)
        if server is not None:
            known[finding.instance] = dataclasses.replace(
                server, persistent=finding.kind is audit.Kind.NO_VOLUME)
    return Outcome(audit.compare(stores, known, before))


def remove(outcome: Outcome, volumes: cinder.StoreVolumes,
           servers: Servers, at_most: int,
           say: Callable[[str], None]) -> None:
    """Remove what is certainly left over; each is looked at again before.

    :param at_most: how many volumes may be deleted in one run. A list of
        servers that is wrong (another region, another cloud) looks as if all
        were left over.
    :param say: told of each removal.
    :raises AuditTooMany: there are more; nothing was removed.
    :raises ArmVMError: Cinder or Nova could not; the rest is untouched.
    """
    orphans = [finding for finding in outcome.findings
               if finding.kind is audit.Kind.NO_SERVER]
    if len(orphans) > at_most:
        raise exception.AuditTooMany(found=len(orphans), limit=at_most)
    for finding in filter(lambda each: each.removable, outcome.findings):
        server = servers.server(finding.instance)
        volume = volumes.get(finding.volume)
        if volume is None:
            outcome.removed.append(finding)
            continue
        if not audit.is_still_there(finding, volume, server):
            say(f'volume {finding.volume}: has changed meanwhile, left alone')
            continue
        if finding.kind is audit.Kind.NO_SERVER:
            volumes.delete(volume)
            say(f'volume {finding.volume} of server {finding.instance}: '
                'deleted')
        else:
            volumes.detach(finding.attachment)
            say(f'volume {finding.volume} of server {finding.instance}: '
                f'detached from {finding.detail}')
        outcome.removed.append(finding)


def as_table(findings: list[audit.Finding]) -> str:
    """Show findings to a person."""
    return nvram_show.table(
        ('Finding', 'Server', 'Volume', 'Detail', 'What to do'),
        [(finding.kind.value, finding.instance, finding.volume or '-',
          finding.detail, finding.advice) for finding in findings])


def as_json(outcome: Outcome) -> str:
    """Show findings to a program."""
    return json.dumps([{
        'finding': finding.kind.value, 'server': finding.instance,
        'volume': finding.volume, 'attachment': finding.attachment,
        'detail': finding.detail, 'advice': finding.advice,
        'removed': finding in outcome.removed,
    } for finding in outcome.findings], indent=4)
