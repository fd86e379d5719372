# SPDX-License-Identifier: Apache-2.0
"""A shell whose ``openstack`` talks to the sandbox."""
from collections.abc import Mapping
import os

from tools.sandbox import config
from tools.sandbox import infrastructure
from tools.sandbox import process

#: The newest that the clients know: hosts can be named, attachments listed.
_COMPUTE_VERSION = '2.90'
_VOLUME_VERSION = '3.70'


def environment(inherited: Mapping[str, str], user: str,
                password: str) -> dict[str, str]:
    """Return the environment of a shell.

    :param inherited: of this process. What it says of another cloud is left
        out: OS_CLOUD alone would win over all that is set here.
    :param user: with a project of the same name.
    """
    kept = {name: value for name, value in inherited.items()
            if not name.startswith('OS_')}
    return {**kept, **infrastructure.path_environment(),
            'OS_AUTH_URL': config.url('keystone', '/v3'),
            'OS_USERNAME': user,
            'OS_PASSWORD': password,
            'OS_PROJECT_NAME': user,
            'OS_USER_DOMAIN_NAME': 'Default',
            'OS_PROJECT_DOMAIN_NAME': 'Default',
            'OS_REGION_NAME': config.REGION,
            'OS_IDENTITY_API_VERSION': '3',
            'OS_COMPUTE_API_VERSION': _COMPUTE_VERSION,
            'OS_VOLUME_API_VERSION': _VOLUME_VERSION,
            'PS1': f'({user}@sandbox) \\w \\$ '}


def run(user: str) -> None:
    """Become a shell; commands may also come from standard input.

    :raises SandboxError: the sandbox is not up.
    """
    if process.recorded_pid(config.RUN / 'keystone-api.json') is None:
        raise process.SandboxError(
            'it is not up: python3 -m tools.sandbox up')
    # The user's own start-up files may put other programs first.
    os.execve('/bin/bash', ['bash', '--norc', '--noprofile'], environment(
        os.environ, user, config.credentials()['password']))
