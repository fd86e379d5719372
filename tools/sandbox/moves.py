# SPDX-License-Identifier: Apache-2.0
"""The demo's story of a server that goes from host to host."""
from collections.abc import Callable
from concurrent import futures

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import commands
from tools.sandbox import config
from tools.sandbox.guest import image
from tools.sandbox import in_place
from tools.sandbox import process
from tools.sandbox import readings
from tools.sandbox import resources
from tools.sandbox import stories
from tools.sandbox import table as tables

_NAMES = {
    config.VOLUME_TYPE: 'The variables follow the server everywhere',
    config.BLOCK_VOLUME_TYPE: 'The same with volumes that are block devices',
}
_NAMES_IN_PLACE = {
    config.VOLUME_TYPE: 'A server that stays where it is',
    config.BLOCK_VOLUME_TYPE: 'The same with volumes that are block devices, '
                              'in place',
}
#: Of the log of whole stores on a volume.
_LOG_MIB = 4
#: A host is told to clean up, and not waited for.
_TIDIES_SECONDS = 60
_HOSTS = (config.ARMVM, config.ARMVM_2)


def _other(host: config.Host) -> config.Host:
    return _HOSTS[1 - _HOSTS.index(host)]


class Journey:
    """A server with persistent variables, and where it is.

    Every move is the method of its name; it leaves the server active on one
    of the two hosts.
    """

    def __init__(self, name: str, table: tables.Table, tenant: cloud.Tenant,
                 operator: admin.Operator) -> None:
        self.story = stories.Story(name, table, tenant)
        self.operator = operator
        self.flavors = [resources.FLAVOR, resources.LARGER_FLAVOR]
        self._written = 0

    @property
    def here(self) -> config.Host:
        return self.story.server.host.host

    def begin(self) -> None:
        """Boot the server on the first host; the guest writes."""
        picture = self.story.tenant.image(image.DISK_A, cloud.PERSISTENT)
        self.story.first_boot('disk A, an empty store', picture, config.ARMVM)
        self.story.check('the guest writes', 'everything there', self.write)
        self.attached('first boot')

    def end(self) -> None:
        """Delete the server, unless a move did; nothing is left."""
        server = self.story.server
        if server is None:
            return

        def delete() -> tuple[str, bool]:
            server.delete()
            volumes = self.operator.wait_gone(server.id)
            return f'{len(volumes)} volumes', not volumes
        self.story.check('delete', '0 volumes', delete)

    def write(self) -> tuple[str, bool]:
        """Let the guest write a boot entry more, and its order anew."""
        self._written += 1
        return self.story.write({
            f'Boot{0x40 + self._written:04X}': stories.option_for(
                image.DISK_A, f'entry {self._written}')})

    def again(self, step: str, work: Callable[[], None], to: config.Host,
              boots: bool = True) -> None:
        """Do a move; the guest has to find everything at its end."""
        def move() -> None:
            work()
            if to is not self.here:
                self.story.server.is_at(to)
        self.story.again(step, move, image.DISK_A, boots)

    def attached(self, step: str) -> None:
        """Only the host of the server has its one volume."""
        server = self.story.server

        def look() -> tuple[str, bool]:
            volumes = self.operator.store_volumes(server.id)
            states = [(each.status, attachment.status) for each in volumes
                      for attachment in self.operator.attachments(each.id)]
            attached = self.operator.attached_hosts(server.id)
            says = self.operator.host_of(server)
            kind, source = server.host.nvram_of(server.id)
            return (f'{len(volumes)} volume, server on {says}, attached to '
                    f'{", ".join(attached)}, flash is {kind}',
                    states == [('in-use', 'attached')] and
                    attached == [says] == [self.here.name] and
                    (kind, source) == ('network', server.id))
        self.story.check(f'{step}: its volume',
                         f'attached to {self.here.name} alone', look)

    # Moves

    def cold_migrate(self) -> None:
        """To the other host, and to stay there."""
        server, to = self.story.server, _other(self.here)
        self.again('cold migration',
                   lambda: self.operator.migrate(server), to)
        self.story.check('confirm', 'ACTIVE', lambda: _done(server.confirm))
        self.attached('confirm')

    def cold_migrate_revert(self) -> None:
        """To the other host, where the guest writes, and back."""
        server = self.story.server
        self._there_and_back('cold migration',
                             lambda: self.operator.migrate(server))

    def resize(self) -> None:
        """To the other host with more memory, and to stay there."""
        server, to = self.story.server, _other(self.here)
        self.flavors.reverse()
        self.again('resize', lambda: server.resize(self.flavors[0]), to)
        self.story.check('confirm of the resize', 'ACTIVE',
                         lambda: _done(server.confirm))
        self.attached('confirm of the resize')

    def resize_revert(self) -> None:
        """To the other host with other memory, and back."""
        server = self.story.server
        self._there_and_back('resize',
                             lambda: server.resize(self.flavors[1]))

    def _there_and_back(self, step: str, work: Callable[[], None]) -> None:
        server, home = self.story.server, self.here
        self.again(f'{step}, to be reverted', work, _other(home))
        self.story.check('the guest writes there', 'everything there',
                         self.write)
        self.again(f'revert of the {step}', server.revert, home)
        self.attached(f'revert of the {step}')

    def live_migrate(self) -> None:
        """To the other host while the guest runs."""
        server, to = self.story.server, _other(self.here)
        self.again('live migration',
                   lambda: self.operator.live_migrate(server, to), to,
                   boots=False)
        self.attached('live migration')
        self.story.check('the guest writes on', 'everything there',
                         self.write)
        self.story.check('space used on the volume',
                         f'at most {_LOG_MIB} MiB', self._stays_small)
        self.story.again('reboot from inside', self.story.reboot_from_inside,
                         image.DISK_A)
        self._on_the_volume('reboot from inside')

    def live_migrate_abort(self) -> None:
        """Begin to go to the other host, and stay."""
        server, to = self.story.server, _other(self.here)

        def abort() -> None:
            self.operator.begin_slow_migration(server, to)
            self.operator.abort_migration(server)
        self.again('live migration, aborted', abort, self.here, boots=False)
        self.story.check(f'aborted: {to.name}',
                         'no guest, nothing connected',
                         lambda: self._left_nothing(to, server))
        self.attached('aborted')

    def live_migrate_force(self) -> None:
        """There and back, each time forced to its end.

        By post-copy where the host that is left permits it, else Nova pauses
        the guest until everything is sent.
        """
        for _time in range(2):
            server, to = self.story.server, _other(self.here)
            how = 'post-copy' if self.here.post_copy else 'a pause'
            self.story.check(
                'slow live migration', 'under way', lambda: _done(
                    lambda: self.operator.begin_slow_migration(server, to),
                    'under way'))
            self.story.check('the guest writes meanwhile',
                             'everything there', self.write)
            self.again(f'forced to its end by {how}',
                       lambda: self.operator.force_migration(server, to),
                       to, boots=False)
            self.attached(f'end by {how}')
            self.story.check('the guest writes on', 'everything there',
                             self.write)

    def _stays_small(self) -> tuple[str, bool]:
        volume = self.operator.store_volumes(self.story.server.id)[0]
        used = readings.used_mib(volume.id)
        return f'{used} MiB', used <= _LOG_MIB

    def _on_the_volume(self, step: str) -> None:
        volume = self.operator.store_volumes(self.story.server.id)[0]
        self.story.check(f'{step}: on the volume',
                         'all as written, both agree',
                         lambda: stories.both_readings(self.story, volume.id))

    def shelve(self) -> None:
        """Off every host, and on to the other one."""
        server, to = self.story.server, _other(self.here)
        self.story.check('shelve', 'volume in-use and protected',
                         lambda: self._shelved(server))
        self.operator.use_only(to)
        self.again('unshelve', server.unshelve, to)
        self.operator.use_only(*_HOSTS)
        self.attached('unshelve')

    def _shelved(self, server: cloud.Server) -> tuple[str, bool]:
        server.shelve()
        volumes = self.operator.store_volumes(server.id)
        refusal = self.operator.refusal_to_delete(volumes[0])
        return (f'volume {volumes[0].status}, deletion '
                f'{"refused" if refusal else "ACCEPTED"}',
                volumes[0].status == 'in-use' and bool(refusal))

    def evacuate(self) -> None:
        """Off a host that is really killed, and the host comes back."""
        server, dead = self.story.server, self.here
        to = _other(dead)

        def evacuate() -> None:
            self.operator.kill(dead)
            self.operator.evacuate(server)
        self.again(f'{dead.name} is killed, evacuation', evacuate, to)
        self.attached('evacuation')
        self.story.check(
            f'{dead.name} comes back', 'no guest, nothing connected',
            lambda: self._comes_back(dead, server))
        self.attached(f'{dead.name} comes back')
        self.story.check('the guest writes on after it',
                         'everything there', self.write)

    def audit(self) -> None:
        """Deleted while it has no host: the driver is never called."""
        server, self.story.server = self.story.server, None
        server.shelve()
        volume = self.operator.store_volumes(server.id)[0]
        server.delete()
        self.story.check(
            'deleted while shelved, audit', 'finds the volume, status 3',
            lambda: self._found_by_audit(server, volume))
        self.story.check(
            'audit --delete', 'nothing left, status 0',
            lambda: self._removed_by_audit(server))

    @staticmethod
    def _found_by_audit(server: cloud.Server, volume) -> tuple[str, bool]:
        status, findings = commands.audit('--older-than', '0')
        seen = [(each['finding'], each['server'], each['volume'])
                for each in findings]
        return (f'{", ".join(each["finding"] for each in findings)}, '
                f'status {status}',
                seen == [('no-server', server.id, volume.id)] and
                status == 3)

    def _removed_by_audit(self, server: cloud.Server) -> tuple[str, bool]:
        status, findings = commands.audit('--older-than', '0', '--delete',
                                          '--yes')
        left = self.operator.wait_gone(server.id)
        return (f'{sum(each["removed"] for each in findings)} removed, '
                f'{len(left)} volumes left, status {status}',
                not left and status == 0)

    def _comes_back(self, dead: config.Host,
                    server: cloud.Server) -> tuple[str, bool]:
        self.operator.bring_back(dead)
        return self._left_nothing(dead, server)

    def _left_nothing(self, host: config.Host,
                      server: cloud.Server) -> tuple[str, bool]:
        """Wait until nothing of a server is left on a host."""
        process.wait_for(lambda: not any(self.operator.left_on(host, server)),
                         _TIDIES_SECONDS, f'{host.name} to be clean')
        return '0 guests, 0 connected stores', True


def _done(work: Callable[[], None],
          end: str = 'ACTIVE') -> tuple[str, bool]:
    """Do what raises an error when it does not go as it should."""
    work()
    return end, True


#: What happens to a server that stays on its host.
IN_PLACE: dict[str, Callable[[Journey], None]] = {
    'devices': lambda journey: in_place.devices(
        journey.story, lambda: journey.attached('detach')),
    'snapshot': lambda journey: in_place.snapshot(
        journey.story, journey.operator),
    'rescue': lambda journey: in_place.rescue(
        journey.story, lambda: journey.attached('unrescue')),
    'rebuild': lambda journey: in_place.rebuild(
        journey.story, journey.operator, journey.write),
}

MOVES: dict[str, Callable[[Journey], None]] = {
    'cold-migrate': Journey.cold_migrate,
    'cold-migrate-revert': Journey.cold_migrate_revert,
    'resize': Journey.resize,
    'resize-revert': Journey.resize_revert,
    'live-migrate': Journey.live_migrate,
    'live-migrate-abort': Journey.live_migrate_abort,
    'live-migrate-force': Journey.live_migrate_force,
    'shelve': Journey.shelve,
    'evacuate': Journey.evacuate,
    'audit': Journey.audit,
}

#: Moves that kill a host, or count what is left on all of them.
_ALONE = ('evacuate', 'audit')

OPERATIONS = (*IN_PLACE, *MOVES)


def run(table: tables.Table, operator: admin.Operator,
        names: tuple[str, ...]) -> None:
    """Do operations, once for each kind of volume.

    :param names: of OPERATIONS, in the order wanted.
    """
    _do_all(table, operator, config.VOLUME_TYPE, names)
    operator.use_volume_type(config.BLOCK_VOLUME_TYPE)
    try:
        _do_all(table, operator, config.BLOCK_VOLUME_TYPE, names)
    finally:
        operator.use_volume_type(config.VOLUME_TYPE)


def _do_all(table: tables.Table, operator: admin.Operator, volume_type: str,
            names: tuple[str, ...]) -> None:
    """Send one server around; what happens in place happens to a second.

    Both at the same time, until a move needs the hosts for itself.
    """
    moves = tuple(name for name in names if name in MOVES)
    stays = tuple(name for name in names if name in IN_PLACE)

    def journey(name: str) -> Journey:
        return Journey(name, table, cloud.Tenant(), operator)
    travels, stands = (journey(_NAMES[volume_type]),
                       journey(_NAMES_IN_PLACE[volume_type]))
    operator.use_only(config.ARMVM)
    try:
        with futures.ThreadPoolExecutor() as pool:
            for begun in [pool.submit(each.begin) for each, some in
                          ((travels, moves), (stands, stays)) if some]:
                begun.result()
            operator.use_only(*_HOSTS)
            beside = pool.submit(_stay, stands, stays)
            for name in moves:
                if name in _ALONE:
                    beside.result()
                MOVES[name](travels)
            travels.end()
            beside.result()
    finally:
        # For who looks around afterwards and moves a server by hand.
        operator.use_only(*_HOSTS)


def _stay(journey: Journey, names: tuple[str, ...]) -> None:
    for name in names:
        IN_PLACE[name](journey)
    journey.end()
