# SPDX-License-Identifier: Apache-2.0
"""This compute host: its volumes, records, firmware and flash service.

Stands below nova_armvm.store and the driver and imports neither.
"""
