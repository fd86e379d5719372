#!/bin/busybox sh
# The first process of the sandbox's guest. Reports the UEFI variables on its
# consoles, one JSON object a line behind "ARMVM ", and does what it is told
# there: lines of "SEQUENCE COMMAND ARGUMENTS". On a disk for those who cannot
# tell it anything (Tempest has the API and nothing else) it writes unasked.
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
insmod /modules/evdev.ko
insmod /modules/efivarfs.ko
vars=/sys/firmware/efi/efivars
mount -t efivarfs efivarfs $vars
global=8be4df61-93ca-11d2-aa0d-00e098032b8c
# The firmware takes only names that UEFI knows under the global one.
ours=a9d1b2f4-6c0e-4d53-9b71-2f6d1c3e5a80
# Of Linux's own records of a crash. It lets variables with this GUID be
# written again; others that it does not know are immutable once made, and
# busybox has no chattr.
again=cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0
# The boot option of this disk in hexadecimal; see image.py.
own_option=/own-option
beat_seconds=5
disk=$(sed -n 's/.*armvm.disk=\([^ ]*\).*/\1/p' /proc/cmdline)
boot_id=$(cat /proc/sys/kernel/random/boot_id)
# shellcheck source=tools/sandbox/guest/busy.sh
. /busy.sh

# The content of a variable in hexadecimal, without its 4 attribute bytes.
content() {
    [ -f "$vars/$1" ] || return
    # efivarfs cannot seek.
    all=$(hexdump -v -e '1/1 "%02x"' "$vars/$1")
    echo "${all#????????}"
}

report() {
    options=
    for file in $vars/Boot[0-9A-F][0-9A-F][0-9A-F][0-9A-F]-$global; do
        [ -f "$file" ] || continue
        name=${file##*/}
        options="$options${options:+,}\"${name%%-*}\":\"$(content "$name")\""
    done
    tables=fdt
    [ -d /sys/firmware/acpi/tables ] && tables=acpi
    echo "ARMVM {\"event\":\"$1\",\"sequence\":${2:-0},\"disk\":\"$disk\"," \
        "\"boot_id\":\"$boot_id\",\"description\":\"$tables\"," \
        "\"current\":\"$(content BootCurrent-$global)\"," \
        "\"order\":\"$(content BootOrder-$global)\"," \
        "\"secure_boot\":\"$(content SecureBoot-$global)\"," \
        "\"setup_mode\":\"$(content SetupMode-$global)\"," \
        "\"probe\":\"$(content ArmvmProbe-$ours)\"," \
        "\"boots\":\"$(content ArmvmBoots-$again)\"," \
        "\"beat\":\"$(content ArmvmBeat-$again)\",\"options\":{$options}}"
}

# write SEQUENCE NAME-GUID HEX: attributes and content in one write. A variable
# whose name Linux does not know can be made, but not written again.
write() {
    file="$vars/$2"
    echo "$3" | xxd -r -p >/tmp/content
    dd if=/tmp/content of="$file" bs=64k count=1 2>/tmp/error
    result=failed
    [ "$(content "$2")" = "${3#????????}" ] && result=ok
    echo "ARMVM {\"event\":\"written\",\"sequence\":$1," \
        "\"variable\":\"$2\",\"result\":\"$result\"}"
}

# Drivers of virtio; in the order in which they need each other.
load_virtio() {
    for module in virtio_ring virtio virtio_pci_legacy_dev \
        virtio_pci_modern_dev virtio_pci virtio_console virtio_blk failover \
        net_failover virtio_net; do
        # What is not there is part of the kernel.
        [ -f "/modules/$module.ko" ] || continue
        [ -d "/sys/module/$module" ] || insmod "/modules/$module.ko"
    done
}

# All that a command prints, on one line, with commas between.
joined() {
    "$@" 2>/dev/null | tr -d '\0' | tr '\n' ',' | sed 's/,$//'
}

# What the kernel said when it started, by a pattern of sed with one group.
said() {
    dmesg | sed -n "s/.*$1.*/\\1/p" | head -n 1
}

# How secondary processors are started: hvc or smc.
conduit() {
    if [ -f /proc/device-tree/psci/method ]; then
        tr -d '\0' </proc/device-tree/psci/method
    else
        # ARM boot architecture flags of the FADT: bit 0 PSCI, bit 1 by HVC.
        case $(hexdump -s 129 -n 1 -e '1/1 "%d"' \
            /sys/firmware/acpi/tables/FACP) in
        1) echo smc ;;
        3) echo hvc ;;
        esac
    fi
}

# Root ports of PCIe without a device behind them.
free_ports() {
    count=0
    for device in /sys/bus/pci/devices/*; do
        [ "$(cat "$device/class")" = 0x060400 ] || continue
        set -- "$device"/[0-9a-f][0-9a-f][0-9a-f][0-9a-f]:*
        # Services of the port itself stand beside its devices.
        used=
        for child in "$@"; do
            case "${child##*/}" in *:pcie*) ;; *) [ -e "$child" ] && used=1 ;;
            esac
        done
        [ -n "$used" ] || count=$((count + 1))
    done
    echo $count
}

# The interrupt controller as Linux names it; it calls the older one GIC-0.
controller() {
    grep -o 'GICv3\|GICv2\|GIC-0' /proc/interrupts | head -n 1 |
        sed 's/GIC-0/GICv2/'
}

hardware() {
    load_virtio
    tables=fdt
    [ -d /sys/firmware/acpi/tables ] && tables=acpi
    level=$(said 'All CPU(s) started at \(EL[0-9]\)')
    [ -n "$level" ] || level=$(said 'All CPU(s) started in \(SVC\) mode')
    uart=$(readlink /sys/class/tty/ttyAMA0/device/driver)
    echo "ARMVM {\"event\":\"hardware\",\"sequence\":$1," \
        "\"machine\":\"$(uname -m)\",\"description\":\"$tables\"," \
        "\"efi\":\"$(said 'efi: EFI v\([0-9.]*\)')\"," \
        "\"clocks\":\"$(joined cat /sys/class/rtc/*/name)\"," \
        "\"level\":\"$level\"," \
        "\"psci\":\"$(said 'psci: PSCIv\([0-9.]*\) detected')\"," \
        "\"conduit\":\"$(conduit)\"," \
        "\"uart\":\"${uart##*/}\"," \
        "\"virtio_consoles\":\"$(joined ls /sys/class/virtio-ports)\"," \
        "\"gic\":\"$(controller)\"," \
        "\"timer\":\"$(said 'arch_timer: cp15.*running at .*(\([a-z]*\))')\"," \
        "\"free_ports\":$(free_ports)," \
        "\"disks\":\"$(joined ls /sys/block)\"," \
        "\"interfaces\":\"$(joined ls /sys/class/net)\"}"
}

# The power button: off at once, so that stop and reboot are quick.
for button in /dev/input/event*; do
    [ -e "$button" ] || continue
    {
        dd if="$button" of=/dev/null bs=24 count=1 2>/dev/null
        echo "ARMVM {\"event\":\"power-button\",\"sequence\":0}"
        poweroff -f
    } &
done

# Says that it is up on the console that it stands on, does what its arguments
# say, and then what it is told there.
converse() {
    stty -echo -onlcr icanon
    report boot
    "$@"
    while read -r sequence command one two; do
        case "$command" in
        report) report report "$sequence" ;;
        hardware) hardware "$sequence" ;;
        write) write "$sequence" "$one" "$two" ;;
        busy) busy "$sequence" "$one" ;;
        idle) idle "$sequence" ;;
        reboot)
            echo "ARMVM {\"event\":\"rebooting\",\"sequence\":$sequence}"
            reboot -f ;;
        *) echo "ARMVM {\"event\":\"unknown\",\"sequence\":${sequence:-0}}" ;;
        esac
    done
}

# The first boot of a store: a random variable, and an option of the guest's
# own in front of the boot order, as an installer of an operating system does.
claim() {
    random=$(dd if=/dev/urandom bs=16 count=1 2>/dev/null |
        hexdump -v -e '1/1 "%02x"')
    write 0 ArmvmProbe-$ours "07000000$random"
    write 0 Boot0040-$global "07000000$(cat $own_option)"
    write 0 BootOrder-$global "070000004000$(content BootOrder-$global)"
}

# One number more in a variable that is written again and again.
count() {
    before=$(content "$1-$again")
    write 0 "$1-$again" "07000000$(printf %08x $((0x${before:-0} + 1)))"
}

# Tells the time as long as it can write; whoever has moved a running guest
# knows by it that the guest goes on, and that its store does.
beat() {
    count ArmvmBeat >/tmp/beat
    result=failed
    grep -q '"result":"ok"' /tmp/beat && result=ok
    echo "ARMVM {\"event\":\"alive\",\"sequence\":0," \
        "\"disk\":\"$disk\",\"boot_id\":\"$boot_id\"," \
        "\"beat\":\"$(content ArmvmBeat-$again)\",\"result\":\"$result\"}"
}

# Says and writes by itself what converse() does when it is told to.
unattended() {
    stty -echo -onlcr
    report boot
    [ -n "$(content ArmvmProbe-$ours)" ] || claim
    count ArmvmBoots
    report report
    load_virtio
    seconds=0
    devices=
    while :; do
        [ $((seconds % beat_seconds)) = 0 ] && beat
        set -- /sys/block/* /sys/class/net/*
        [ "$*" = "$devices" ] || hardware 0
        devices="$*"
        seconds=$((seconds + 1))
        sleep 1
    done
}

[ -f $own_option ] && unattended

# 0x078000: a serial device of virtio. Without its drivers it would be mute.
if grep -q 0x078000 /sys/bus/pci/devices/*/class; then
    load_virtio
    [ -c /dev/hvc0 ] && converse </dev/hvc0 >/dev/hvc0 2>&1 &
fi
converse busy_boot
poweroff -f
