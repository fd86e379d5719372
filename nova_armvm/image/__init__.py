# SPDX-License-Identifier: Apache-2.0
"""What an image is: container, partitions, file system, boot program.

Images are hostile input: every read is bounded, nothing is mounted, no other
program is run. Imports nothing of nova_armvm but its errors.
"""
