# SPDX-License-Identifier: Apache-2.0
"""A release of Nova that changes an overridden method fails here."""
from importlib import metadata
import inspect
import unittest

from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import guest as libvirt_guest
from nova.virt.libvirt import host as libvirt_host

from nova_armvm.virt import mixin

NOVA = int(metadata.version('nova').split('.')[0])
#: Methods that came after Nova 32, which never calls ours of that name.
SINCE = {'_get_existing_guest_config': 33}

#: What is passed through as it comes.
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters(function):
    return [(found.name, found.default is not inspect.Parameter.empty)
            for found in inspect.signature(function).parameters.values()
            if found.kind not in _OPEN]


class SignaturesTest(unittest.TestCase):

    def overridden(self):
        for name, function in vars(mixin.ArmVMMixin).items():
            if inspect.isfunction(function) and NOVA >= SINCE.get(name, 0):
                yield name, function

    def test_every_override_exists_in_nova(self):
        for name, _function in self.overridden():
            with self.subTest(name):
                self.assertTrue(hasattr(libvirt_driver.LibvirtDriver, name))

    def test_overrides_take_what_nova_passes(self):
        for name, function in self.overridden():
            theirs = parameters(getattr(libvirt_driver.LibvirtDriver, name))
            ours = parameters(function)
            with self.subTest(name):
                self.assertEqual(theirs[:len(ours)], ours)
                if len(theirs) > len(ours):
                    self.assertIn('kwargs',
                                  inspect.signature(function).parameters)

    def test_what_else_is_called_exists(self):
        for owner, name, wanted in (
                (libvirt_driver.LibvirtDriver, '_get_volume_driver',
                 ['self', 'connection_info']),
                (libvirt_driver.LibvirtDriver, 'get_volume_connector',
                 ['self', 'instance']),
                (libvirt_host.Host, 'write_instance_config', ['self', 'xml']),
                (libvirt_guest.Guest, 'delete_configuration',
                 ['self', 'keep_vtpm', 'keep_nvram'])):
            with self.subTest(name):
                self.assertEqual(wanted, [
                    found for found, _default in
                    parameters(getattr(owner, name))])
