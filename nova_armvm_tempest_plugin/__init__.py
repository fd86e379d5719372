# SPDX-License-Identifier: Apache-2.0
"""Tests of a cloud that runs nova_armvm, for Tempest.

Talks to the cloud by its API and to nothing else, so it runs against any.
Imports nothing of nova_armvm; Tempest is an optional dependency (the extra
``tempest``). ``guest`` and ``conformance`` need the standard library only.
"""
