# SPDX-License-Identifier: Apache-2.0
"""UEFI variable stores as bytes: read, edit, import and export.

Pure: needs neither Nova nor Cinder nor libvirt, and imports nothing of
nova_armvm but its errors.
"""
