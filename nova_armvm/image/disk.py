# SPDX-License-Identifier: Apache-2.0
"""What the looks into an image are made through."""
import typing as ty


class Disk(ty.Protocol):
    """A disk as a virtual machine would see it.

    :ivar size: in bytes.
    """

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly so many bytes.

        :param offset: in bytes from the beginning.
        :param length: in bytes.
        :raises ImageInvalid: there are not so many, or what describes them
            is broken.
        :raises ImageTooCostly: more would have been read from the image
            than is allowed.
        """
