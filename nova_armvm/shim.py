# SPDX-License-Identifier: Apache-2.0
"""What Nova finds as ``nova.virt.armvm``.

Nova loads compute drivers from below ``nova.virt`` only; this module holds
nothing but the name. nova_armvm.shim_finder puts it there.
"""
from nova_armvm.virt.driver import ArmVMLibvirtDriver

__all__ = ['ArmVMLibvirtDriver']
