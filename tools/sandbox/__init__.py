# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack on one machine, to show and to try the driver.

Belongs to the tests and not to the product. Everything it starts is a
process of its own below one state directory, on a network of its own; services
that the machine runs anyway are neither used nor touched.

The modules up to ``__main__`` need nothing but the standard library, so that
they run before anything is installed.
"""
