# SPDX-License-Identifier: Apache-2.0
"""Builds with pbr; adds nova_armvm.pth beside the package.

The line in that file makes ``nova.virt.armvm`` importable wherever Nova
itself is installed (see nova_armvm.shim_finder).
"""
import os

import setuptools
from setuptools.command import build_py
from setuptools.command import editable_wheel

PTH = 'nova_armvm.pth'


class BuildWithPth(build_py.build_py):
    """Puts the .pth file into the root of a wheel."""

    def run(self):
        super().run()
        if not self.editable_mode:
            self.copy_file(PTH, os.path.join(self.build_lib, PTH))


class EditableWithPth(editable_wheel.editable_wheel):
    """Puts the .pth file into the root of an editable wheel."""

    def _select_strategy(self, *args, **kwargs):
        strategy = super()._select_strategy(*args, **kwargs)

        class WithPth(type(strategy)):
            def __call__(self, wheel, files, mapping):
                super().__call__(wheel, files, mapping)
                with open(PTH, encoding='utf-8') as stream:
                    wheel.writestr(PTH, stream.read())

        strategy.__class__ = WithPth
        return strategy


class Distribution(setuptools.Distribution):
    """Uses the two commands above; pbr replaces a ``cmdclass`` (pbr 7)."""

    OWN = {'build_py': BuildWithPth, 'editable_wheel': EditableWithPth}

    def get_command_class(self, command):
        return self.OWN.get(command) or super().get_command_class(command)


setuptools.setup(setup_requires=['pbr>=6.0'], pbr=True,
                 distclass=Distribution)
