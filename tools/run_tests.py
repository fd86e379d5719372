# SPDX-License-Identifier: Apache-2.0
"""Everything that ``make test`` runs, and one line about all of it.

Run by the Python of the tests' virtual environment.
"""
import io
import os
import pathlib
import subprocess
import sys
import time

import subunit
import testtools

TOP = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(sys.executable).parent

SHELL = ('tools/make_venv.sh', '.ci/run', 'devstack/settings',
         'devstack/plugin.sh', 'devstack/lib/options', 'devstack/lib/compute',
         'devstack/lib/guest', 'devstack/lib/cloud', 'devstack/lib/tempest',
         'tests/unit/devstack/library.sh', 'tests/unit/devstack/ini.sh')

#: What is no test of stestr's: each counts as one.
CHECKS = (
    ('flake8', ('flake8',)),
    ('bashate', ('bashate', '-i', 'E006', *SHELL,
                 'tools/sandbox/guest/init.sh',
                 'tools/sandbox/guest/busy.sh')),
    ('shellcheck', ('shellcheck', '-x', *SHELL)),
    ('documentation', ('sphinx-build', '-q', '-W', '-E', '-b', 'html',
                       'doc/source', 'doc/build/html')),
    ('release notes', ('sphinx-build', '-q', '-W', '-E', '-b', 'html',
                       'releasenotes/source', 'doc/build/releasenotes')),
    ('installation', (sys.executable, 'tests/install/check.py')),
)


class Counts:
    """How many passed, failed and were skipped."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def add_check(self, held: bool) -> None:
        self.passed += held
        self.failed += not held

    def line(self) -> str:
        return (f'{self.passed} passed, {self.failed} failed, '
                f'{self.skipped} skipped')


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, 'PATH': f'{BIN}:{os.environ["PATH"]}',
            'PYTHONDONTWRITEBYTECODE': '1', **more}


def run_stestr(name: str, path: str, counts: Counts, **more: str) -> None:
    """Run the tests below a directory and count how they ended.

    :param more: of their environment.
    """
    begun = time.monotonic()
    done = subprocess.run(
        ['stestr', 'run', '--concurrency', '2'], cwd=TOP,
        env=_environment(TEST_PATH=path, **more))
    stream = subprocess.run(
        ['stestr', 'last', '--subunit'], cwd=TOP, capture_output=True,
        env=_environment(TEST_PATH=path)).stdout
    summary = testtools.StreamSummary()
    summary.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream)).run(summary)
    summary.stopTestRun()
    failed = len(summary.failures) + len(summary.errors)
    skipped = len(summary.skipped)
    if done.returncode and not failed or not summary.testsRun:
        # It died before it could report, or found nothing to run.
        failed += 1
    counts.failed += failed
    counts.skipped += skipped
    counts.passed += max(0, summary.testsRun - failed - skipped)
    print(f'{name} tests: {summary.testsRun} in '
          f'{time.monotonic() - begun:.0f}s', flush=True)


def run_check(name: str, command: tuple[str, ...], counts: Counts) -> None:
    """Run a check that holds or does not; show what it says if not."""
    begun = time.monotonic()
    done = subprocess.run(command, cwd=TOP, env=_environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    held = done.returncode == 0
    counts.add_check(held)
    print(f'{name}: {"ok" if held else "FAILED"} in '
          f'{time.monotonic() - begun:.0f}s', flush=True)
    if not held:
        print(done.stdout, flush=True)


def main() -> int:
    counts = Counts()
    # The flash service runs in threads; Nova would replace them by green ones
    # in a process that imports it for tests.
    run_stestr('unit', './tests/unit', counts,
               OS_NOVA_DISABLE_EVENTLET_PATCHING='yes')
    run_stestr('functional', './tests/functional', counts)
    for name, command in CHECKS:
        run_check(name, command, counts)
    print(counts.line())
    return 1 if counts.failed else 0


if __name__ == '__main__':
    sys.exit(main())
