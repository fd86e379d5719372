# SPDX-License-Identifier: Apache-2.0
"""A rewrite of the store that the loss of the host cut short."""
import gzip
import os
import pathlib
import shutil
import tempfile
import unittest

from nova_armvm.nvram import qcow2
from nova_armvm.nvram import seed
from nova_armvm.nvram import store
from nova_armvm.uefi import ftw
from nova_armvm.uefi import varstore
from tests.unit.nvram import test_seed

FLASH = pathlib.Path(__file__).parents[1] / 'uefi' / 'flash'


@unittest.skipUnless(shutil.which('qemu-img'), 'needs qemu-img')
class FinishRewriteTest(unittest.TestCase):

    def setUp(self):
        with gzip.open(FLASH / 'interrupted.gz') as stream:
            interrupted = stream.read()
        flash = bytearray(b'\xff' * ftw.BLOCK_SIZE +
                          interrupted[ftw.BLOCK_SIZE:])
        # Something to be written in each cluster, behind the variables.
        for cluster in range(1, 4):
            at = 2 * ftw.BLOCK_SIZE + cluster * seed.CLUSTER_SIZE + 0x8000
            flash[at:at + 16] = bytes(16)
        self.flash = bytes(flash)
        self.wanted = varstore.parse(self.flash).variables
        self.volume = self.volume_with(self.flash)

    def volume_with(self, flash, writes=None):
        with tempfile.TemporaryDirectory() as scratch:
            template = os.path.join(scratch, 'VARS.fd')
            with open(template, 'wb') as stream:
                stream.write(flash)
            made = seed.SeedBuilder(scratch).seed_for(template, 'raw')
        volume = test_seed.MemoryVolume()
        seed.write(made, volume)
        volume.writes_left = writes
        return volume

    def read(self, volume):
        return qcow2.Qcow2Reader(volume.read_at).read(0, varstore.READ_SIZE)

    def finish(self, volume):
        store.finish_rewrite(self.read(volume),
                             qcow2.Qcow2Reader(volume.read_at), volume)

    def test_variables_are_in_the_store_again(self):
        self.finish(self.volume)
        found = varstore.parse(self.read(self.volume))
        self.assertEqual(self.wanted, found.variables)
        self.assertFalse(found.erased)

    def test_copy_in_the_spare_area_stays(self):
        self.finish(self.volume)
        self.assertEqual(self.flash[ftw.BLOCK_SIZE:],
                         self.read(self.volume)[ftw.BLOCK_SIZE:])

    def test_death_at_any_write_loses_nothing(self):
        clusters = ftw.BLOCK_SIZE // seed.CLUSTER_SIZE
        for writes in range(clusters):
            with self.subTest(writes):
                volume = self.volume_with(self.flash, writes)
                self.assertRaises(OSError, self.finish, volume)
                volume.writes_left = None
                self.finish(volume)
                self.assertEqual(self.wanted, varstore.parse(
                    self.read(volume)).variables)
