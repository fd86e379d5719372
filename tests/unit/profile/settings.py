# SPDX-License-Identifier: Apache-2.0
"""Hosts, images and domains that the tests of hardware begin with."""
from nova_armvm.profile import machine

#: As Nova describes a guest, in what the handlers look at.
DOMAIN = """\
<domain type="qemu">
  <metadata><nova:instance xmlns:nova="urn:nova">a server</nova:instance>\
</metadata>
  <os firmware="efi"><type arch="aarch64" machine="virt">hvm</type></os>
  <features><acpi/><apic/></features>
  <cpu match="exact"><model>cortex-a57</model><topology sockets="1"/></cpu>
  <devices>
    <disk type="file"><target dev="vda" bus="virtio"/></disk>
    <controller type="pci" model="pcie-root"/>
    <controller type="pci" model="pcie-root-port"/>
    <serial type="pty"><log file="/console.log" append="off"/></serial>
    <rng model="virtio"/>
  </devices>
</domain>
"""

#: As libvirt completes one: two devices on ports of their own, one port that
#: is free, one device on the root bus.
COMPLETED = """\
<domain type="qemu">
  <devices>
    <disk type="file"><address type="pci" domain="0x0000" bus="0x01"
      slot="0x00" function="0x0"/></disk>
    <rng model="virtio"><address type="pci" domain="0x0000" bus="0x02"
      slot="0x00" function="0x0"/></rng>
    <video><address type="pci" domain="0x0000" bus="0x00" slot="0x02"
      function="0x0"/></video>
    <controller type="pci" index="0" model="pcie-root"/>
    <controller type="pci" index="1" model="pcie-root-port"><address
      type="pci" domain="0x0000" bus="0x00" slot="0x01" function="0x0"/>
    </controller>
    <controller type="pci" index="2" model="pcie-root-port"><address
      type="pci" domain="0x0000" bus="0x00" slot="0x01" function="0x1"/>
    </controller>
    <controller type="pci" index="3" model="pcie-root-port"><address
      type="pci" domain="0x0000" bus="0x00" slot="0x01" function="0x2"/>
    </controller>
  </devices>
</domain>
"""


def offer(gic_versions=('2', '3'), virt_type='qemu') -> machine.Offer:
    """Return what a host has."""
    return machine.Offer(gic_versions, uefi=True, virt_type=virt_type)


def setting(architecture='aarch64', machine_type='virt', uefi=True,
            stateless=False, nvram_default='persistent',
            gic_versions=('2', '3'), offers=True) -> machine.Setting:
    """Return what decides about a machine, a capable one by default."""
    return machine.Setting(
        architecture, machine_type, uefi, stateless, nvram_default,
        offer(gic_versions) if offers else None)
