# SPDX-License-Identifier: Apache-2.0
"""Taking the power from a compute host, and giving it back."""
import shlex
import subprocess

from oslo_log import log

LOG = log.getLogger(__name__)


def run(command: str, host: str) -> None:
    """Run a command of the configuration about a host, without a shell.

    :param command: words as in a shell; ``{host}`` becomes the host's name.
    :raises CalledProcessError: it failed.
    """
    words = [word.replace('{host}', host) for word in shlex.split(command)]
    LOG.info('Running %s', words)
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
