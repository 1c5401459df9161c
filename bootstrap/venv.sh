#!/usr/bin/env bash
# Make or update a virtual environment from pinned requirements files: bootstrap/venv.sh .venv requirements.txt [more.txt ...]
# The one part of the bootstrap that is not Python, because it has to find a Python first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minimum='3, 11'
venv=$1
shift

# shellcheck source=bootstrap/fail.sh
source bootstrap/fail.sh

new_enough() { "$1" -c "import sys; sys.exit(sys.version_info < ($minimum))" 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found (${PYTHON:+$PYTHON, }python3, python3.13, python3.12, python3.11)" \
        "python3 --version" \
        "sudo apt-get install python3.11 python3.11-venv   (or: make PYTHON=/path/to/python3 ...)"
}

# Debian and Ubuntu keep ensurepip, which `python -m venv` needs, in a package of its own.
install_venv_package() {
    local python=$1 package root=()
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ]; then
        if [ -t 0 ]; then root=(sudo); else root=(sudo -n); fi
    fi
    echo "Installing $package (Python's venv module is a package of its own here)" >&2
    "${root[@]}" apt-get update --quiet=2 || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes "$package" >/dev/null ||
        fail "Python's venv module is missing and $package could not be installed" \
            "apt-get's message above" \
            "sudo apt-get install $package"
}

usable() { new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }

if ! usable; then
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_package "$python"
    # --clear: what an interrupted run left is no base to build on
    "$python" -m venv --clear "$venv" ||
        fail "the virtual environment $venv could not be made" "the message above" "rm -rf $venv && make tools"
fi

echo "Installing ${*} into $venv (the first time takes about a minute)" >&2
requirements=()
for file in "$@"; do requirements+=(--requirement "$file"); done
# --no-compile: Python does so at the first import, and most of the package ansible is never imported.
"$venv/bin/python" -m pip install --no-compile --quiet --quiet --disable-pip-version-check --no-input "${requirements[@]}" ||
    fail "pip could not install the pinned packages of ${*}" \
        "pip's message above; is https://pypi.org reachable from here?" \
        "PIP_INDEX_URL=https://your.mirror/simple make tools   (README.md, Behind a firewall)"
