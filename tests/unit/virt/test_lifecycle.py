# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_armvm.virt import lifecycle

Ending = lifecycle.Ending


class EndingTest(unittest.TestCase):
    """Every caller of destroy() in Nova 32 to 34."""

    def judge(self, vm_state, task_state, deleted=False, here=True,
              disks=True):
        return lifecycle.ending(
            deleted=deleted, vm_state=vm_state, task_state=task_state,
            on_this_host=here, destroy_disks=disks)

    def test_delete_ends_the_store_in_any_state(self):
        for vm_state in ('active', 'stopped', 'error', 'building', 'paused',
                         'suspended', 'rescued', 'shelved', 'soft-delete'):
            with self.subTest(vm_state):
                self.assertIs(Ending.DELETED,
                              self.judge(vm_state, 'deleting'))

    def test_reclaim_of_a_soft_deleted_server_ends_the_store(self):
        self.assertIs(Ending.DELETED, self.judge('soft-delete', None))

    def test_reap_of_a_deleted_server_ends_the_store_on_any_host(self):
        for here in (True, False):
            self.assertIs(Ending.DELETED, self.judge(
                'active', None, deleted=True, here=here))

    def test_failed_first_build_takes_back_the_store(self):
        self.assertIs(Ending.NEVER_RAN, self.judge('building', 'spawning'))

    def test_rebuild_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge('active', 'rebuilding'))

    def test_shelve_offload_keeps_the_store(self):
        for task_state in ('shelving', 'shelving_offloading'):
            self.assertIs(Ending.NONE, self.judge('shelved', task_state))

    def test_revert_of_a_resize_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge('resized', 'resize_reverting'))

    def test_hard_reboot_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge(
            'active', 'reboot_started_hard', disks=False))

    def test_hard_reboot_of_a_server_being_deleted_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge(
            'active', 'deleting', disks=False))

    def test_returning_source_of_an_evacuation_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge('active', None, here=False))

    def test_old_host_of_a_server_being_deleted_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge('resized', 'deleting',
                                              here=False))

    def test_rolled_back_live_migration_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge('active', 'migrating',
                                              here=False))

    def test_failed_unshelve_keeps_the_store(self):
        self.assertIs(Ending.NONE, self.judge('shelved_offloaded',
                                              'spawning'))


class BeginsAfreshTest(unittest.TestCase):

    def begins(self, vm_state, task_state, here=True):
        return lifecycle.begins_afresh(
            vm_state=vm_state, task_state=task_state, on_this_host=here)

    def test_first_boot_begins_afresh(self):
        self.assertTrue(self.begins('building', 'spawning'))

    def test_rebuild_begins_afresh(self):
        self.assertTrue(self.begins('active', 'rebuild_spawning'))

    def test_evacuation_does_not(self):
        self.assertFalse(self.begins('active', 'rebuild_spawning',
                                     here=False))

    def test_unshelve_does_not(self):
        self.assertFalse(self.begins('shelved_offloaded', 'spawning'))


class LeavesHostTest(unittest.TestCase):
    """Of a destroy() that ends no store."""

    def judge(self, task_state, here=True):
        return lifecycle.leaves_host(task_state=task_state,
                                     on_this_host=here)

    def test_hard_reboot_and_start_stay(self):
        for task_state in ('rebooting_hard', 'reboot_started_hard',
                           'powering-on', 'restoring', None):
            with self.subTest(task_state):
                self.assertFalse(self.judge(task_state))

    def test_rebuild_stays(self):
        self.assertFalse(self.judge('rebuilding'))

    def test_shelve_leaves(self):
        for task_state in ('shelving', 'shelving_offloading'):
            with self.subTest(task_state):
                self.assertTrue(self.judge(task_state))

    def test_destination_of_a_reverted_resize_leaves(self):
        self.assertTrue(self.judge('resize_reverting'))

    def test_source_of_a_resize_to_another_cell_leaves(self):
        self.assertTrue(self.judge('resize_migrating'))

    def test_destination_of_a_failed_live_migration_leaves(self):
        self.assertTrue(self.judge('migrating', here=False))

    def test_returning_source_of_an_evacuation_leaves(self):
        self.assertTrue(self.judge(None, here=False))


class HasLeftTest(unittest.TestCase):

    def test_instance_at_rest_elsewhere_has_left(self):
        self.assertTrue(lifecycle.has_left(task_state=None,
                                           on_this_host=False))

    def test_instance_here_has_not(self):
        self.assertFalse(lifecycle.has_left(task_state=None,
                                            on_this_host=True))

    def test_instance_in_motion_may_be_on_its_way_here(self):
        for task_state in ('migrating', 'rebuild_spawning', 'resize_finish'):
            with self.subTest(task_state):
                self.assertFalse(lifecycle.has_left(task_state=task_state,
                                                    on_this_host=False))


class StartKindTest(unittest.TestCase):

    def kind(self, arm=True, persistent=True, rescue_disk=False,
             task_state=None):
        return lifecycle.start_kind(
            arm=arm, persistent=persistent, rescue_disk=rescue_disk,
            task_state=task_state)

    def test_machine_of_another_architecture_is_left_to_nova(self):
        self.assertIs(lifecycle.StartKind.FOREIGN, self.kind(arm=False))

    def test_volatile_variables_are_left_to_nova(self):
        self.assertIs(lifecycle.StartKind.VOLATILE,
                      self.kind(persistent=False, rescue_disk=True))

    def test_rescue_disk_gets_a_scratch_store(self):
        self.assertIs(lifecycle.StartKind.RESCUE,
                      self.kind(rescue_disk=True, task_state='rescuing'))

    def test_own_disk_gets_its_own_store_whatever_the_task_says(self):
        for task in ('rescuing', 'unrescuing', 'powering-on', None):
            self.assertIs(lifecycle.StartKind.START,
                          self.kind(task_state=task))

    def test_saved_memory_brings_its_flash_along(self):
        self.assertIs(lifecycle.StartKind.RESUME,
                      self.kind(task_state='resuming'))
