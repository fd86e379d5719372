# SPDX-License-Identifier: Apache-2.0
"""What an operator does when something broke in the middle of an operation.

No more than Nova's documentation tells: look at the status, reset the state
of what is stuck, hard reboot; confirm, unshelve, start or evacuate what waits
for it; end a guest on a host that Nova does not know of.
"""
from tools.sandbox.faults import breaking
from tools.sandbox.faults import subject as subjects
from tools.sandbox import hosts
from tools.sandbox import process

_ATTEMPTS = 8
#: Whoever asked for it has waited for longer.
_PATIENCE = 5


class BeyondHelp(Exception):
    """Nova cannot bring the server back; the message says why."""


def recover(subject: subjects.Subject) -> None:
    """Bring a server back; what was done is added to its diary.

    :raises SandboxError: that did not help.
    :raises BeyondHelp: nor would anything else, with any driver.
    """
    for _attempt in range(_ATTEMPTS):
        status = subject.settle(patience=_PATIENCE)
        work = _next(subject, status)
        if work is None:
            return
        subject.diary.append(work.__name__.strip('_').replace('_', ' '))
        try:
            work(subject)
        except subjects.Unfinished as error:
            subject.diary.append(f'({status}: {error})')
    raise process.SandboxError(
        f'server {subject.id} is not brought back by: '
        + ', '.join(subject.diary))


def _next(subject: subjects.Subject, status: str):
    """Return what to do about a status, None if nothing."""
    if status == 'GONE':
        return None
    if status == 'ACTIVE':
        return _next_for_active(subject)
    if subject.story.written is None:
        # It never came up: who asked for it asks for another.
        return _delete
    if status == 'ERROR' and 'No disk at' in subject.fault():
        if subject.name != 'rebuild':
            raise BeyondHelp('Nova had deleted the disk')
        return _rebuild
    if status.startswith('SHELVED_OFFLOADED:'):
        # It has no host yet, so none looks after it when it starts again.
        raise BeyondHelp('Nova does not take up an unshelving')
    if status == 'ERROR' and 'already exists' in subject.fault():
        # Nova evacuates to no host that has a guest of that name.
        return _remove_stray_guest
    if subject.dead is not None and subject.host() is subject.dead:
        return _evacuate
    return {
        'VERIFY_RESIZE': _confirm, 'SHUTOFF': _start, 'PAUSED': _hard_reboot,
        'SHELVED': _unshelve, 'SHELVED_OFFLOADED': _unshelve,
        'SUSPENDED': _resume, 'RESCUE': _unrescue,
    }.get(status, _reset_state)


def _next_for_active(subject: subjects.Subject):
    here, running = subject.host(), subject.guest_hosts()
    if subject.dead is here:
        return _evacuate
    if any(host is not here for host in running):
        return _end_stray_guest
    return None if running else _hard_reboot


def _delete(subject: subjects.Subject) -> None:
    subject.bring('GONE', subject.compute.delete_server)


def _confirm(subject: subjects.Subject) -> None:
    try:
        subject.ask(subject.compute.confirm_server_resize)
    except subjects.Unfinished as error:
        if 'has not been resized' not in str(error):
            raise
        # The first confirmation was lost on its way; Nova waits for its end
        # for ever and takes no second one.
        subject.diary.append('reset state')
        _reset_state(subject)
        return
    subject.until('ACTIVE', 'SHUTOFF')


def _start(subject: subjects.Subject) -> None:
    subject.bring('ACTIVE', subject.compute.start_server)


def _resume(subject: subjects.Subject) -> None:
    subject.bring('ACTIVE', subject.compute.resume_server)


def _unrescue(subject: subjects.Subject) -> None:
    subject.bring('ACTIVE', subject.compute.unrescue_server)


def _unshelve(subject: subjects.Subject) -> None:
    subject.bring('ACTIVE', subject.compute.unshelve_server)


def _reset_state(subject: subjects.Subject) -> None:
    subject.ask(lambda server_id: subject.compute.reset_server_state(
        server_id, 'active'))
    _hard_reboot(subject)


def _hard_reboot(subject: subjects.Subject) -> None:
    subject.bring('ACTIVE', subject.compute.reboot_server, 'HARD')


def _rebuild(subject: subjects.Subject) -> None:
    subject.bring('ACTIVE', lambda server_id: subject.compute.rebuild_server(
        server_id, image=subject.picture()))


def _evacuate(subject: subjects.Subject) -> None:
    subject.ask(lambda server_id: subject.compute.reset_server_state(
        server_id, 'error'))
    subject.bring('ACTIVE', subject.compute.evacuate_server)


def _end_stray_guest(subject: subjects.Subject) -> None:
    here = subject.host()
    for host in subject.guest_hosts():
        if host is not here:
            hosts.ComputeHost(host).virsh('destroy', subject.id)


def _remove_stray_guest(subject: subjects.Subject) -> None:
    _end_stray_guest(subject)
    here = subject.host()
    for host in map(hosts.ComputeHost, breaking.OURS):
        if host.host is not here and host.is_up() and (
                subject.id in host.virsh('list', '--all', '--uuid')):
            host.virsh('undefine', subject.id, '--keep-nvram')
    if subject.dead is here:
        _evacuate(subject)
