# SPDX-License-Identifier: Apache-2.0
"""How the tests of a run ended."""
import io

import subunit
import testtools


class Figures:
    """How many tests passed, failed and were skipped."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []
        self.skipped: list[str] = []

    def add(self, test: dict) -> None:
        """Count one test as StreamToDict gives it."""
        match test['status']:
            case 'success' | 'xfail':
                self.passed += 1
            case 'skip':
                reason = test['details'].get('reason')
                self.skipped.append(
                    f'{test["id"]}: '
                    f'{reason.as_text() if reason else "no reason"}')
            case 'exists':
                # Known, and not run.
                return
            case _:
                self.failed.append(test['id'])

    def line(self, seconds: float) -> str:
        return (f'Tempest: {self.passed} passed, {len(self.failed)} failed, '
                f'{len(self.skipped)} skipped in {seconds:.0f}s')


def count(stream: bytes) -> Figures:
    """Count the tests of a subunit stream."""
    figures = Figures()
    every = testtools.StreamToDict(figures.add)
    every.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream)).run(every)
    every.stopTestRun()
    return figures
