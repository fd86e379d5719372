# SPDX-License-Identifier: Apache-2.0
"""Loop devices: one for each host that a file is attached to.

Beside each file a symbolic link FILE@HOST names the device. A link outlives
the machine's kernel, the device does not and its number is given to others,
so a link is believed only as far as the kernel says the same.
"""
from collections.abc import Iterator
import os
import pathlib
import subprocess


def _losetup(*words: str | os.PathLike) -> str:
    return subprocess.run(['losetup', *words], check=True, text=True,
                          capture_output=True).stdout.strip()


def _mark(file: pathlib.Path, host: str) -> pathlib.Path:
    return file.with_name(f'{file.name}@{host}')


def attach(file: pathlib.Path, host: str) -> str:
    """Return a host's device for a file, made if need be."""
    mark = _mark(file, host)
    found = _device(mark)
    if found is not None:
        return found
    mark.unlink(missing_ok=True)
    device = _losetup('--find', '--show', file)
    mark.symlink_to(device)
    return device


def detach(file: pathlib.Path, host: str) -> None:
    """Free a host's device, as soon as nobody has it open."""
    _free(_mark(file, host))


def detach_all(directory: pathlib.Path, file: str = '*') -> None:
    """Free the devices of every host."""
    for mark in directory.glob(f'{file}@*'):
        _free(mark)


def drop_stale(directory: pathlib.Path) -> None:
    """Forget devices that an earlier run of this machine's kernel had."""
    for mark in directory.glob('*@*'):
        if _device(mark) is None:
            mark.unlink()


def devices(file: pathlib.Path) -> Iterator[str]:
    """Yield the devices of all hosts that a file is attached to."""
    for mark in file.parent.glob(f'{file.name}@*'):
        found = _device(mark)
        if found is not None:
            yield found


def _free(mark: pathlib.Path) -> None:
    device = _device(mark)
    if device is not None:
        _losetup('--detach', device)
    mark.unlink(missing_ok=True)


def _device(mark: pathlib.Path) -> str | None:
    """Return the device that a link names, if it is that of the file."""
    if not mark.is_symlink():
        return None
    device = os.readlink(mark)
    backing = pathlib.Path('/sys/block', os.path.basename(device),
                           'loop/backing_file')
    try:
        file = backing.read_text().strip()
    except FileNotFoundError:
        return None
    return device if file == str(_file(mark).resolve()) else None


def _file(mark: pathlib.Path) -> pathlib.Path:
    return mark.with_name(mark.name.rpartition('@')[0])
