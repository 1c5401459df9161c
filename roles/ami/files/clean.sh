#!/bin/sh
# Clean a Debian host for cloning. What is gone comes back at the next boot, new for each clone.
set -eu

empty() { # the directories stay, what is in them goes
    for directory in "$@"; do
        [ ! -d "$directory" ] || find "$directory" -xdev -mindepth 1 -delete
    done
}

# What writes; it starts again at boot.
systemctl stop nginx uwsgi-web2py

# cloud-init forgets that it ran, and the seed that told it who this host was. First of all: when this script is interrupted
# anywhere, the next boot makes what is gone.
if command -v cloud-init > /dev/null; then
    cloud-init clean --logs --seed
fi

# Packages: downloads, lists, caches of pip and compilers.
apt-get clean
empty /var/lib/apt/lists
rm -rf /root/.cache /home/*/.cache /var/www/.cache /var/cache/debconf/*-old /var/cache/man /var/lib/dpkg/*-old

# Where pip was told to ask, and as whom: a run that was interrupted leaves it.
rm -f /etc/pip.conf /root/.netrc

# The application's traces on this host.
for application in /var/lib/web2py/*/; do
    empty "${application}errors" "${application}sessions" "${application}cache"
done

# Who this host is.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/systemd/timers/stamp-*
rm -f /var/lib/dhcp/* /var/lib/NetworkManager/* 2>/dev/null || true

# Who may log in, and what they did.
for home in /root /home/*; do
    rm -f "$home"/.ssh/authorized_keys "$home"/.ssh/known_hosts "$home"/.bash_history "$home"/.python_history "$home"/.wget-hsts "$home"/.lesshst
    # Ansible's own working directory is in use until this script ends; its leftovers from earlier runs are not.
    [ ! -d "$home/.ansible" ] || find "$home/.ansible" -xdev -mindepth 1 -mmin +1 -type f -delete
done
empty /var/tmp

# Logs last: what went before writes some. Programs that have a log open go on writing into it, so files are emptied
# before they are removed, and the journal's are rotated away.
journalctl --flush --rotate --quiet 2> /dev/null || true
journalctl --vacuum-time=1s --quiet 2> /dev/null || true
rm -rf /var/log/journal/* /run/log/journal/*
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' -o -name '*-????????' \) -delete
find /var/log -xdev -type f -exec truncate --size=0 {} +

sync
