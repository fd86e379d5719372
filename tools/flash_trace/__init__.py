# SPDX-License-Identifier: Apache-2.0
"""Records what real firmware writes to its flash, and cuts it off there.

    python3 -m tools.flash_trace.record --firmware /usr/share/AAVMF \
        --name 2022.11 first-boot random
    python3 -m tools.flash_trace.boot_cuts --firmware /usr/share/AAVMF \
        tests/unit/nvramd/traces/2022.11-random.trace.xz
    python3 -m tools.flash_trace.kill_in_erase --firmware /usr/share/AAVMF

A trace is the list of all writes that QEMU makes to the flash, in order,
between marks that say what the guest was doing: it lies beside the unit
tests, which replay it (tests/unit/nvramd/test_every_write.py). The guest is
the sandbox's disk A with another first process, guest.c, that sets variables
as it is told to; needs QEMU, mtools, cpio, gcc-aarch64-linux-gnu with
libc6-dev-arm64-cross, and efitools for the keys of Secure Boot.
"""
