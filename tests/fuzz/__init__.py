# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing of what reads hostile bytes; see tox -e fuzz.

Not part of the tests: it runs for as long as it is let. What it finds becomes
a test.
"""
