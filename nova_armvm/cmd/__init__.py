# SPDX-License-Identifier: Apache-2.0
"""What operators call: parses, asks, prints.

Imports everything below it and nothing of nova_armvm.virt.
"""
