# SPDX-License-Identifier: Apache-2.0
"""The flash service: NBD from QEMU in, whole variable stores out.

A process of its own, one per compute host (armvm-nvramd). Imports
nova_armvm.uefi and nova_armvm.host; never Nova's services or libvirt.
"""
