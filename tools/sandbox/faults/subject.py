# SPDX-License-Identifier: Apache-2.0
"""A server that faults happen to, as its owner and an operator see it."""
from collections.abc import Callable, Iterable, Mapping
import threading
import time
import types

import keystoneauth1.exceptions
from openstack import exceptions

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image
from tools.sandbox.history import writer
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import resources
from tools.sandbox import stories
from tools.sandbox import table as tables

#: How long an operation goes on in any case, in seconds.
_LIMIT = 600
#: How long firmware takes to say something, with many that do it at once.
_FIRST_WORD_SECONDS = 30
_BOOT_SECONDS = 240

#: A console begins with it when QEMU has started a guest, and not when the
#: guest has come from elsewhere.
_FIRMWARE, _FIRST_BYTES = b'UEFI firmware', 1024

_FAILED = (exceptions.SDKException, keystoneauth1.exceptions.ClientException)


class Unfinished(Exception):
    """An operation did not come to its end; the message says how it is."""


class Subject:
    """A server, what its guest has written, and what happens to it."""

    def __init__(self, name: str, properties: Mapping[str, str] =
                 types.MappingProxyType(cloud.PERSISTENT),
                 busy: writer.Writer | None = None) -> None:
        """Prepare; begin() makes the server.

        :param properties: of the images that it is made from.
        :param busy: what lets its guest write all the time.
        """
        self.name = name
        self.busy = busy
        self._properties = dict(properties)
        #: Seconds between two looks at the server.
        self.pause = 0.5
        #: Seconds without a change after which it is stuck.
        self.patience: float = 30
        self.cloud = resources.connect('nova', 'service')
        self.compute = self.cloud.compute
        self.operator = admin.Operator()
        self.tenant = cloud.Tenant()
        self.story = stories.Story(name, tables.Table(), self.tenant)
        #: Set when nothing is broken any more.
        self.healed = threading.Event()
        #: Statuses that the operation came to, and what was done to recover.
        self.diary: list[str] = []
        #: The host that was taken away, until it is back.
        self.dead: config.Host | None = None

    @property
    def server(self) -> cloud.Server | None:
        return self.story.server

    @property
    def id(self) -> str:
        return self.server.id

    def picture(self, disk: image.Disk = image.DISK_A) -> str:
        """Return the id of the image of a disk."""
        return self.tenant.image(disk, self._properties)

    def ask_for_server(self) -> None:
        """Ask for a server; until() tells whether it comes up."""
        self.story.written = None
        self.story.server = self.tenant.ask_for(
            self.name, self.picture(), config.ARMVM)

    def begin(self) -> None:
        """Boot a server on one of the hosts; its guest writes."""
        self.healed.set()
        self.ask_for_server()
        self.until('ACTIVE')
        self.check_guest(may_be_fresh=True)

    def end(self) -> None:
        """Delete the server, if there is one."""
        if self.server is not None:
            if self.busy is not None:
                self.busy.end()
            self.server.delete()
            self.story.server = None

    def write(self) -> None:
        """Let the guest write.

        :raises SandboxError: it does not find what it has written.
        """
        words, held = self.story.write({
            'Boot0040': stories.option_for(image.DISK_A, self.name)})
        if not held:
            raise process.SandboxError(words)

    def reboot_from_inside(self) -> None:
        """Let the guest reset itself and boot.

        :raises Unfinished: it does not come up.
        """
        try:
            self.server.is_at(self.host())
            self.server.console.skip()
            self.server.console.reboot()
            self.server.console.wait('boot', _BOOT_SECONDS)
        except (process.SandboxError, OSError, StopIteration) as error:
            raise Unfinished('the guest does not reboot') from error

    def host(self) -> config.Host:
        """Return where Nova says the server is."""
        return next(host for host in config.HOSTS
                    if host.name == self.operator.host_of(self.server))

    def unshelve_at(self, server_id: str, host: config.Host) -> None:
        """Unshelve to a host of choice (microversion 2.91)."""
        response = self.compute.post(
            f'/servers/{server_id}/action', microversion='2.91',
            json={'unshelve': {'host': host.name}})
        exceptions.raise_from_response(response)

    # Asking Nova

    def look(self):
        """Return the server as Nova shows it, None if it is gone."""
        try:
            return self.compute.get_server(self.id)
        except exceptions.NotFoundException:
            return None

    def ask(self, question: Callable, *arguments, **named) -> None:
        """Ask for something that may be refused while something is broken.

        :raises Unfinished: it was.
        """
        try:
            question(self.id, *arguments, **named)
        except _FAILED as error:
            raise Unfinished(
                f'refused: {str(error).splitlines()[0]}') from error

    def bring(self, status: str, question: Callable, *arguments,
              **named) -> None:
        """Ask for something and wait for the status that it leads to.

        :raises Unfinished: it was refused, or does not come to it.
        """
        self.ask(question, *arguments, **named)
        self.until(status)

    def until(self, *wanted: str) -> None:
        """Wait for one of some statuses, 'GONE' for the end of the server.

        :raises Unfinished: it does not come to it.
        """
        status = self.settle(wanted)
        if status not in wanted:
            fault = self.fault() if status == 'ERROR' else ''
            raise Unfinished(f'{status} {fault}'.strip())

    def fault(self) -> str:
        """Return what Nova says of an error, nothing if there is none."""
        try:
            fault = self.look().fault
        except (*_FAILED, AttributeError):
            return ''
        return fault['message'] if fault else ''

    def settle(self, wanted: Iterable[str] = (),
               patience: float | None = None) -> str:
        """Wait for a status, an error, or until nothing happens any more.

        :param patience: seconds without a change after which it is stuck, if
            not the subject's own.
        :returns: the status; with the work that Nova says is going on, if
            that is stuck.
        """
        patience = self.patience if patience is None else patience
        seen, since = None, time.monotonic()
        deadline = since + _LIMIT
        while time.monotonic() < deadline:
            now = self._status()
            if now in wanted or now == 'ERROR':
                return now
            if now != seen or not self.healed.is_set():
                seen, since = now, time.monotonic()
            elif now is not None and (
                    time.monotonic() - since > patience or
                    not wanted and ':' not in now):
                return now
            time.sleep(self.pause)
        raise process.SandboxError(f'server {self.id}: still {seen}')

    def _status(self) -> str | None:
        """Return status and work in progress, None if Nova does not say."""
        try:
            found = self.look()
        except _FAILED:
            return None
        if found is None:
            return 'GONE'
        return ':'.join(filter(None, (found.status, found.task_state)))

    # The guest

    def guest_hosts(self) -> list[config.Host]:
        """Return the hosts on which a guest of this server runs."""
        return [host for host in (config.ARMVM, config.ARMVM_2)
                if hosts.ComputeHost(host).is_up() and
                self.id in hosts.ComputeHost(host).virsh(
                    'list', '--uuid').split()]

    def check_guest(self, may_be_fresh: bool) -> None:
        """Compare what the guest finds with what it has written.

        It writes again afterwards, which must go as well.

        :param may_be_fresh: it may also find an empty store.
        :raises SandboxError: something is lost.
        """
        self.server.is_at(self.host())
        seen = self._seen()
        if may_be_fresh and not seen['probe']:
            self.story.written = None
        fresh = self.story.written is None
        if not fresh:
            words, held = self.story.found(seen, image.DISK_A)
            if not held:
                raise process.SandboxError(words)
        self.write()
        if self.busy is not None:
            if fresh:
                self.busy.begin(self.story)
            self.busy.check()

    def check_volume(self) -> None:
        """Look for what the guest has written without its help.

        :raises SandboxError: it is not there.
        """
        volume, = self.operator.store_volumes(self.id)
        words, held = stories.both_readings(self.story, volume.id)
        if not held:
            raise process.SandboxError(words)

    def _seen(self) -> console.Event:
        """Ask the guest, when it is up, for what it sees."""
        log = hosts.ComputeHost(self.host()).console(self.id)
        try:
            process.wait_for(lambda: log.exists() and log.stat().st_size,
                             _FIRST_WORD_SECONDS, 'the console')
            booting = _FIRMWARE in log.read_bytes()[:_FIRST_BYTES]
        except process.SandboxError:
            # It came without a boot, from another host or from a file.
            booting = False
        if booting:
            self.server.console.wait('boot', _BOOT_SECONDS)
        return self.server.console.report()
