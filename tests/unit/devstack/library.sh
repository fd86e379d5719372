#!/bin/bash
# What plugin.sh finds when DevStack sources it: functions that behave as those
# of DevStack do, without a machine behind them. Each function that would
# change the machine leaves a line in $CALLS.
#
# Written from what DevStack's functions-common, inc/python and stackrc do, not
# from their text.

# shellcheck disable=SC2034
SYSTEMCTL="sudo systemctl"

function record {
    echo "$*" >> "$CALLS"
}

# shellcheck source=/dev/null
source "$HERE/ini.sh"

# Takes the name of a variable; a value that is no such word is the default.
function trueorfalse {
    case "${!2:-}" in
        1 | [yY]es | YES | [tT]rue | TRUE) echo True ;;
        0 | [nN]o | NO | [fF]alse | FALSE) echo False ;;
        *) echo "$1" ;;
    esac
}

# Messages and the end of everything.
function echo_summary {
    echo "SUMMARY $*"
}

function die {
    local status=$?
    shift
    echo "[ERROR] $*" >&2
    if [[ $status -eq 0 ]]; then
        status=1
    fi
    exit $status
}

function die_if_not_set {
    local status=$? name=$2
    if [[ $status -ne 0 || -z "${!name:-}" ]]; then
        (exit $status) || true
        die "$1" "${@:3}"
    fi
}

function exit_distro_not_supported {
    die 0 "Support for this distribution is incomplete: $*"
}

# The machine.
function is_arch {
    [[ "$(uname -m)" == "$1" ]]
}

function is_ubuntu {
    [[ "$FAKE_DISTRIBUTION" == "ubuntu" ]]
}

function is_fedora {
    [[ "$FAKE_DISTRIBUTION" == "fedora" ]]
}

function is_suse {
    return 1
}

# Any of the services; "nova" is any of Nova's.
function is_service_enabled {
    local service
    for service in "$@"; do
        if [[ ",$ENABLED_SERVICES," == *",$service,"* ]]; then
            return 0
        fi
        if [[ "$service" == nova && ",$ENABLED_SERVICES" == *",n-"* ]]; then
            return 0
        fi
    done
    return 1
}

function enable_service {
    if ! is_service_enabled "$1"; then
        ENABLED_SERVICES+=",$1"
    fi
}

# Packages and processes.
function install_package {
    record "install_package $*"
}

function setup_develop {
    record "setup_develop $*"
}

function setup_dev_lib {
    record "setup_dev_lib $*"
}

function pip_install {
    record "pip_install $*"
}

function pip_uninstall {
    record "pip_uninstall $*"
}

function run_process {
    if is_service_enabled "$1"; then
        record "run_process $*"
    fi
}

function stop_process {
    if is_service_enabled "$1"; then
        record "stop_process $*"
    fi
}

# Keystone.
function get_or_create_role {
    openstack --os-cloud devstack-system-admin role create "$1" --or-show \
        -f value -c id
}

# get_or_add_user_project_role ROLE USER PROJECT [USER_DOMAIN PROJECT_DOMAIN]
function get_or_add_user_project_role {
    openstack --os-cloud devstack-system-admin role add "$1" --user "$2" \
        --project "$3" --user-domain "$4" --project-domain "$5"
    openstack --os-cloud devstack-system-admin role assignment list \
        --role "$1" --user "$2" --project "$3" --user-domain "$4" \
        --project-domain "$5" -f value -c Role
}

# Plugins.
declare -A GITDIR
DEVSTACK_PLUGINS=

# enable_plugin NAME URL [BRANCH]
function enable_plugin {
    if [[ ",$DEVSTACK_PLUGINS," == *",$1,"* ]]; then
        die 0 "Plugin attempted to be enabled twice: $1"
    fi
    DEVSTACK_PLUGINS+=",$1"
    GITDIR[$1]=$DEST/$1
}

function define_plugin {
    :
}

function plugin_requires {
    :
}

# run_phase MODE [PHASE]
function run_phase {
    local plugin directory
    for plugin in ${DEVSTACK_PLUGINS//,/ }; do
        directory=${GITDIR[$plugin]}
        if [[ "$1" == "source" ]]; then
            # shellcheck source=/dev/null
            source "$directory/devstack/settings"
        elif [[ "$1" == "override_defaults" ]]; then
            if [[ -f "$directory/devstack/override-defaults" ]]; then
                # shellcheck source=/dev/null
                source "$directory/devstack/override-defaults"
            fi
        else
            # shellcheck source=/dev/null
            source "$directory/devstack/plugin.sh" "$1" "${2:-}"
        fi
    done
}
