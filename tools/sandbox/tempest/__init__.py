# SPDX-License-Identifier: Apache-2.0
"""Tempest, from its released package, against the sandbox.

Runs nova_armvm_tempest_plugin and Tempest's own smoke tests of Nova. All but
``power`` runs in the virtual environment.
"""
