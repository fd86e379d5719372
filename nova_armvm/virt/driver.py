# SPDX-License-Identifier: Apache-2.0
"""The compute driver: ``compute_driver = armvm.ArmVMLibvirtDriver``."""
from nova.virt.libvirt import driver as libvirt_driver

from nova_armvm.virt import mixin


class ArmVMLibvirtDriver(mixin.ArmVMMixin, libvirt_driver.LibvirtDriver):
    """Nova's libvirt driver for ARM guests with persistent variables."""
