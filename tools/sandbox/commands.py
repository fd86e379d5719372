# SPDX-License-Identifier: Apache-2.0
"""The operators' commands, as an operator calls them."""
import json
import subprocess

from tools.sandbox import config
from tools.sandbox import infrastructure
from tools.sandbox import process


def audit(*options: str) -> tuple[int, list[dict]]:
    """Run ``armvm-manage nvram audit``; return its status and findings.

    :raises SandboxError: it could not be done.
    """
    done = subprocess.run(
        [config.BIN / 'armvm-manage', '--config-file',
         config.ETC / 'nova' / 'nova.conf', 'nvram', 'audit', '-f', 'json',
         *options], capture_output=True, text=True, timeout=120,
        env=infrastructure.path_environment())
    if done.returncode not in (0, 3):
        raise process.SandboxError(f'armvm-manage failed: {done.stderr}')
    return done.returncode, json.loads(done.stdout)
