# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""
project = 'nova_armvm'
copyright = 'nova_armvm maintainers'
extensions = ['openstackdocstheme', 'oslo_config.sphinxext']
html_theme = 'openstackdocs'
openstackdocs_use_storyboard = False
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = ''
exclude_patterns = []
