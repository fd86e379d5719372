# SPDX-License-Identifier: Apache-2.0
"""Scenarios: what becomes of a server, as its own guest reports it."""
