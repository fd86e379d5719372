# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""
project = 'nova_armvm release notes'
copyright = 'nova_armvm maintainers'
extensions = ['openstackdocstheme', 'reno.sphinxext']
html_theme = 'openstackdocs'
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = ''
