# SPDX-License-Identifier: Apache-2.0
"""One module for each property: its values, its default, its checks, its XML.

Each imports machine.py and properties.py beside it, and no other handler.
"""
