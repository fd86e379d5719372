# SPDX-License-Identifier: Apache-2.0
"""Nova's own services in one process, driven through the API.

nova-compute runs native threads since Nova 34, so these tests do. Nova reads
the variable when its own functional tests are imported.
"""
import logging
import os

os.environ.setdefault('OS_NOVA_DISABLE_EVENTLET_PATCHING', 'true')

import nova.tests.functional  # noqa: E402,F401

# Written after each test, to where its result goes.
logging.getLogger('nova.thread_pool_factory').setLevel(logging.WARNING)
