# SPDX-License-Identifier: Apache-2.0
"""The variable store of an instance and the volume that it lies on.

Imports Nova's client of Cinder, its privilege separation and os-brick, but
neither Nova's drivers nor nova_armvm.virt.
"""
