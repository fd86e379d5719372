# SPDX-License-Identifier: Apache-2.0
"""What is asked for while something breaks.

Each operation takes a subject whose server is active, and raises
Unfinished when it does not come to its end.
"""
from collections.abc import Callable

from tools.sandbox import config
from tools.sandbox.faults import subject as subjects
from tools.sandbox.guest import image
from tools.sandbox import resources

Subject = subjects.Subject


def other(host: config.Host) -> config.Host:
    """Return the host to which a server can move."""
    return config.ARMVM_2 if host is config.ARMVM else config.ARMVM


def _first_boot(subject: Subject) -> None:
    subject.until('ACTIVE')


def _reboot_from_inside(subject: Subject) -> None:
    subject.reboot_from_inside()
    subject.until('ACTIVE')


def _soft_reboot(subject: Subject) -> None:
    subject.bring('ACTIVE', subject.compute.reboot_server, 'SOFT')


def _pause(subject: Subject) -> None:
    subject.bring('PAUSED', subject.compute.pause_server)
    subject.bring('ACTIVE', subject.compute.unpause_server)


def _snapshot(subject: Subject) -> None:
    name = f'snapshot of {subject.id}'
    subject.bring('ACTIVE', subject.compute.create_server_image, name)
    for made in list(subject.cloud.image.images(name=name)):
        subject.cloud.image.delete_image(made)


def _reset_state(subject: Subject) -> None:
    subject.ask(subject.compute.reset_server_state, 'error')
    subject.ask(subject.compute.reset_server_state, 'active')
    _hard_reboot(subject)


def _stop_and_start(subject: Subject) -> None:
    subject.bring('SHUTOFF', subject.compute.stop_server)
    subject.bring('ACTIVE', subject.compute.start_server)


def _hard_reboot(subject: Subject) -> None:
    subject.bring('ACTIVE', subject.compute.reboot_server, 'HARD')


def _suspend_and_resume(subject: Subject) -> None:
    subject.bring('SUSPENDED', subject.compute.suspend_server)
    subject.bring('ACTIVE', subject.compute.resume_server)


def _rescue(subject: Subject) -> None:
    subject.bring('RESCUE', subject.compute.rescue_server,
                  image_ref=subject.picture(image.RESCUE))
    subject.bring('ACTIVE', subject.compute.unrescue_server)


def _rebuild(subject: Subject) -> None:
    subject.bring('ACTIVE', lambda server_id: subject.compute.rebuild_server(
        server_id, image=subject.picture()))


def _confirm(subject: Subject) -> None:
    subject.until('VERIFY_RESIZE')
    subject.bring('ACTIVE', subject.compute.confirm_server_resize)


def _revert(subject: Subject) -> None:
    subject.until('VERIFY_RESIZE')
    subject.bring('ACTIVE', subject.compute.revert_server_resize)


def _cold_migrate(subject: Subject) -> None:
    subject.ask(subject.compute.migrate_server)
    _confirm(subject)


def _cold_migrate_and_revert(subject: Subject) -> None:
    subject.ask(subject.compute.migrate_server)
    _revert(subject)


def _ask_for_other_flavor(subject: Subject) -> None:
    now = subject.look().flavor.original_name
    wanted = next(name for name in (resources.FLAVOR, resources.LARGER_FLAVOR)
                  if name != now)
    subject.ask(subject.compute.resize_server,
                subject.compute.find_flavor(wanted).id)


def _resize(subject: Subject) -> None:
    _ask_for_other_flavor(subject)
    _confirm(subject)


def _resize_and_revert(subject: Subject) -> None:
    _ask_for_other_flavor(subject)
    _revert(subject)


def _live_migrate(subject: Subject) -> None:
    here = subject.host()
    subject.bring('ACTIVE', subject.compute.live_migrate_server,
                  host=other(here).name, block_migration='auto')
    if subject.host() is here:
        raise subjects.Unfinished('stays where it was')


def _shelve(subject: Subject) -> None:
    to = other(subject.host())
    subject.bring('SHELVED_OFFLOADED', subject.compute.shelve_server)
    subject.bring('ACTIVE', subject.unshelve_at, to)


def _delete(subject: Subject) -> None:
    subject.bring('GONE', subject.compute.delete_server)


def _evacuate(subject: Subject) -> None:
    dead = subject.host()
    subject.operator.kill(dead)
    subject.dead = dead
    subject.bring('ACTIVE', subject.compute.evacuate_server)
    subject.operator.bring_back(dead)
    subject.dead = None


OPERATIONS: dict[str, Callable[[Subject], None]] = {
    'first-boot': _first_boot,
    'reboot-inside': _reboot_from_inside,
    'soft-reboot': _soft_reboot,
    'pause': _pause,
    'snapshot': _snapshot,
    'reset-state': _reset_state,
    'stop-start': _stop_and_start,
    'hard-reboot': _hard_reboot,
    'suspend-resume': _suspend_and_resume,
    'rescue': _rescue,
    'rebuild': _rebuild,
    'cold-migrate': _cold_migrate,
    'cold-migrate-revert': _cold_migrate_and_revert,
    'resize': _resize,
    'resize-revert': _resize_and_revert,
    'live-migrate': _live_migrate,
    'shelve': _shelve,
    'delete': _delete,
    'evacuate': _evacuate,
}
#: Those that take a whole host away, so that nothing else can go on.
ALONE = frozenset({'evacuate'})
#: Those at whose end there is no server.
LAST = frozenset({'delete'})
#: Those that begin without one.
FIRST = frozenset({'first-boot'})
#: Those that begin afresh with the variables.
RESETS = frozenset({'rebuild'})
