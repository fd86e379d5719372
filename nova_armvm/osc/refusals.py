# SPDX-License-Identifier: Apache-2.0
"""Errors as OpenStackClient prints them, in one line."""
from collections.abc import Iterator
import contextlib

from keystoneauth1 import exceptions as keystone_errors
from osc_lib import exceptions

from nova_armvm import exception


@contextlib.contextmanager
def of_ours() -> Iterator[None]:
    """Translate our own errors."""
    try:
        yield
    except exception.ArmVMError as error:
        raise exceptions.CommandError(str(error)) from error


@contextlib.contextmanager
def of_glance() -> Iterator[None]:
    """Translate what Glance says."""
    try:
        yield
    except keystone_errors.ClientException as error:
        raise exceptions.CommandError(f'Glance refuses: {error}') from error
