# SPDX-License-Identifier: Apache-2.0
"""Run Tempest in a sandbox that is up. Runs in the venv.

Exit status: 0 when every test passed or was skipped with a reason; 1 when a
test failed, none ran, or the sandbox failed; 2 for a wrong call.
"""
import argparse
import os
import subprocess
import sys
import time
import typing as ty

from tools.sandbox import config
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox.tempest import figures
from tools.sandbox.tempest import surroundings

_TESTS = (r'^nova_armvm_tempest_plugin\.|'
          r'^tempest\.api\.compute\..*\[.*\bsmoke\b')
#: As many as there are processors on the machine that this is made for.
_CONCURRENCY = 2
#: Run by itself, after all others. Tempest would let it wait for a moment in
#: which no other class of tests runs, and with it the rest of its worker's.
_ALONE = '.test_evacuation.'


def run(tests: str) -> tuple[figures.Figures, int]:
    """Run tests; what they do is seen on standard output.

    :param tests: regular expression of their names.
    :returns: the figures, and the worst exit status of Tempest.
    """
    _make_repository()
    names = _listed(tests)
    status = 0
    together = [name for name in names if _ALONE not in name]
    alone = [name for name in names if _ALONE in name]
    if together:
        status = _run(together, '--concurrency', str(_CONCURRENCY))
    if alone:
        status = max(status, _run(alone, '--serial',
                                  *(['--combine'] if together else [])))
    stream = subprocess.run([config.BIN / 'stestr', 'last', '--subunit'],
                            cwd=surroundings.HOME, capture_output=True).stdout
    return figures.count(stream if names else b''), status


def _make_repository() -> None:
    """Make what results are kept in; to list tests Tempest needs it, too."""
    if not (surroundings.HOME / '.stestr').is_dir():
        subprocess.run([config.BIN / 'stestr', 'init'],
                       cwd=surroundings.HOME, check=True)


def _tempest(*arguments: str | os.PathLike,
             **how: ty.Any) -> subprocess.CompletedProcess:
    return subprocess.run(
        [config.BIN / 'tempest', 'run', '--config-file', surroundings.CONF,
         *arguments], cwd=surroundings.HOME, **how,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'})


def _listed(tests: str) -> list[str]:
    """Return the names of all tests that match."""
    said = _tempest('--list-tests', '--regex', tests, stdout=subprocess.PIPE,
                    text=True).stdout
    # Every test of Tempest has an identity, other lines have none.
    return [line for line in said.splitlines() if '[id-' in line]


def _run(names: list[str], *how: str) -> int:
    """Run tests by their names; return the exit status of Tempest."""
    chosen = surroundings.HOME / 'tests'
    chosen.write_text('\n'.join(names) + '\n')
    return _tempest('--load-list', chosen, *how).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--tests', default='', metavar='REGEX',
                        help='only the tests whose name matches')
    arguments = parser.parse_args()
    try:
        with progress.step('images and tempest.conf'):
            surroundings.write(surroundings.make())
    except process.SandboxError as error:
        print(f'The sandbox failed: {error}', file=sys.stderr)
        return 1
    begun = time.monotonic()
    counted, status = run(arguments.tests or _TESTS)
    for text in counted.skipped:
        print(f'skipped: {text}')
    for name in counted.failed:
        print(f'FAILED: {name}')
    print(f'Log: {surroundings.HOME / "tempest.log"}')
    print(counted.line(time.monotonic() - begun))
    # Tempest fails when it finds nothing to run, or dies.
    return 1 if counted.failed or status or not counted.passed else 0


if __name__ == '__main__':
    sys.exit(main())
