# SPDX-License-Identifier: Apache-2.0
"""A server that stays off while its variables are changed."""
from collections.abc import Iterator
import contextlib
import dataclasses
import re
import typing as ty
import urllib.parse

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors
from oslo_utils import uuidutils

from nova_armvm import exception

#: The first that shows and takes the reason of a lock.
_MICROVERSION = '2.73'
_REASON = 'armvm-manage changes its UEFI variables'
#: States in which no host runs the guest.
_OFF = ('stopped', 'shelved', 'shelved_offloaded')


@dataclasses.dataclass(frozen=True)
class Server:
    """A server as Nova's API shows it to an operator.

    :ivar host: that it is on; None for one that is on none.
    :ivar vm_state: Nova's, as ``active`` or ``stopped``.
    """

    uuid: str
    name: str
    project: str
    host: str | None
    vm_state: str
    task_state: str | None
    locked: bool

    @property
    def off(self) -> bool:
        """Whether no host runs it or is about to."""
        return self.vm_state in _OFF and self.task_state is None


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
        listed = (self._ask(f'/servers/detail?{query}') or {})['servers']
        # The filter is a regular expression of the database's making.
        named = [each for each in listed if each['name'] == wanted]
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
    def held_off(self, server: Server) -> Iterator[Server]:
        """Keep a server off: its tenant cannot start it meanwhile.

        Nova's lock is used; a process that dies leaves it, with a reason
        that tells whose it is. One that was there before stays.

        :raises ServerNotOff: it runs, or something is being done to it.
        :raises CloudUnreachable: Nova does not answer.
        """
        check_off(server)
        if not server.locked:
            self._act(server.uuid, {'lock': {'locked_reason': _REASON}})
        try:
            # It may have been started between the look and the lock.
            server = dataclasses.replace(self.find(server.uuid),
                                         locked=server.locked)
            check_off(server)
            yield server
            check_off(self.find(server.uuid))
        finally:
            if not server.locked:
                self._act(server.uuid, {'unlock': None})


def check_off(server: Server) -> None:
    """Refuse a server whose variables its guest may be using.

    :raises ServerNotOff: it runs, or something is being done to it.
    """
    if not server.off:
        raise exception.ServerNotOff(
            server=server.uuid,
            state=f'{server.vm_state}, {server.task_state}'
            if server.task_state else server.vm_state)


def _server(found: dict[str, ty.Any]) -> Server:
    return Server(
        uuid=found['id'], name=found['name'], project=found['tenant_id'],
        host=found.get('OS-EXT-SRV-ATTR:host') or None,
        vm_state=found['OS-EXT-STS:vm_state'],
        task_state=found.get('OS-EXT-STS:task_state'),
        locked=bool(found.get('locked')))
