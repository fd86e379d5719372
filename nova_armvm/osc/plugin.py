# SPDX-License-Identifier: Apache-2.0
"""What OpenStackClient asks of a plugin (``openstack.cli.extension``).

The commands have no API of their own: they use Glance's.
"""
import argparse
import typing as ty

DEFAULT_API_VERSION = '1'
API_VERSION_OPTION = 'os_armvm_api_version'
API_NAME = 'armvm'
API_VERSIONS = ('1',)


def make_client(instance: ty.Any) -> None:
    """Return the client of the API that there is not."""


def build_option_parser(parser: argparse.ArgumentParser
                        ) -> argparse.ArgumentParser:
    """Return the parser of global options, to which nothing is added."""
    return parser
