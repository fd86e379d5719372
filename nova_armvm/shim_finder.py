# SPDX-License-Identifier: Apache-2.0
"""Makes ``import nova.virt.armvm`` find nova_armvm.shim.

Run at the start of every interpreter by nova_armvm.pth, so it imports
nothing but what the interpreter has loaded anyway; Nova has to be the first
to import eventlet and its like.

Files below ``nova/virt/`` of our own would not do. Beside a Nova that is
installed editable (as DevStack does) a directory ``nova`` without an
``__init__.py`` makes ``import nova`` an empty namespace package: Python asks
the finder of editable packages only after it has looked at directories.
"""
import importlib.util
import os
import sys

_NAME = 'nova.virt.armvm'


class _ShimFinder:
    """Knows one module; asked after every other finder has failed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != _NAME:
            return None
        return importlib.util.spec_from_file_location(
            _NAME, os.path.join(os.path.dirname(__file__), 'shim.py'))


def install() -> None:
    """Register the finder; once is enough."""
    if _ShimFinder not in sys.meta_path:
        sys.meta_path.append(_ShimFinder)
