# SPDX-License-Identifier: Apache-2.0
"""Commands, run as OpenStackClient runs them."""
import contextlib
import io
import json
import typing as ty

from osc_lib import exceptions
import testtools

from tests.unit.osc import glance


class CommandTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.glance = self.useFixture(glance.GlanceFixture())

    def run_command(self, kind, *words: str) -> tuple[int, ty.Any]:
        """Run a command; return its status and what it shows."""
        app = self.glance.app()
        app.stdout = io.StringIO()
        command = kind(app, None)
        with contextlib.redirect_stderr(io.StringIO()) as complaints:
            parsed = command.get_parser('command').parse_args(
                [*words, '-f', 'json'])
            status = command.run(parsed)
        self.complaints = complaints.getvalue()
        return status, json.loads(app.stdout.getvalue())

    def refused(self, kind, *words: str) -> str:
        error = self.assertRaises(exceptions.CommandError, self.run_command,
                                  kind, *words)
        return str(error)
