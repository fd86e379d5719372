# SPDX-License-Identifier: Apache-2.0
"""What Nova means: which of its calls end a store, and which begin one.

Plain questions about an instance's states, answered by the table in which
every caller of the driver's destroy() is listed (Nova 32 to 34 alike). Nova
says destroy_disks=True also for rebuild, shelve, revert and a failed build,
and task_state deleting also where a resized server's old host is cleaned, so
neither alone means that the instance is gone.
"""
import enum

from nova.compute import task_states
from nova.compute import vm_states


class Ending(enum.Enum):
    """What a destroy() means for the store."""

    NONE = 'the instance lives on; so does its store'
    DELETED = 'the instance is being deleted; its store goes with it'
    NEVER_RAN = 'the first build failed; the store was never booted from'


def ending(*, deleted: bool, vm_state: str, task_state: str | None,
           on_this_host: bool, destroy_disks: bool) -> Ending:
    """Judge a destroy(), from the instance's states when it is called.

    Must be asked before Nova's own work: that saves the instance and so
    reads its states anew.

    :param deleted: the instance's row is deleted.
    :param on_this_host: the instance's host is this one; on any other a
        left-over is being cleaned.
    :param destroy_disks: as Nova said.
    """
    if deleted:
        return Ending.DELETED
    if not (destroy_disks and on_this_host):
        return Ending.NONE
    if task_state == task_states.DELETING:
        return Ending.DELETED
    if vm_state == vm_states.SOFT_DELETED and task_state is None:
        # Reclaimed after its grace time.
        return Ending.DELETED
    if vm_state == vm_states.BUILDING:
        return Ending.NEVER_RAN
    return Ending.NONE


#: An instance in one of these goes on elsewhere, or waits without a host.
_ON_THE_MOVE = (task_states.SHELVING, task_states.SHELVING_OFFLOADING,
                task_states.RESIZE_MIGRATING, task_states.RESIZE_REVERTING)


def leaves_host(*, task_state: str | None, on_this_host: bool) -> bool:
    """Tell whether a destroy() that ends no store takes it from this host.

    False for a hard reboot and a rebuild, which need it again at once. True
    where the instance is on another host by now: the old host of an
    evacuation, the destination of a live migration that failed.

    :param task_state: when destroy() is called.
    :param on_this_host: the instance's host is this one.
    """
    return not on_this_host or task_state in _ON_THE_MOVE


def has_left(*, task_state: str | None, on_this_host: bool) -> bool:
    """Tell whether what a host still has of a store is a left-over.

    Not while anything is going on: the destination of a move has the store
    before the instance is said to be there.
    """
    return task_state is None and not on_this_host


def begins_afresh(*, vm_state: str, task_state: str | None,
                  on_this_host: bool) -> bool:
    """Tell whether a spawn() is for a machine that starts from nothing.

    True for the first boot and for a rebuild. Evacuation arrives as a
    rebuild, too, but with the instance still on its old host.
    """
    return vm_state == vm_states.BUILDING or (
        rebuilds(task_state=task_state, on_this_host=on_this_host))


def rebuilds(*, task_state: str | None, on_this_host: bool) -> bool:
    """Tell whether a spawn() is a rebuild in place."""
    return task_state == task_states.REBUILD_SPAWNING and on_this_host


class StartKind(enum.Enum):
    """Which flash a guest is started with."""

    FOREIGN = 'no ARM machine: left to Nova'
    VOLATILE = 'a file of libvirt\'s: left to Nova'
    RESCUE = 'the rescue disk, with a scratch file of its own'
    RESUME = 'goes on from its saved memory, with its own store'
    START = 'starts from its own disk, with its own store'


def start_kind(*, arm: bool, persistent: bool, rescue_disk: bool,
               task_state: str | None) -> StartKind:
    """Judge a start by what is started.

    Not by the task alone: an instance whose rescue was cut short keeps the
    task ``rescuing``, and Nova starts its own disk when the host comes back.

    :param arm: the domain is an ARM machine.
    :param persistent: the instance has a store.
    :param rescue_disk: Nova is in its rescue().
    :param task_state: of the instance.
    """
    if not arm:
        return StartKind.FOREIGN
    if not persistent:
        return StartKind.VOLATILE
    if rescue_disk:
        return StartKind.RESCUE
    if task_state == task_states.RESUMING:
        return StartKind.RESUME
    return StartKind.START
