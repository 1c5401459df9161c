#!/bin/sh
# Print one line for each thing that must not be in an image. Nothing printed: clean.
say() { while read -r line; do echo "$1: $line"; done; }

find /etc/ssh -name 'ssh_host_*' 2> /dev/null | say "SSH host key"
find /root /home -path '*/.ssh/authorized_keys' -size +0 2> /dev/null | say "authorized keys"
find /root /home \( -name '.bash_history' -o -name '.python_history' \) -size +0 2> /dev/null | say "command history"
[ ! -s /etc/machine-id ] || [ "$(cat /etc/machine-id)" = uninitialized ] || echo "machine id: /etc/machine-id"
find /var/lib/dbus/machine-id -type f 2> /dev/null | say "machine id"
find /var/lib/cloud -mindepth 1 -maxdepth 2 \( -path '*/seed/*' -o -path '*/instances/*' -o -name instance \) 2> /dev/null | say "cloud-init's state"
find /var/lib/apt/lists -type f 2> /dev/null | say "package list"
find /var/cache/apt/archives -name '*.deb' 2> /dev/null | say "downloaded package"
find /root/.cache /home/*/.cache /var/www/.cache -type f 2> /dev/null | say "cache"
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.[0-9]' \) 2> /dev/null | say "rotated log"
# Whoever logs in, and this check itself, writes a line or two; a log that was not emptied is longer.
# lastlog is as long as the highest user id and nearly all holes.
find /var/log -xdev -type f -size +64k ! -path '/var/log/journal/*' ! -name lastlog 2> /dev/null | say "log"
find /var/log/journal -xdev -type f -size +9M 2> /dev/null | say "journal"
find /var/lib/web2py/*/errors /var/lib/web2py/*/sessions -type f 2> /dev/null | say "the application's trace"
find /var/tmp -mindepth 1 -xdev ! -path '*/systemd-private-*' 2> /dev/null | say "temporary file"
find /etc/pip.conf /root/.netrc 2> /dev/null | say "settings of pip"
# Where the application has packages of Debian (argument: how many), these may have brought one.
if [ "${1:-0}" -eq 0 ]; then
    for tool in gcc cc make; do
        command -v "$tool" 2> /dev/null | say "compiler"
    done
fi
exit 0
