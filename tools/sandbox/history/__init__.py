# SPDX-License-Identifier: Apache-2.0
"""Whether a guest that writes all the time ever loses what it was told.

``events`` is what a guest says and ``checker`` judges it; both need nothing
but the standard library. ``following`` reads consoles while guests move;
``walk`` says what happens to them, ``kills`` is what is killed meanwhile, and
``rounds`` does it; ``__main__`` prints the result.
"""
