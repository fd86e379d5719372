# SPDX-License-Identifier: Apache-2.0
"""``armvm-image``: look into disk images before they are trusted.

Exit status: 0 the image complies (there may be warnings), 1 it could not be
looked into, 2 wrong usage, 3 it does not comply.
"""
import argparse
import json
import logging
import sys

import prettytable

from nova_armvm import exception
from nova_armvm.image import check
from nova_armvm.image import container
from nova_armvm.image import report

NOT_COMPLIANT, FAILED = 3, 1
_MIB = 1024 * 1024


def mebibytes(text: str) -> int:
    """Read a positive number of MiB; return it in bytes.

    :raises argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no number of MiB from 1 to 1024')
    return int(text) * _MIB


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='armvm-image', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True, metavar='ACTION')
    command = actions.add_parser(
        'check', help='hold an image against the ARM VM specification',
        description='Tell for IMG-1 to IMG-5 of the VM System Specification '
                    'for ARM Processors whether an image complies. It is '
                    'neither mounted nor changed.')
    command.add_argument('file', metavar='FILE',
                         help=', '.join(container.FORMATS))
    command.add_argument('-f', '--format', choices=('table', 'json'),
                         default='table')
    command.add_argument(
        '--read-limit', type=mebibytes, default=container.READ_LIMIT,
        metavar='MIB', help='give up after so much was read (default '
        f'{container.READ_LIMIT // _MIB})')
    command.set_defaults(work=_check)
    return parser


def as_table(found: report.Report) -> str:
    """Return a report for reading."""
    table = prettytable.PrettyTable(['Id', 'Outcome', 'Reason'])
    table.align = 'l'
    for finding in found.findings:
        table.add_row([finding.id, finding.outcome.value, finding.reason])
    return table.get_string()


def _check(arguments: argparse.Namespace) -> int:
    with container.opened(arguments.file, arguments.read_limit) as image:
        found = check.check(image.disk, image.format)
    if arguments.format == 'json':
        print(json.dumps(found.as_dict(), indent=4))
    else:
        print(as_table(found))
    return 0 if found.compliant else NOT_COMPLIANT


def main() -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args()
    # What oslo.utils warns of is in our message.
    logging.getLogger('oslo_utils').setLevel(logging.CRITICAL)
    try:
        return arguments.work(arguments)
    except exception.ImageError as error:
        print(f'armvm-image: {arguments.file}: {error}', file=sys.stderr)
        return FAILED


if __name__ == '__main__':
    sys.exit(main())
