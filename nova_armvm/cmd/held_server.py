# SPDX-License-Identifier: Apache-2.0
"""A server that stays off while its variables are changed.

Nova's lock keeps its tenant from starting it, and one command from working
beside another: the reason of the lock names the command that holds it.
"""
from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import os
import re
import socket
import typing as ty
import urllib.parse

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors
from oslo_log import log as logging
from oslo_utils import timeutils
from oslo_utils import uuidutils

from nova_armvm import exception

LOG = logging.getLogger(__name__)

#: The first that shows and takes the reason of a lock.
_MICROVERSION = '2.73'
_REASON_MAX = 255
#: States in which no host runs the guest.
_OFF = ('stopped', 'shelved', 'shelved_offloaded')
#: Of the hypervisor, as Nova last saw it: running, paused, suspended. Such a
#: guest was started behind Nova's back.
_RUNNING = (1, 3, 7)


@dataclasses.dataclass(frozen=True)
class Server:
    """A server as Nova's API shows it to an operator.

    :ivar host: that it is on; None for one that is on none.
    :ivar vm_state: Nova's, as ``active`` or ``stopped``.
    :ivar power_state: Nova's number of it, None when it is not known.
    :ivar locked_reason: the words of who locked it, if there are any.
    """

    uuid: str
    name: str
    project: str
    host: str | None
    vm_state: str
    task_state: str | None
    locked: bool
    locked_reason: str | None = None
    power_state: int | None = None

    @property
    def off(self) -> bool:
        """Return whether no host runs it or is about to."""
        return (self.vm_state in _OFF and self.task_state is None and
                self.power_state not in _RUNNING)

    def check_off(self) -> None:
        """Refuse a server whose variables its guest may be using.

        :raises ServerNotOff: if it runs, or something is being done to it.
        """
        if self.off:
            return
        state = self.vm_state
        if self.task_state:
            state += f', {self.task_state}'
        elif self.vm_state in _OFF:
            state += ', but runs all the same'
        raise exception.ServerNotOff(server=self.uuid, state=state)


@dataclasses.dataclass(frozen=True)
class Held:
    """A server that a command holds.

    :ivar check: asks Nova again; raises ServerNotOff if it is not off any
        more, ServerLocked if it is not this command's lock any more.
    """

    server: Server
    check: Callable[[], None]


class Servers:
    """Nova's servers, one at a time."""

    def __init__(self, nova: adapter.Adapter) -> None:
        self._nova = nova

    def find(self, wanted: str) -> Server:
        """Return a server by its uuid or its name.

        :raises ServerNotFound: there is none, or several of the name.
        :raises CloudUnreachable: Nova does not answer.
        """
        if uuidutils.is_uuid_like(wanted):
            found = self._ask(f'/servers/{wanted}')
            if found is None:
                raise exception.ServerNotFound(server=wanted, count='no')
            return _server(found['server'])
        query = urllib.parse.urlencode(
            {'all_tenants': '1', 'name': f'^{re.escape(wanted)}$'})
        listed = (self._ask(f'/servers/detail?{query}') or {}).get(
            'servers', ())
        # The filter is a regular expression of the database's making.
        named = [each for each in listed if each.get('name') == wanted]
        if len(named) != 1:
            raise exception.ServerNotFound(
                server=wanted, count=len(named) or 'no')
        return _server(named[0])

    def _ask(self, path: str) -> dict[str, ty.Any] | None:
        try:
            return self._nova.get(path, microversion=_MICROVERSION).json()
        except keystone_errors.NotFound as error:
            if 'itemNotFound' in (error.response.text or ''):
                return None
            raise exception.CloudUnreachable(service='Nova') from error
        except (keystone_errors.ClientException, ValueError) as error:
            raise exception.CloudUnreachable(service='Nova') from error

    def _act(self, uuid: str, action: dict[str, ty.Any]) -> None:
        try:
            self._nova.post(f'/servers/{uuid}/action', json=action,
                            microversion=_MICROVERSION)
        except keystone_errors.ClientException as error:
            raise exception.CloudUnreachable(service='Nova') from error

    @contextlib.contextmanager
    def held_off(self, uuid: str) -> Iterator[Held]:
        """Keep a server off: its tenant cannot start it meanwhile.

        A process that dies leaves the lock, with a reason that tells whose
        it is.

        :raises ServerNotOff: it runs, or something is being done to it.
        :raises ServerLocked: somebody else holds it.
        :raises CloudUnreachable: Nova does not answer.
        """
        server = self.find(uuid)
        server.check_off()
        if server.locked:
            raise _locked(server)
        reason = _reason()

        def check() -> None:
            seen = self.find(uuid)
            if seen.locked_reason != reason:
                raise _locked(seen)
            seen.check_off()
        try:
            self._act(uuid, {'lock': {'locked_reason': reason}})
            # It may have been started between the look and the lock.
            check()
            yield Held(server, check)
        finally:
            self._let_go(uuid, reason)

    def _let_go(self, uuid: str, reason: str) -> None:
        """Unlock a server, if the lock is the one with this reason."""
        try:
            if self.find(uuid).locked_reason == reason:
                self._act(uuid, {'unlock': None})
        except exception.ArmVMError as error:
            # What was done, or what went wrong, is what has to be told.
            LOG.warning('Server %(server)s was left locked; unlock it '
                        '("openstack server unlock"): %(error)s',
                        {'server': uuid, 'error': error})


def _reason() -> str:
    """Return a reason that no other process gives."""
    return (f'armvm-manage changes its UEFI variables, process {os.getpid()} '
            f'on {socket.gethostname()[:100]} since '
            f'{timeutils.utcnow().isoformat()}, '
            f'{uuidutils.generate_uuid()}')[:_REASON_MAX]


def _locked(server: Server) -> exception.ServerLocked:
    reason = server.locked_reason or ('no reason is given' if server.locked
                                      else 'not any more')
    return exception.ServerLocked(server=server.uuid, reason=reason)


def _server(found: dict[str, ty.Any]) -> Server:
    """Read a server.

    :raises ServerStateUnknown: its cell does not answer.
    """
    try:
        return Server(
            uuid=found['id'], name=found['name'],
            project=found['tenant_id'],
            host=found.get('OS-EXT-SRV-ATTR:host') or None,
            vm_state=found['OS-EXT-STS:vm_state'],
            task_state=found['OS-EXT-STS:task_state'],
            power_state=found.get('OS-EXT-STS:power_state'),
            locked=bool(found['locked']),
            locked_reason=found.get('locked_reason'))
    except KeyError as error:
        raise exception.ServerStateUnknown(server=found['id']) from error
