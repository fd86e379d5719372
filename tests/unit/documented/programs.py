# SPDX-License-Identifier: Apache-2.0
"""Every program that the documentation calls, and who knows its words."""
from collections.abc import Callable
import configparser
import importlib.util
import pathlib
import re
import runpy
import subprocess

from packaging import requirements

from tests.unit.documented import parsers
from tools.documented import blocks
from tools.sandbox import packages

Refused = parsers.Refused
_TOP = blocks.TOP

#: Services that an operator restarts; of Nova and libvirt, in packages.
_UNITS = {'nova-compute', 'libvirtd', 'devstack@n-cpu',
          'devstack@armvm-nvramd'}
_UNIT_VERBS = {'start', 'stop', 'restart', 'status', 'enable', 'disable',
               'daemon-reload'}


#: They begin with what their own Python alone has.
_ELSEWHERE = {'tools.sandbox.demo', 'tests.fuzz'}

#: libvirt is not where these tests run.
_VIRSH = {'undefine': {'--keep-nvram'}, 'list': {'--all', '--uuid'},
          'dumpxml': set()}


def _need(held: bool, reason: str) -> None:
    if not held:
        raise Refused(reason)


def _pip(words: list[str]) -> None:
    while words and words[0].startswith('--'):
        words = words[1:]
    _need(words[:1] == ['install'], 'pip: only install is known')
    known = _our_requirements()
    words = iter(words[1:])
    for word in words:
        if word in ('-r', '-c', '--requirement', '--constraint'):
            path = pathlib.Path(next(words))
            # One in a container is for its builder to know.
            _need(path.is_absolute() or (_TOP / path).exists(),
                  f'pip: there is no {path}')
        elif word in ('-e', '--editable'):
            _need(next(words) in ('.', '.[client]'), 'pip: no such project')
        elif word.startswith('--'):
            _need(word in ('--upgrade', '--no-deps', '--no-cache-dir',
                           '--user'), f'pip: {word}')
        elif word != '.':
            _requirement(word, known)


def _requirement(word: str, known: set[str]) -> None:
    try:
        wanted = requirements.Requirement(word)
    except requirements.InvalidRequirement as error:
        raise Refused(f'pip: {error}') from error
    _need(wanted.name in known, f'{wanted.name} is in no requirements of ours')
    if wanted.name == 'nova-armvm':
        _need(wanted.extras <= parsers.extras(), 'pip: no such extra')


def _our_requirements() -> set[str]:
    found = {'nova-armvm'}
    for path in (*_TOP.glob('*requirements.txt'), packages.REQUIREMENTS):
        found.update(re.findall(r'^([A-Za-z][\w.-]*)', path.read_text(),
                                re.MULTILINE))
    return found


def debian_packages(words: list[str]) -> None:
    """Hold the names of Debian's packages against those that there are.

    What the sandbox installs is known to exist; apt is asked for the rest.
    """
    known = {*packages.PACKAGES, *packages.FROM_BACKPORTS}
    for word in words:
        if word not in known and not word.startswith('-'):
            shown = subprocess.run(['apt-cache', 'show', word],
                                   capture_output=True)
            _need(shown.returncode == 0, f'apt knows no package {word}')


def _apt(words: list[str]) -> None:
    if words[0] != 'update':
        _need(words[0] == 'install', f'apt-get: {words[0]}')
        debian_packages(words[1:])


def _make(words: list[str]) -> None:
    text = (_TOP / 'Makefile').read_text()
    targets = set(re.findall(r'^([a-z-]+):', text, re.MULTILINE))
    for word in words:
        name, equals, _value = word.partition('=')
        if equals:
            _need(f'$({name})' in text or f'$(or $({name})' in text,
                  f'make: the Makefile knows no {name}')
        else:
            _need(word in targets, f'make: no target {word}')


def _tox(words: list[str]) -> None:
    parser = configparser.RawConfigParser()
    parser.read(_TOP / 'tox.ini')
    known = {'py3'}
    for section in parser.sections():
        name = section.removeprefix('testenv:')
        before, brace, numbers = name.partition('{')
        known.update([before + each for each in
                      numbers.rstrip('}').split(',')] if brace else [name])
    _need(words[:1] == ['-e'], 'tox: only -e is known')
    for name in words[1].split(','):
        _need(name in known, f'tox: no environment {name}')


def _python(words: list[str]) -> None:
    _need(words[:1] == ['-m'], 'python: only -m is known')
    module, rest = words[1], words[2:]
    if module == 'venv':
        return
    if module.split('.')[0] not in ('tools', 'tests'):
        # One that is a command as well.
        judge(module.split('.')[0], rest)
        return
    spec = importlib.util.find_spec(module)
    _need(spec is not None, f'there is no module {module}')
    if spec.submodule_search_locations:
        spec = importlib.util.find_spec(f'{module}.__main__')
    if module in _ELSEWHERE:
        return
    if 'parse_args' in pathlib.Path(spec.origin).read_text():
        parsers.accept(lambda: runpy.run_module(module, run_name='__main__'),
                       [module, *rest])
    else:
        _need(not rest, f'{module} takes no words')


def _cliff(program: str, words: list[str]) -> None:
    """A program whose parser has a default of its own for its words."""
    main = parsers.main_of(program)
    _need(main is not None, f'{program} is not installed')
    parsers.accept(lambda: main(words), [program])


def _tempest(words: list[str]) -> None:
    _cliff('tempest', words)


def _stestr(words: list[str]) -> None:
    _cliff('stestr', words)
    for word in words[1:]:
        if not word.startswith('-'):
            _need(any(word in str(path.relative_to(_TOP)) for path in
                      (_TOP / 'tests').rglob('test_*.py')) or
                  '.' in word, f'stestr: no test has {word} in its name')


def _qemu_img(words: list[str]) -> None:
    # Since QEMU 10 of the command alone, before that of all of them.
    text = subprocess.run(['qemu-img', words[0], '--help'],
                          capture_output=True, text=True).stdout
    _need(re.search(rf'^ *(qemu-img )?{re.escape(words[0])} ', text,
                    re.MULTILINE) is not None,
          f'qemu-img: no command {words[0]}')
    for word in words[1:]:
        if word.startswith('-'):
            _need(re.search(rf'(?<![\w-]){re.escape(word)}(?![\w-])', text)
                  is not None, f'qemu-img {words[0]}: no option {word}')


def _virsh(words: list[str]) -> None:
    _need(words[0] in _VIRSH, f'virsh: {words[0]}')
    for word in words[1:]:
        _need(not word.startswith('-') or word in _VIRSH[words[0]],
              f'virsh {words[0]}: {word}')


def _systemctl(words: list[str]) -> None:
    units = _UNITS | {path.name for path in
                      (_TOP / 'etc' / 'systemd').iterdir()}
    words = [word for word in words if word != '--now']
    _need(words[0] in _UNIT_VERBS, f'systemctl: {words[0]}')
    for word in words[1:]:
        _need(word in units or word.removesuffix('.service') in units,
              f'systemctl: no unit {word}')


def _semanage(words: list[str]) -> None:
    # SELinux is not where these tests run.
    _need(words[:3] == ['fcontext', '-a', '-t'] and words[4:6] == ['-f', 's'],
          f'semanage: {" ".join(words)}')


def _with_files(words: list[str]) -> None:
    """A command of coreutils; what it takes of ours has to be there."""
    for word in words:
        if re.match(r'(etc|doc|devstack|tools|tests)/', word):
            _need(bool(list(_TOP.glob(word))), f'there is no {word}')


def _variables(words: list[str]) -> None:
    """``export``: variables of ours are read somewhere."""
    for word in words:
        name = word.partition('=')[0]
        if name.startswith('ARMVM_'):
            _need(name in (_TOP / 'tools/sandbox/config.py').read_text(),
                  f'nothing reads {name}')


def _xargs(words: list[str]) -> None:
    judge(words[0], words[1:])


def _git(words: list[str]) -> None:
    _need(words[0] in ('clone', 'checkout', 'pull', 'log', 'diff'),
          f'git: {words[0]}')


_KNOWN: dict[str, Callable[[list[str]], None]] = {
    'openstack': parsers.accept_openstack,
    'pip': _pip, 'apt-get': _apt, 'apt': _apt, 'make': _make, 'tox': _tox,
    'python3': _python, 'python': _python, 'stestr': _stestr,
    'tempest': _tempest,
    'qemu-img': _qemu_img, 'systemctl': _systemctl, 'export': _variables,
    'git': _git, 'virsh': _virsh, 'semanage': _semanage,
    'xargs': _xargs,
    **{name: _with_files for name in (
        'cat', 'cd', 'cp', 'echo', 'head', 'install', 'ls', 'mkdir', 'mv',
        'restorecon', 'rm', 'od', 'grep', 'sed', 'tail', 'tee', 'true',
        'test', 'stack.sh', 'unstack.sh', 'clean.sh')},
}


def judge(program: str, words: list[str]) -> None:
    """Have a program's words judged by what knows it best.

    :raises Refused: it would refuse them, or nobody knows the program.
    """
    name = pathlib.PurePath(program).name
    if name in _KNOWN:
        _KNOWN[name](words)
        return
    main = parsers.main_of(name)
    _need(main is not None, f'no test knows the program {name}')
    parsers.accept(main, [name, *words])


def is_known(program: str) -> bool:
    """Whether anything but a run in the sandbox can judge a program."""
    name = pathlib.PurePath(program).name
    return name in _KNOWN or parsers.main_of(name) is not None
