# SPDX-License-Identifier: Apache-2.0
"""Every way in which Nova and nova_armvm can be installed together.

Wheel or editable, for each of the two. In each environment Nova must load
the driver, still be itself, and be itself when nova_armvm is gone again.
Nova's dependencies come from the environment that runs this, by a .pth line
that is read after those of the packages under test; only nova and nova_armvm
are installed, each by pip as a user would.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
SITE = pathlib.Path(sysconfig.get_path('purelib'))

_LOADED = """
import nova, nova.virt
assert nova.__file__ and nova.__file__.endswith('__init__.py'), nova
from oslo_utils import importutils
driver = importutils.import_class('nova.virt.armvm.ArmVMLibvirtDriver')
from nova.virt import driver as base
assert issubclass(driver, base.ComputeDriver)
import nova_armvm
print(nova.__file__, nova_armvm.__file__)
"""

_GONE = """
import nova
assert nova.__file__ and nova.__file__.endswith('__init__.py'), nova
try:
    import nova.virt.armvm
except ModuleNotFoundError:
    pass
else:
    raise SystemExit('nova.virt.armvm is still there')
"""

# Nothing heavy may be loaded when an interpreter starts.
_LIGHT = """
import sys
heavy = {'nova', 'eventlet', 'oslo_config', 'lxml'} & set(sys.modules)
assert not heavy, heavy
"""


def _run(*command: str | os.PathLike, cwd: pathlib.Path) -> str:
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f'{command} failed:\n{done.stdout}{done.stderr}')
    return done.stdout


def _source(scratch: pathlib.Path) -> pathlib.Path:
    """Copy the checkout, so that building leaves nothing in it."""
    copy = scratch / 'nova_armvm'
    _run('git', 'clone', '-q', TOP, copy, cwd=scratch)
    for name in _run('git', 'ls-files', '-m', '-o', '--exclude-standard',
                     cwd=TOP).splitlines():
        if (TOP / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, copy / name)
    return copy


def _nova_tree(scratch: pathlib.Path) -> pathlib.Path:
    """Make a source tree of the installed Nova that pip can install.

    With Nova's own kind of build (pbr, packages beside setup.cfg), which is
    what decides how an editable install of it finds its modules.
    """
    tree = scratch / 'nova'
    tree.mkdir()
    shutil.copytree(SITE / 'nova', tree / 'nova',
                    ignore=shutil.ignore_patterns('tests', '__pycache__',
                                                  'locale'))
    (tree / 'setup.cfg').write_text(
        '[metadata]\nname = nova\n[files]\npackages =\n    nova\n')
    (tree / 'setup.py').write_text(
        'import setuptools\n'
        "setuptools.setup(setup_requires=['pbr'], pbr=True)\n")
    (tree / 'pyproject.toml').write_text(
        '[build-system]\nrequires = ["pbr>=6.0.0", "setuptools>=64.0.0"]\n'
        'build-backend = "setuptools.build_meta"\n')
    _run('git', 'init', '-q', cwd=tree)
    _run('git', 'add', '-A', cwd=tree)
    _run('git', '-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-q',
         '-m', 'nova', cwd=tree)
    return tree


def _environment(scratch: pathlib.Path, name: str) -> pathlib.Path:
    """Make an environment with everything but nova and nova_armvm."""
    venv = scratch / name
    _run(sys.executable, '-m', 'venv', '--without-pip', venv, cwd=scratch)
    site = next((venv / 'lib').glob('python3*')) / 'site-packages'
    dependencies = scratch / 'dependencies'
    if not dependencies.exists():
        dependencies.mkdir()
        for entry in SITE.iterdir():
            if not entry.name.lower().startswith(
                    ('nova', '__editable__', 'etc')) and (
                    entry.suffix != '.pth'):
                (dependencies / entry.name).symlink_to(entry)
    # Last in the alphabet, as everything else is to come before it.
    (site / 'zz_dependencies.pth').write_text(f'{dependencies}\n')
    return venv / 'bin' / 'python'


def _check(scratch: pathlib.Path, nova: str, ours: str,
           sources: dict[str, pathlib.Path],
           wheels: dict[str, pathlib.Path]) -> None:
    python = _environment(scratch, f'{nova}-{ours}')

    # A directory without anything that could be imported.
    here = python.parent

    def install(what: str, how: str) -> None:
        target = ([wheels[what]] if how == 'wheel' else
                  ['--no-build-isolation', '-e', sources[what]])
        _run(python, '-m', 'pip', 'install', '-q', '--no-deps', *target,
             cwd=scratch)

    install('nova', nova)
    install('nova_armvm', ours)
    _run(python, '-c', _LIGHT, cwd=here)
    where = _run(python, '-W', 'ignore', '-c', _LOADED, cwd=here)
    _run(python, '-m', 'pip', 'uninstall', '-q', '-y', 'nova-armvm',
         cwd=scratch)
    _run(python, '-W', 'ignore', '-c', _GONE, cwd=here)
    left = [path.name for path in python.parents[1].rglob('*armvm*')]
    if left:
        raise SystemExit(f'left behind: {left}')
    print(f'Nova {nova:8} nova_armvm {ours:8} ok: {where.strip()}')


def main() -> None:
    with tempfile.TemporaryDirectory() as top:
        scratch = pathlib.Path(top)
        sources = {'nova': _nova_tree(scratch),
                   'nova_armvm': _source(scratch)}
        wheels = {}
        for name, source in sources.items():
            built = scratch / f'{name}-wheel'
            _run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps',
                 '--no-build-isolation', '-w', built, source, cwd=scratch)
            wheels[name] = next(built.glob('*.whl'))
        for nova in ('wheel', 'editable'):
            for ours in ('wheel', 'editable'):
                _check(scratch, nova, ours, sources, wheels)


if __name__ == '__main__':
    main()
