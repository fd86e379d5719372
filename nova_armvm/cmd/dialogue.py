# SPDX-License-Identifier: Apache-2.0
"""How operators' commands talk: their exit statuses and what they ask."""
import argparse
import sys

from nova_armvm.uefi import text

#: Exit statuses; argparse ends with 2 for wrong usage.
DONE, FAILED, FOUND = 0, 1, 3

_MESSAGE_MAX = 4000


def say(words: str) -> None:
    """Tell something beside the output proper."""
    print(text.printable(words, _MESSAGE_MAX), file=sys.stderr, flush=True)


def complain(program: str, words: object) -> None:
    """Tell why nothing comes of it.

    Much of it may have been written by a guest, a tenant or another service.
    """
    say(f'{program}: {words}')


def agreed(arguments: argparse.Namespace, question: str) -> bool:
    """Ask, unless --yes was given; say so when nothing is done."""
    if arguments.yes:
        return True
    print(f'{text.printable(question, _MESSAGE_MAX)} [y/N] ', end='',
          file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ('y', 'yes'):
        return True
    say('Nothing was changed.')
    return False
