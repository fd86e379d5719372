# SPDX-License-Identifier: Apache-2.0
"""What an image asks for, and the guest XML that follows from it.

Pure: imports neither Nova nor libvirt nor Cinder; values and XML text in,
values and XML text out.
"""
