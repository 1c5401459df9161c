#!/usr/bin/env bash
# Install the collections of requirements.yml into .collections, where ansible.cfg looks for them.
# Where they can't be had, the playbooks do without: roles/terraform_stage/tasks/apply_stand_in.yml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=bootstrap/fail.sh
source bootstrap/fail.sh

say() { printf '%s\n' "$*" >&2; }

# So many seconds for what asks the network whether it is there at all.
patience=20
galaxy() {
    timeout "$1" .venv/bin/ansible-galaxy collection install --force --collections-path .collections "${@:2}" </dev/null 2>&1
}

say "Installing Ansible collections into .collections"
url=$(sed -n 's/^ *- name: *//p' requirements.yml)
version=$(sed -n 's/^ *version: *//p' requirements.yml)
name=$(basename "$url" .git)
# git waits for ever for a machine that doesn't answer, and asks for a password at a terminal.
if GIT_TERMINAL_PROMPT=0 timeout "$patience" git ls-remote --exit-code "$url" "refs/tags/$version" >/dev/null 2>&1; then
    # --force: the stamp is older than requirements.yml, so what is there may be another version
    if ! output=$(galaxy 600 --requirements-file requirements.yml); then
        say "$output"
        fail "the collections of requirements.yml could not be installed" \
            "the message above; git takes them from github.com" \
            "git config --global url.https://your.mirror/.insteadOf https://github.com/   (README.md, Behind a firewall)"
    fi
elif timeout "$patience" .venv/bin/python -c \
    'import urllib.request; urllib.request.urlopen("https://galaxy.ansible.com/api/", timeout=10)' 2>/dev/null &&
    galaxy 120 "$name:$version" >/dev/null; then
    say "$name $version comes from galaxy.ansible.com: $url can't be reached"
else
    mkdir -p .collections
    say "Note: $name can't be had, neither from $url nor from galaxy.ansible.com: community.general's module stands in." \
        "Once it can be: rm -r .collections && make tools"
fi
