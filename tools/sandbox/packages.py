# SPDX-License-Identifier: Apache-2.0
"""What is installed: Debian's packages and a virtual environment."""
from concurrent import futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from tools.sandbox import config
from tools.sandbox import process
from tools.sandbox import progress

REQUIREMENTS = pathlib.Path(__file__).with_name('requirements.txt')

_APT = ('apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=600')
_BACKPORTS = pathlib.Path(
    '/etc/apt/sources.list.d/armvm-sandbox-backports.list')

PACKAGES = (
    'mariadb-server', 'rabbitmq-server', 'memcached', 'ceph-mon', 'ceph-mgr',
    'ceph-osd', 'ceph-common', 'python3-rbd', 'python3-rados',
    'qemu-efi-aarch64', 'python3-venv', 'python3-dev', 'gcc', 'libc6-dev',
    'pkg-config', 'gdisk', 'dosfstools', 'mtools', 'cpio', 'xz-utils',
    'grub-common', 'kmod', 'iproute2', 'util-linux',
)
FROM_BACKPORTS = (
    'qemu-system-arm', 'qemu-utils', 'qemu-block-extra',
    'libvirt-daemon-system', 'libvirt-daemon-driver-qemu', 'libvirt-clients',
    'libvirt-dev',
)


def install() -> None:
    """Install what is missing; apt and pip side by side."""
    with progress.step('packages'):
        _ensure_python_venv()
        with futures.ThreadPoolExecutor() as pool:
            debian = pool.submit(_install_debian)
            python = pool.submit(_install_python)
            debian.result()
            python.result()
        # These are compiled, with what apt has brought.
        _pip_if_missing('libvirt', 'libvirt-python==11.3.0')
        _pip_if_missing('uwsgidecorators', 'uWSGI==2.0.31')
        _link_ceph_bindings()
    _install_project()


def _ensure_python_venv() -> None:
    if subprocess.run(['python3', '-c', 'import ensurepip'],
                      capture_output=True).returncode:
        process.run(*_APT, 'update', log='apt')
        process.run(*_APT, 'install', '--no-install-recommends',
                    'python3-venv', log='apt')


def _missing(packages: tuple[str, ...]) -> list[str]:
    done = subprocess.run(
        ['dpkg-query', '-W', '-f', '${Package} ${Status}\n', *packages],
        capture_output=True, text=True)
    there = {line.split()[0] for line in done.stdout.splitlines()
             if line.endswith(' install ok installed')}
    return [package for package in packages if package not in there]


def _install_debian() -> None:
    environment = {'DEBIAN_FRONTEND': 'noninteractive'}
    plain, newer = _missing(PACKAGES), _missing(FROM_BACKPORTS)
    if not plain and not newer:
        return
    _configure_backports()
    process.run(*_APT, 'update', log='apt')
    with _no_service_starts():
        process.run(*_APT, 'install', '--no-install-recommends', *plain,
                    *(f'{name}/bookworm-backports' for name in newer),
                    '-t', 'bookworm-backports' if newer else 'bookworm',
                    log='apt', environment=environment)


class _no_service_starts:
    """Keeps Debian's packages from starting services of their own."""

    path = pathlib.Path('/usr/sbin/policy-rc.d')

    def __enter__(self) -> None:
        self.ours = not self.path.exists()
        if self.ours:
            self.path.write_text('#!/bin/sh\nexit 101\n')
            self.path.chmod(0o755)

    def __exit__(self, *error: object) -> None:
        if self.ours:
            self.path.unlink()


def _configure_backports() -> None:
    """Add backports from wherever this machine gets bookworm."""
    texts = [path.read_text() for path in (
        *pathlib.Path('/etc/apt').glob('sources.list'),
        *pathlib.Path('/etc/apt/sources.list.d').glob('*.list'),
        *pathlib.Path('/etc/apt/sources.list.d').glob('*.sources'))]
    everything = '\n'.join(texts)
    if re.search(r'^[^#\n]*bookworm-backports', everything, re.MULTILINE):
        return
    found = re.search(
        r'^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S+?/debian/?)\s',
        everything + '\n', re.MULTILINE)
    if not found:
        raise process.SandboxError(
            'no Debian bookworm source is configured on this machine')
    _BACKPORTS.write_text(
        f'deb {found.group(1)} bookworm-backports main\n')


def _pip(*arguments: str) -> None:
    process.run(config.BIN / 'python', '-m', 'pip', 'install', '-q',
                '--disable-pip-version-check', *arguments, log='pip')


def _install_python() -> None:
    stamp = config.VENV / '.requirements'
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not (config.BIN / 'python').exists():
        process.run('python3', '-m', 'venv', config.VENV, log='pip')
    _pip('-r', os.fspath(REQUIREMENTS))
    stamp.write_text(wanted)


def _pip_if_missing(module: str, requirement: str) -> None:
    if subprocess.run([config.BIN / 'python', '-c', f'import {module}'],
                      capture_output=True).returncode:
        _pip(requirement)


def _link_ceph_bindings() -> None:
    """Make Debian's librados and librbd modules importable, and only them.

    They are built for the same CPython 3.11; the directory that they are in
    holds Debian's older OpenStack libraries as well.
    """
    site = next((config.VENV / 'lib').glob('python3.11')) / 'site-packages'
    for module in ('rados', 'rbd'):
        name = f'{module}.cpython-311-x86_64-linux-gnu.so'
        link = site / name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(f'/usr/lib/python3/dist-packages/{name}')


def _install_project() -> None:
    """Install nova_armvm as an operator would, when it has changed."""
    with progress.step('nova_armvm'):
        stamp = config.VENV / '.nova_armvm'
        digest = hashlib.sha256()
        for name in ('nova_armvm', 'setup.cfg', 'setup.py',
                     'pyproject.toml', 'requirements.txt'):
            top = config.CHECKOUT / name
            for path in sorted(top.rglob('*.py')) if top.is_dir() else [top]:
                digest.update(path.read_bytes())
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        # From a copy: building leaves files beside the sources.
        scratch = config.STATE / 'build'
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(
            config.CHECKOUT, scratch, ignore=shutil.ignore_patterns(
                '.venv', '.tox', '.stestr', '__pycache__', 'build'))
        _pip('--no-deps', '--force-reinstall', os.fspath(scratch))
        shutil.rmtree(scratch)
        stamp.write_text(digest.hexdigest())
