# SPDX-License-Identifier: Apache-2.0
import json
import unittest
from unittest import mock

from nova_armvm import exception
from nova_armvm.virt import boot_order

XML = """
<domain><devices>
  <disk><alias name="virtio-disk0"/></disk>
  <disk><alias name="virtio-disk1"/></disk>
  <interface><alias name="net0"/></interface>
</devices></domain>
"""


class FakeMonitor:
    """QEMU's monitor: keeps the bootindex of each device."""

    def __init__(self, indexes, error=None):
        self.indexes = indexes
        self.error = error

    def qemuMonitorCommand(self, domain, text, flags):
        command = json.loads(text)
        assert command['execute'] == 'qom-set'
        wanted = command['arguments']
        alias = wanted['path'].removeprefix('/machine/peripheral/')
        if self.error:
            return json.dumps({'error': {'desc': self.error}})
        if alias not in self.indexes:
            return json.dumps({'error': {
                'desc': "Property 'x.bootindex' not found"}})
        self.indexes[alias] = wanted['value']
        return json.dumps({'return': {}})


class FakeGuest:
    uuid = 'u'
    _domain = object()

    def get_xml_desc(self):
        return XML


class WithdrawTest(unittest.TestCase):

    def withdraw(self, monitor):
        with mock.patch.object(boot_order, 'libvirt_qemu', monitor):
            boot_order.withdraw(FakeGuest())

    def test_no_device_keeps_an_index(self):
        indexes = {'virtio-disk0': 1, 'virtio-disk1': 2, 'net0': 3}
        self.withdraw(FakeMonitor(indexes))
        self.assertEqual({-1}, set(indexes.values()))

    def test_device_that_cannot_have_one_is_passed_over(self):
        indexes = {'virtio-disk0': 1}
        self.withdraw(FakeMonitor(indexes))
        self.assertEqual({'virtio-disk0': -1}, indexes)

    def test_refusal_is_an_error(self):
        self.assertRaises(
            exception.GuestBootOrderStuck, self.withdraw,
            FakeMonitor({}, 'The monitor is locked'))


class TextTest(unittest.TestCase):

    def test_paths_survive_the_volumes_metadata(self):
        paths = (((1, 2), (0, 0)), ((0x1f, 7),))
        self.assertEqual('1.2/0.0 1f.7', boot_order.to_text(paths))
        self.assertEqual(paths, boot_order.from_text('1.2/0.0 1f.7'))

    def test_nothing_offered_is_an_empty_text(self):
        self.assertEqual('', boot_order.to_text(()))
        self.assertEqual((), boot_order.from_text(''))

    def test_what_somebody_else_wrote_counts_as_nothing(self):
        self.assertEqual((), boot_order.from_text('first disk'))
