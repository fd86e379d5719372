# SPDX-License-Identifier: Apache-2.0
"""The errors of the flash service.

Each class goes to the client by its name (nova_armvm.host.flash_protocol),
so the names are part of the protocol.
"""


class FlashError(Exception):
    """Base of all errors that a client is told by name."""


class Invalid(FlashError):
    """A request is malformed or makes no sense."""


class Incompatible(FlashError):
    """A log was written by a newer service, or for another flash."""


class NotOpen(FlashError):
    """The volume of the instance is not open here."""


class NotServed(FlashError):
    """The flash of the instance is not served here."""


class AlreadyServed(FlashError):
    """The flash of the instance is served, which forbids the request."""


class Busy(FlashError):
    """QEMU is connected to the flash, which forbids the request."""


class NotALog(FlashError):
    """The volume holds no log of versions."""


class ForeignLog(FlashError):
    """The volume holds the log of another instance, or another log."""


class Fenced(FlashError):
    """Another host has taken the store over."""


class VolumeFailed(FlashError):
    """The volume cannot be opened, read or written."""


class VersionUnknown(FlashError):
    """The log has no such version."""


class StaleSequence(FlashError):
    """The log has another newest version than the client expects."""
