#!/usr/bin/env bash
# Install the collections of requirements.yml into .collections, where ansible.cfg looks for them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "Installing Ansible collections into .collections" >&2
# --force: the stamp is older than requirements.yml, so what is there may be another version
if ! output=$(.venv/bin/ansible-galaxy collection install --force --requirements-file requirements.yml \
    --collections-path .collections </dev/null 2>&1); then
    printf '%s\n\nERROR: %s\n  Look at: %s\n  Type:    %s\n' "$output" \
        "the collections of requirements.yml could not be installed" \
        "the message above; git takes them from github.com" \
        "git config --global url.https://your.mirror/.insteadOf https://github.com/   (README.md, Behind a firewall)" >&2
    exit 1
fi
