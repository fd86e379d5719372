# SPDX-License-Identifier: Apache-2.0
"""Short words for what tests do with a log."""
from nova_armvm.nvramd import slots

INSTANCE = '6f70656e-7374-4163-8b21-000000000001'
FLASH = 64 * 1024 * 1024
LARGEST = 256 * 1024
#: Lanes of so many bytes make what is tried thousands of times faster.
SHORT_LANE = 32 * 1024


def made(volume, content=b'first', instance=INSTANCE):
    return slots.Log.format(volume, instance, FLASH, content, 'first-boot', 1)


def opened(volume):
    return slots.Log.open(volume, INSTANCE)


def append(log, epoch, content):
    return log.append(epoch, 'guest', FLASH, content, 2)


def newest(volume):
    log = opened(volume)
    return log.read(log.newest)


def contents(volume):
    """Return all that counts, newest first."""
    log = opened(volume)
    return [log.read(version) for version in log.versions()]
