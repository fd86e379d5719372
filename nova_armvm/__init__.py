# SPDX-License-Identifier: Apache-2.0
"""ARM virtual machines on OpenStack whose UEFI variables stay.

Imports nothing: it is loaded at the start of every Python process of an
environment that it is installed in (see nova_armvm.shim_finder).
"""
