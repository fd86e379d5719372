# SPDX-License-Identifier: Apache-2.0
"""Listening to the guest of a server by the API, and to nothing else."""
from collections.abc import Callable
import time
import typing as ty

from oslo_log import log
from tempest.lib import exceptions

from nova_armvm_tempest_plugin import guest

LOG = log.getLogger(__name__)

_Found = ty.TypeVar('_Found')
#: What a failed test shows of the console.
_SHOWN_LINES = 15


class Console:
    """The console of one server, and what its guest was heard to say last.

    Nova shows the output of the QEMU that runs now, so that it begins anew
    with each start and at the destination of a live migration.
    """

    def __init__(self, client, server_id: str, *, boot_seconds: int,
                 interval: int, lines: int) -> None:
        """Begin before the first boot.

        :param client: Tempest's client for servers, of the owner.
        :param boot_seconds: within which a guest has to come up.
        :param interval: seconds between two looks.
        :param lines: how many to ask for.
        """
        self._client = client
        self._server_id = server_id
        self._boot_seconds = boot_seconds
        self._interval = interval
        self._lines = lines
        self._boots_heard: set[str] = set()
        self._beat = 0

    def booted(self) -> guest.Transcript:
        """Wait until the guest is up again, has written and told the time.

        :raises TimeoutException: it was not in time.
        """
        def look(said: guest.Transcript) -> guest.Transcript | None:
            if said.found is None or said.left is None or not said.beat:
                return None
            return (None if said.found.boot_id in self._boots_heard or
                    said.hardware is None else said)
        said = self._wait(look, self._boot_seconds, 'a new boot')
        self._boots_heard.add(said.found.boot_id)
        self._beat = said.beat
        return said

    def goes_on(self) -> guest.Transcript:
        """Wait until the guest, not booted again, has written a later time.

        :raises TimeoutException: it was not in time, or has booted.
        """
        def look(said: guest.Transcript) -> guest.Transcript | None:
            return said if (said.boot_id in self._boots_heard and
                            said.beat > self._beat) else None
        said = self._wait(look, self._boot_seconds, 'the guest to go on')
        self._beat = said.beat
        return said

    def sees(self, condition: Callable[[guest.Event], bool], seconds: int,
             what: str) -> guest.Event:
        """Wait until the machine that the guest sees meets a condition.

        :raises TimeoutException: it was not in time.
        """
        def look(said: guest.Transcript) -> guest.Event | None:
            return said.hardware if (
                said.hardware and condition(said.hardware)) else None
        return self._wait(look, seconds, what)

    def _wait(self, look: Callable[[guest.Transcript], _Found | None],
              seconds: int, what: str) -> _Found:
        deadline = time.monotonic() + seconds
        while True:
            text = self._text()
            found = look(guest.read(text))
            if found is not None:
                return found
            if time.monotonic() > deadline:
                end = '\n'.join(text.splitlines()[-_SHOWN_LINES:])
                raise exceptions.TimeoutException(
                    f'server {self._server_id}: waited {seconds} s for '
                    f'{what}; its console ends with:\n{end}')
            time.sleep(self._interval)

    def _text(self) -> str:
        """Return the end of the console, empty while there is none."""
        try:
            return self._client.get_console_output(
                self._server_id, length=self._lines)['output']
        except (exceptions.NotFound, exceptions.Conflict) as error:
            # Between two hosts, or before QEMU has made the file.
            LOG.debug('No console of server %s yet: %s', self._server_id,
                      error)
            return ''
