# SPDX-License-Identifier: Apache-2.0
"""The driver: where Nova calls, and where the rest is put to work.

May import Nova's libvirt driver and everything else of this package; nothing
else of this package imports it, but the shim nova.virt.armvm.
"""
