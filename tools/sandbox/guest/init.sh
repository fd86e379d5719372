#!/bin/busybox sh
# The first process of the sandbox's guest. Reports the UEFI variables on the
# serial console, one JSON object a line behind "ARMVM ", and does what it is
# told there: lines of "SEQUENCE COMMAND ARGUMENTS".
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
stty -echo -onlcr icanon
insmod /modules/evdev.ko
insmod /modules/efivarfs.ko
vars=/sys/firmware/efi/efivars
mount -t efivarfs efivarfs $vars
global=8be4df61-93ca-11d2-aa0d-00e098032b8c
# The firmware takes only names that UEFI knows under the global one.
ours=a9d1b2f4-6c0e-4d53-9b71-2f6d1c3e5a80
disk=$(sed -n 's/.*armvm.disk=\([^ ]*\).*/\1/p' /proc/cmdline)
boot_id=$(cat /proc/sys/kernel/random/boot_id)

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
        "\"probe\":\"$(content ArmvmProbe-$ours)\",\"options\":{$options}}"
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

# The power button: off at once, so that stop and reboot are quick.
for button in /dev/input/event*; do
    [ -e "$button" ] || continue
    {
        dd if="$button" of=/dev/null bs=24 count=1 2>/dev/null
        echo "ARMVM {\"event\":\"power-button\",\"sequence\":0}"
        poweroff -f
    } &
done

report boot
while read -r sequence command one two; do
    case "$command" in
    report) report report "$sequence" ;;
    write) write "$sequence" "$one" "$two" ;;
    reboot)
        echo "ARMVM {\"event\":\"rebooting\",\"sequence\":$sequence}"
        reboot -f ;;
    *) echo "ARMVM {\"event\":\"unknown\",\"sequence\":${sequence:-0}}" ;;
    esac
done
poweroff -f
