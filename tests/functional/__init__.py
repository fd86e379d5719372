# SPDX-License-Identifier: Apache-2.0
"""Nova's own services in one process, driven through the API.

nova-compute runs native threads since Nova 34, so these tests do. Before, it
runs eventlet, and the fixtures of Nova's own tests know nothing else. Nova
reads the variable when its functional tests are imported.
"""
from importlib import metadata
import logging
import os

if int(metadata.version('nova').split('.')[0]) >= 34:
    os.environ.setdefault('OS_NOVA_DISABLE_EVENTLET_PATCHING', 'true')

import nova.tests.functional  # noqa: E402,F401

# Written after each test, to where its result goes.
logging.getLogger('nova.thread_pool_factory').setLevel(logging.WARNING)
