# SPDX-License-Identifier: Apache-2.0
"""What is installed: Debian's packages and a virtual environment."""
from concurrent import futures
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from tools.sandbox import apt_sources
from tools.sandbox import config
from tools.sandbox import process
from tools.sandbox import progress

_HERE = pathlib.Path(__file__).parent
REQUIREMENTS = _HERE / 'requirements.txt'
#: What these need in turn, as it was when the sandbox was last tried.
CONSTRAINTS = _HERE / 'constraints.txt'
#: Built from source, so they wait for Debian's compiler and headers.
_BUILT = ('uWSGI', 'libvirt-python')

_APT = ('apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=600')
_BACKPORTS = pathlib.Path(
    '/etc/apt/sources.list.d/armvm-sandbox-backports.list')
_SITE = config.VENV / 'lib' / 'python3.11' / 'site-packages'
_DIST_PACKAGES = pathlib.Path('/usr/lib/python3/dist-packages')

PACKAGES = (
    'mariadb-server', 'rabbitmq-server', 'memcached', 'ceph-mon', 'ceph-mgr',
    'ceph-osd', 'ceph-common', 'python3-rbd', 'python3-rados',
    'qemu-efi-aarch64', 'qemu-efi-arm', 'python3-venv', 'python3-dev', 'gcc',
    'libc6-dev',
    'pkg-config', 'gdisk', 'dosfstools', 'mtools', 'cpio', 'xz-utils',
    'grub-common', 'kmod', 'iproute2', 'util-linux', 'openssh-server',
    'openssh-client', 'openssl', 'sbsigntool',
    # Of the flash service; nbdkit has Debian's own Python in it.
    'nbdkit', 'nbdkit-plugin-python', 'python3-zstandard',
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
        _build_python()
        _link_ceph_bindings()
        _announce_port_driver()
    _install_project()


def _interpreter() -> str:
    """Return a Python for which Debian's Ceph bindings were built."""
    return (sys.executable if sys.version_info[:2] == (3, 11)
            else '/usr/bin/python3')


def _ensure_python_venv() -> None:
    if subprocess.run([_interpreter(), '-c', 'import ensurepip'],
                      capture_output=True).returncode:
        process.run(*_APT, 'update', log='apt')
        process.run(*_APT, 'install', '--no-install-recommends',
                    'python3-venv', log='apt')


def _missing(packages: tuple[str, ...], version: str = '') -> list[str]:
    """Return the packages that are not there with a text in the version."""
    done = subprocess.run(
        ['dpkg-query', '-W', '-f', '${Package} ${Version} ${Status}\n',
         *packages], capture_output=True, text=True)
    there = {line.split()[0] for line in done.stdout.splitlines()
             if line.endswith(' install ok installed') and
             version in line.split()[1]}
    return [package for package in packages if package not in there]


def _install_debian() -> None:
    environment = {'DEBIAN_FRONTEND': 'noninteractive'}
    plain, newer = _missing(PACKAGES), _missing(FROM_BACKPORTS, '~bpo12')
    if not plain and not newer:
        return
    # For a run that was cut short.
    process.run('dpkg', '--configure', '-a', log='apt',
                environment=environment)
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
    text = '#!/bin/sh\n# of the ARM VM sandbox, while it installs\nexit 101\n'

    def __enter__(self) -> None:
        self.ours = (not self.path.exists() or
                     self.path.read_text() == self.text)
        if self.ours:
            self.path.write_text(self.text)
            self.path.chmod(0o755)

    def __exit__(self, *error: object) -> None:
        if self.ours:
            self.path.unlink()


def _configure_backports() -> None:
    """Add backports from wherever this machine gets bookworm."""
    known = apt_sources.configured()
    if any('bookworm-backports' in source.suites for source in known):
        return
    _BACKPORTS.write_text(apt_sources.line(apt_sources.bookworm(),
                                           'bookworm-backports'))


def _pip(*arguments: str) -> None:
    process.run(config.BIN / 'python', '-m', 'pip', 'install', '-q',
                '--disable-pip-version-check', *arguments, log='pip')


def _install_python() -> None:
    """Install what comes as wheels, which needs no compiler."""
    if _stamp('requirements').exists():
        return
    if not (config.BIN / 'pip').exists():
        process.run(_interpreter(), '-m', 'venv', config.VENV, log='pip')
    lines = REQUIREMENTS.read_text().splitlines()
    _pip('-c', os.fspath(CONSTRAINTS),
         *(line for line in lines if line and not line.startswith('#')))
    _stamp('requirements').touch()


def _build_python() -> None:
    """Install what has to be compiled."""
    if _stamp('built').exists():
        return
    _pip('-c', os.fspath(CONSTRAINTS), *_BUILT)
    _stamp('built').touch()


def _stamp(what: str) -> pathlib.Path:
    """Return the file that says that these very versions are installed."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() +
                            CONSTRAINTS.read_bytes())
    return config.VENV / f'.{what}-{wanted.hexdigest()[:16]}'


def _link_ceph_bindings() -> None:
    """Make Debian's librados and librbd modules importable, and only them.

    They are built for the same CPython 3.11; the directory that they are in
    holds Debian's older OpenStack libraries as well.
    """
    for module in ('rados', 'rbd'):
        for built in _DIST_PACKAGES.glob(f'{module}.cpython-311-*.so'):
            link = _SITE / built.name
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(built)


def _announce_port_driver() -> None:
    """Let Neutron find port_driver.py, which it does by entry point only."""
    directory = _SITE / 'armvm_sandbox-1.dist-info'
    directory.mkdir(exist_ok=True)
    (directory / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: armvm-sandbox\nVersion: 1\n')
    (directory / 'entry_points.txt').write_text(
        '[neutron.ml2.mechanism_drivers]\n'
        f'{config.PORT_DRIVER} = tools.sandbox.port_driver:TapDriver\n')


def _install_project() -> None:
    """Install nova_armvm as an operator would, when it has changed."""
    with progress.step('nova_armvm'):
        stamp = config.VENV / '.nova_armvm'
        digest = hashlib.sha256()
        for name in ('nova_armvm', 'nova_armvm_tempest_plugin', 'setup.cfg',
                     'setup.py', 'pyproject.toml', 'requirements.txt'):
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
