# SPDX-License-Identifier: Apache-2.0
"""Every operation on a server, with every fault, at every step.

``compute`` is a nova-compute that can be stopped in the middle of its work;
``steps`` is how it is told to; ``breaking`` breaks something while it waits;
``operations`` are what a tenant or an operator asks for, ``recovery`` is what
an operator does afterwards; ``rounds`` puts a fault and the operations
together and ``__main__`` prints the matrix.
"""
