# SPDX-License-Identifier: Apache-2.0
"""The sandbox's guest: how it is built, what it says and what it is told."""
