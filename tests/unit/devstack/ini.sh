#!/bin/bash
# DevStack's functions for configuration files. They behave as those of its
# inc/ini-config do: a section ends where a line begins with "[", an option is
# set in every place where it stands in its section, or put right below the
# section's name, and a section that is missing is made at the end, behind an
# empty line. With -sudo as the first word root's files can be written.

# Read a file that may be missing. Sets LINES.
function ini_read {
    LINES=()
    if [[ -e "$1" ]]; then
        mapfile -t LINES < "$1"
    fi
}

# ini_write FILE [-sudo]
function ini_write {
    if [[ "$1" == "$SYSTEMD_DIR"/* ]]; then
        if [[ "${2:-}" != "-sudo" ]]; then
            die 0 "$1 belongs to root: use -sudo"
        fi
        record "sudo write $1"
    fi
    if [[ ${#LINES[@]} -gt 0 ]]; then
        printf '%s\n' "${LINES[@]}" > "$1"
    else
        : > "$1"
    fi
}

# Look in LINES for a section, and an option in it. Sets HEADER, the number of
# the line with the section's name or -1, and PLACES, those with the option.
# ini_find SECTION OPTION
function ini_find {
    local number
    HEADER=-1
    PLACES=()
    for number in "${!LINES[@]}"; do
        if [[ $HEADER -lt 0 ]]; then
            if [[ "${LINES[number]}" == "[$1]"* ]]; then
                HEADER=$number
            fi
        elif [[ "${LINES[number]}" == "["* ]]; then
            return 0
        elif [[ "${LINES[number]}" =~ ^$2[[:blank:]]*= ]]; then
            PLACES+=("$number")
        fi
    done
}

# Put a line right below a section's name; make the section.
# ini_insert SECTION LINE
function ini_insert {
    if [[ $HEADER -lt 0 ]]; then
        LINES+=("" "[$1]")
        HEADER=$((${#LINES[@]} - 1))
    fi
    LINES=("${LINES[@]:0:HEADER + 1}" "$2" "${LINES[@]:HEADER + 1}")
}

# iniset [-sudo] FILE SECTION OPTION VALUE
function iniset {
    local sudo='' number
    if [[ "$1" == "-sudo" ]]; then
        sudo=$1
        shift
    fi
    if [[ -z "$2" || -z "$3" ]]; then
        return 0
    fi
    ini_read "$1"
    ini_find "$2" "$3"
    if [[ ${#PLACES[@]} -eq 0 ]]; then
        ini_insert "$2" "$3 = $4"
    fi
    for number in "${PLACES[@]}"; do
        [[ "${LINES[number]}" =~ ^$3[[:blank:]]*=[[:blank:]]* ]]
        LINES[number]=${BASH_REMATCH[0]}$4
    done
    ini_write "$1" "$sudo"
}

# The words of the value; where there are several lines, what follows the first
# "=" of all of them.
# iniget FILE SECTION OPTION
function iniget {
    local number text=''
    ini_read "$1"
    ini_find "$2" "$3"
    for number in "${PLACES[@]}"; do
        text+="${LINES[number]} "
    done
    # shellcheck disable=SC2086
    echo ${text#*=}
}

# iniadd [-sudo] FILE SECTION OPTION VALUE...
function iniadd {
    local sudo='' file=$1 number position words=()
    if [[ "$1" == "-sudo" ]]; then
        sudo=$1
        shift
        file=$1
    fi
    ini_read "$file"
    ini_find "$2" "$3"
    # Each word is a value.
    for number in "${PLACES[@]}"; do
        # shellcheck disable=SC2206
        words+=(${LINES[number]#*=})
        unset "LINES[number]"
    done
    # shellcheck disable=SC2206
    words+=(${*:4})
    LINES=("${LINES[@]}")
    for ((position = ${#words[@]} - 1; position >= 0; position--)); do
        ini_insert "$2" "$3 = ${words[position]}"
    done
    ini_write "$file" "$sudo"
}

# Put a "#" before each place with the option, or remove it.
# ini_change COMMENT [-sudo] FILE SECTION OPTION
function ini_change {
    local comment=$1 sudo='' number
    shift
    if [[ "$1" == "-sudo" ]]; then
        sudo=$1
        shift
    fi
    ini_read "$1"
    ini_find "$2" "$3"
    for number in "${PLACES[@]}"; do
        if [[ -n "$comment" ]]; then
            LINES[number]="#${LINES[number]}"
        else
            unset "LINES[number]"
        fi
    done
    LINES=("${LINES[@]}")
    ini_write "$1" "$sudo"
}

function inidelete {
    ini_change "" "$@"
}

function inicomment {
    ini_change "#" "$@"
}

# ini_has_option FILE SECTION OPTION
function ini_has_option {
    ini_read "$1"
    ini_find "$2" "$3"
    [[ ${#PLACES[@]} -gt 0 ]]
}
