# SPDX-License-Identifier: Apache-2.0
"""What a volume remembers of a store."""
import unittest

from nova_armvm.store import metadata


class StoreMetadataTest(unittest.TestCase):

    def test_volume_of_the_first_release_can_be_read(self):
        found = metadata.StoreMetadata.from_cinder({
            'armvm_instance': 'uuid', 'armvm_project': 'project',
            'armvm_flash_size': '67108864', 'armvm_firmware': '60-edk2.json',
            'armvm_template_sha256': 'abc', 'armvm_secure_boot': 'False',
            'armvm_boot_offered': '1.0', 'armvm_swollen': 'True',
            'armvm_changing': 'mark', 'armvm_previous': 'snapshot',
            'armvm_reset': 'True'})
        self.assertEqual(metadata.StoreMetadata(
            instance='uuid', project='project', flash_size=67108864,
            firmware='60-edk2.json', template_sha256='abc',
            secure_boot=False, boot_offered='1.0', reset_pending=True,
            old_change=True, old_snapshot='snapshot'), found)

    def test_new_volume_knows_nothing_yet(self):
        found = metadata.StoreMetadata.from_cinder({'armvm_instance': 'u'})
        self.assertEqual(metadata.StoreMetadata('u'), found)

    def test_nonsense_counts_as_unknown(self):
        found = metadata.StoreMetadata.from_cinder({
            'armvm_instance': 'u', 'armvm_flash_size': 'many',
            'armvm_secure_boot': 'perhaps', 'armvm_hardware': 'x y=1'})
        self.assertEqual((None, None, {'y': '1'}), (
            found.flash_size, found.secure_boot, dict(found.hardware)))

    def test_change_that_ended_is_none(self):
        found = metadata.StoreMetadata.from_cinder({
            'armvm_instance': 'u', 'armvm_changing': 'False'})
        self.assertFalse(found.old_change)

    def test_hardware_is_read_as_it_was_written(self):
        decided = {'nvram': 'persistent', 'gic_version': '3',
                   'console': 'pl011+virtio',
                   'nvram_template': '1b7e6f1c-0a52-4d4e-9a8e-6a0c6b6f2f11'}
        text = metadata.hardware_to_text(decided)
        self.assertEqual(decided, metadata.hardware_from_text(text))
        # Cinder takes no longer value.
        self.assertLessEqual(len(text), 255)
