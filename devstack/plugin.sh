#!/bin/bash
# DevStack plugin of nova_armvm: what is done when.
#
# DevStack sources it as "plugin.sh MODE [PHASE]".

# Passwords pass through here, so nothing is traced.
_XTRACE_NOVA_ARMVM=$(set +o | grep xtrace)
set +o xtrace

# unstack.sh and clean.sh of some releases do not read settings before.
if [[ -z "${ARMVM_DIR:-}" ]]; then
    # shellcheck source=devstack/settings
    source "$(dirname "${BASH_SOURCE[0]}")/settings"
fi

# shellcheck source=devstack/lib/options
source "$ARMVM_DIR/devstack/lib/options"
# shellcheck source=devstack/lib/compute
source "$ARMVM_DIR/devstack/lib/compute"
# shellcheck source=devstack/lib/flash_service
source "$ARMVM_DIR/devstack/lib/flash_service"
# shellcheck source=devstack/lib/guest
source "$ARMVM_DIR/devstack/lib/guest"
# shellcheck source=devstack/lib/cloud
source "$ARMVM_DIR/devstack/lib/cloud"
# shellcheck source=devstack/lib/tempest
source "$ARMVM_DIR/devstack/lib/tempest"

# armvm_stack PHASE
function armvm_stack {
    case $1 in
        pre-install)
            echo_summary "Installing packages for ARM servers"
            if is_service_enabled n-cpu; then
                armvm_install_compute_packages
                armvm_install_service_packages
            fi
            if armvm_has_guest; then
                armvm_install_guest_packages
            fi
            ;;
        install)
            echo_summary "Installing nova_armvm"
            if is_service_enabled nova; then
                armvm_install_driver
            fi
            if armvm_has_guest; then
                armvm_build_guest
            fi
            ;;
        post-config)
            if is_service_enabled nova; then
                echo_summary "Configuring Nova for ARM servers"
                armvm_configure_nova
            fi
            if is_service_enabled n-cpu; then
                echo_summary "Starting the flash service for ARM servers"
                armvm_start_service
            fi
            ;;
        extra)
            # The node with Cinder's API is the one that makes the cloud.
            if is_service_enabled c-api; then
                echo_summary "Configuring the cloud for ARM servers"
                armvm_configure_cloud
            fi
            ;;
        test-config)
            if is_service_enabled tempest; then
                echo_summary "Configuring Tempest for ARM servers"
                armvm_configure_tempest
            fi
            ;;
    esac
}

function armvm_unstack {
    echo_summary "Undoing what was done for ARM servers"
    armvm_undo_tempest
    armvm_undo_cloud
    armvm_undo_nova
    # Last: guests that still run write to it.
    if is_service_enabled n-cpu; then
        armvm_stop_service
    fi
}

case $1 in
    stack)
        armvm_stack "${2:-}"
        ;;
    unstack)
        armvm_unstack
        ;;
    clean)
        # DevStack has unstacked before, unless nothing ran.
        armvm_unstack
        armvm_clean_service
        pip_uninstall nova-armvm
        rm -rf "${ARMVM_STATE_DIR:?}"
        ;;
esac

$_XTRACE_NOVA_ARMVM
