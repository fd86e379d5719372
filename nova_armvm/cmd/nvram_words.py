# SPDX-License-Identifier: Apache-2.0
"""Words on the command line that stand for parts of a variable."""
import argparse
import re
import uuid

from nova_armvm.uefi import boot

#: Vendors that one need not know by heart.
VENDORS = {
    'global': boot.GLOBAL,
    'security': uuid.UUID('d719b2cb-3d3a-4596-a3bc-dad00e67656f'),
    'loader': uuid.UUID('4a67b082-0a4c-41cf-b6c7-440b29bb8c4f'),
}


def vendor(name: str) -> uuid.UUID:
    """Read a vendor: a GUID, or one of VENDORS.

    :raises argparse.ArgumentTypeError: it is none.
    """
    try:
        return VENDORS.get(name) or uuid.UUID(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{name!r} is neither a GUID nor one of '
            f'{", ".join(VENDORS)}') from error


def boot_number(word: str) -> int:
    """Read the #### of a Boot#### variable, hexadecimal.

    :raises argparse.ArgumentTypeError: it is none.
    """
    found = re.fullmatch('(?:Boot)?([0-9A-Fa-f]{1,4})', word)
    if found is None:
        raise argparse.ArgumentTypeError(
            f'{word!r} is no boot option; give its four hexadecimal digits, '
            'as in 0003')
    return int(found[1], 16)


def boot_numbers(words: str) -> list[int]:
    """Read boot options with commas between them; see boot_number().

    :raises argparse.ArgumentTypeError: one is none, or is there twice.
    """
    numbers = [boot_number(word) for word in words.split(',')]
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(
            f'{words!r} has a boot option twice')
    return numbers


def version(word: str) -> int:
    """Read the number of a version.

    :raises argparse.ArgumentTypeError: if it is none.
    """
    number = count(word)
    if not number:
        raise argparse.ArgumentTypeError('versions are counted from 1')
    return number


def count(word: str) -> int:
    """Read a number of things.

    :raises argparse.ArgumentTypeError: if it is none.
    """
    if re.fullmatch('[0-9]{1,9}', word) is None:
        raise argparse.ArgumentTypeError(f'{word!r} is no number')
    return int(word)


def hexadecimal(word: str) -> bytes:
    """Read bytes.

    :raises argparse.ArgumentTypeError: they are none.
    """
    try:
        return bytes.fromhex(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{word!r} is not hexadecimal') from error


def attributes(word: str) -> int:
    """Read attributes as a number, hexadecimal with 0x.

    :raises argparse.ArgumentTypeError: they are none.
    """
    try:
        return int(word, 0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{word!r} is no number') from error
