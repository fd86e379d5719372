# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Part of init.sh: writes variables all the time and tells of each operation
# before ("begin") and after it ("end"), so that what the guest was told can
# be held against what is found after a crash; see tools/sandbox/history.
#
# Operations are numbered: seconds of the clock at boot, then 20 bits that
# count. So a number is above every number of earlier boots, whatever happened
# to the store. Forks cost more than all the rest here, so there are few.

# Of init.sh:
: "${vars:?}" "${again:?}" "${disk=}" "${boot_id:?}"

busy_names='ArmvmH0 ArmvmH1 ArmvmH2 ArmvmH3 ArmvmH4 ArmvmH5'
# What goes on after a reboot; holds the seed.
busy_variable=ArmvmBusy
# There while it is wanted, and while it goes on.
busy_wanted=/tmp/busy-wanted
busy_going=/tmp/busy-going
# The last operation before it ended.
busy_last=/tmp/busy-last
busy_bell=$(printf '\007')
busy_operation=0
busy_random=1

# Into $made what variable $1 holds after operation $2 with filler of $3
# characters. Every part of it says which operation it is of.
busy_compose() {
    filler="$2."
    while [ ${#filler} -lt "$3" ]; do
        filler="$filler$filler"
    done
    # shellcheck disable=SC3057 # busybox has it
    made="$1 $2 $3 ${filler:0:$3}"
}

# Into $seen what variable $1 is: an operation, "torn" or "absent".
busy_look() {
    seen=absent
    [ -f "$vars/$1-$again" ] || return 0
    # The shell drops three bytes of zeros; what is left of the attributes
    # stands in front of the content.
    text=$(cat "$vars/$1-$again" 2>/dev/null)
    [ -n "$text" ] || return 0
    seen=torn
    rest=${text#* }
    number=${rest%% *}
    rest=${rest#* }
    length=${rest%% *}
    case "$number$length" in *[!0-9]* | '') return 0 ;; esac
    [ "$length" -le 8192 ] || return 0
    busy_compose "$1" "$number" "$length"
    [ "$text" != "$busy_bell$made" ] || seen=$number
}

# busy_history SEQUENCE: what all of the variables are.
busy_history() {
    all=
    for name in $busy_names; do
        busy_look "$name"
        all="$all${all:+,}\"$name\":\"$seen\""
    done
    echo "ARMVM {\"event\":\"history\",\"sequence\":${1:-0}," \
        "\"disk\":\"$disk\",\"boot_id\":\"$boot_id\"," \
        "\"operation\":$busy_operation,\"seed\":\"$busy_seed\"," \
        "\"seen\":{$all}}"
}

# Into $draw a number below $1.
busy_draw() {
    busy_random=$(((busy_random * 1103515245 + 12345) & 0x7fffffff))
    draw=$(((busy_random >> 8) % $1))
}

# What comes next: into $name, $kind and $size.
busy_choose() {
    busy_draw 6
    name=ArmvmH$draw
    busy_draw 16
    kind='write'
    size=0
    if [ "$draw" = 0 ]; then
        kind=delete
        return
    fi
    busy_draw 24
    if [ "$draw" = 0 ]; then
        # All of it has to go to the kernel in one piece, of a page at most.
        busy_draw 2000
        size=$((2000 + draw))
    else
        busy_draw 600
        size=$((24 + draw))
    fi
}

# Does what was chosen. Into $result: ok, failed (the guest was told so), or
# other (it was told that it is done, and finds something else).
busy_do() {
    file="$vars/$name-$again"
    wanted=$busy_operation
    if [ "$kind" = delete ]; then
        wanted=absent
        rm -f "$file" 2>/dev/null
    else
        busy_compose "$name" "$busy_operation" "$size"
        { printf '\007\000\000\000%s' "$made" >"$file"; } 2>/dev/null
    fi
    told=$?
    result=ok
    busy_look "$name"
    [ "$seen" = "$wanted" ] || result=other
    [ "$told" = 0 ] || result=failed
}

busy_loop() {
    busy_choose
    while [ -f $busy_wanted ]; do
        busy_operation=$((busy_operation + 1))
        echo "ARMVM {\"event\":\"begin\",\"sequence\":0," \
            "\"operation\":$busy_operation,\"name\":\"$name\"," \
            "\"kind\":\"$kind\"}"
        busy_do
        done_name=$name
        done_seen=$seen
        busy_choose
        # What comes next is told here as well: its own line may be lost with
        # the power.
        echo "ARMVM {\"event\":\"end\",\"sequence\":0," \
            "\"operation\":$busy_operation,\"name\":\"$done_name\"," \
            "\"result\":\"$result\",\"seen\":\"$done_seen\"," \
            "\"next\":\"$name\",\"next_kind\":\"$kind\"}"
        if [ $((busy_operation % 64)) = 0 ]; then
            next_name=$name
            busy_history 0
            name=$next_name
        fi
    done
    echo $busy_operation >$busy_last
    rm -f $busy_going
}

# Numbers from here on are above all that is there.
busy_number() {
    busy_operation=$(($(date +%s) << 20))
    for name in $busy_names; do
        busy_look "$name"
        case $seen in absent | torn) continue ;; esac
        [ "$seen" -lt $busy_operation ] ||
            busy_operation=$((((seen >> 20) + 1) << 20))
    done
}

busy_begin() {
    : >$busy_wanted
    [ -f $busy_going ] && return
    : >$busy_going
    # The kernel says that a write takes long, in the middle of our lines.
    dmesg -n 1
    busy_random=$(((busy_seed ^ (busy_operation >> 20)) & 0x7fffffff))
    busy_loop </dev/null &
}

# At boot: tells what is there, and goes on if it was busy before.
busy_boot() {
    busy_seed=$(cat "$vars/$busy_variable-$again" 2>/dev/null)
    busy_seed=${busy_seed#"$busy_bell"}
    case $busy_seed in *[!0-9]*) busy_seed= ;; esac
    busy_number
    busy_history 0
    [ -z "$busy_seed" ] || busy_begin
}

# busy SEQUENCE SEED
busy() {
    busy_seed=$2
    { printf '\007\000\000\000%s' "$2" >"$vars/$busy_variable-$again"; } \
        2>/dev/null
    busy_begin
    echo "ARMVM {\"event\":\"busy\",\"sequence\":$1," \
        "\"operation\":$busy_operation}"
}

# idle SEQUENCE: answers when the last operation is done.
idle() {
    rm -f $busy_wanted "$vars/$busy_variable-$again"
    while [ -f $busy_going ]; do
        sleep 0.1
    done
    busy_seed=
    [ ! -f $busy_last ] || read -r busy_operation <$busy_last
    busy_history 0
    echo "ARMVM {\"event\":\"idle\",\"sequence\":$1}"
}
