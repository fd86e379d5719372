# SPDX-License-Identifier: Apache-2.0
"""The NVRAM of one instance: its Cinder volume, attachment and content.

The only room that talks to Cinder. Imports nova_armvm.host and
nova_armvm.uefi, but neither the driver nor the commands.
"""
