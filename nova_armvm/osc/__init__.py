# SPDX-License-Identifier: Apache-2.0
"""Commands of OpenStackClient: ``openstack armvm ...``.

For tenants and operators, on their own machines; imports neither Nova nor
the driver.
"""
