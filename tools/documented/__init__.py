# SPDX-License-Identifier: Apache-2.0
"""The documentation's blocks, for the tests and the sandbox; imports nothing.

blocks.py finds them in a page, session.py takes a console apart, shape.py
compares what a command printed with what the page shows.
"""
