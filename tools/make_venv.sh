#!/usr/bin/env bash
# Make the virtual environment of the tests, once per set of requirements.
set -euo pipefail

readonly venv=$1

# Debian has what these tests run and python3's venv module in packages.
function ensure_debian_packages {
    local missing=() PATH=$PATH:/usr/sbin:/sbin
    command -v qemu-img >/dev/null || missing+=(qemu-utils)
    # The flash service is run by it.
    command -v nbdkit >/dev/null || missing+=(nbdkit nbdkit-plugin-python)
    # Images for tests are made by other people's tools, too.
    command -v sgdisk >/dev/null || missing+=(gdisk)
    command -v mkfs.vfat >/dev/null || missing+=(dosfstools)
    command -v mcopy >/dev/null || missing+=(mtools)
    # Nova's libvirt driver asks the host for its uptime.
    command -v uptime >/dev/null || missing+=(procps)
    command -v git >/dev/null || missing+=(git)
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    [[ ${#missing[@]} -eq 0 ]] && return
    if [[ $EUID -ne 0 ]]; then
        echo "Please install: ${missing[*]}" >&2
        exit 1
    fi
    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=600)
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install \
        --no-install-recommends "${missing[@]}"
}

function make_venv {
    [[ -x $venv/bin/python ]] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check \
        -r requirements.txt -r test-requirements.txt \
        -r nova-requirements.txt -r doc/requirements.txt
    "$venv/bin/python" -m pip install -q --disable-pip-version-check \
        --no-deps -e .
}

# Nova's functional tests look for api-paste.ini below site-packages; a wheel
# puts it below the environment.
function link_nova_etc {
    local site
    site=$("$venv/bin/python" -c \
        'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sfn ../../../etc "$site/etc"
}

ensure_debian_packages
make_venv
link_nova_etc
