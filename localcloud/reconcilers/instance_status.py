"""Status checks: whether a running machine has booted, and answers on its network.

As AWS does, the machine's network interface is asked by ARP, which no security group filters: this machine is on the
instances' network. That it has booted is seen from its cgroups, where systemd puts its services. Both cost next to
nothing, and nothing runs in the instance for it.
"""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import Any

from moto.core.utils import utcnow

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.overlay.ec2 import IMPAIRED, INITIALIZING, OK
from localcloud.reconcilers import instances

LOGGER = logging.getLogger(__name__)
BOOT_TIMEOUT = 90.0  # seconds for a machine to boot before it counts as impaired
CHECK_INTERVAL = 15.0  # seconds between two checks of machines that have booted; AWS: a minute
ARP_TABLE = Path("/proc/net/arp")
ARP_COMPLETE = 0x2  # the flag of an entry whose MAC address is known
CGROUP_ROOT = Path("/sys/fs/cgroup")
# A container's cgroup: version 1 with the cgroupfs and the systemd driver, version 2 likewise.
CGROUP_PATTERNS = (
    "systemd/docker/{id}",
    "systemd/system.slice/docker-{id}.scope",
    "docker/{id}",
    "system.slice/docker-{id}.scope",
)
# The service that makes an instance one that can be logged into.
BOOTED = "system.slice/ssh.service"


class InstanceStatus:
    """Writes the result of the checks to the instances."""

    def __init__(self, cgroup_root: Path = CGROUP_ROOT, arp_table: Path = ARP_TABLE) -> None:
        self._cgroup_root = cgroup_root
        self._arp_table = arp_table
        self._probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._probe.setblocking(False)
        self._next_check = 0.0

    def reconcile(self, observed: Observed) -> list[Action]:
        running = [
            instance
            for backend in backends.each("ec2")
            for instance in backend.all_instances()
            if instance.state == "running"
        ]
        due = time.monotonic() >= self._next_check
        checked = [instance for instance in running if due or instance.status_check != OK]
        if not checked:
            return []
        if due:
            self._next_check = time.monotonic() + CHECK_INTERVAL
        neighbours = self._neighbours()
        containers = observed.of_kind(instances.KIND)
        for instance in checked:
            container = containers.get(instance.id)
            reachable = neighbours.get(instance.private_ip)
            self._ask(instance.private_ip)  # for the next look
            booted = container is not None and container.running and self._has_booted(container.container_id)
            if booted and reachable:
                self._record(instance, OK)
            elif instance.status_check == INITIALIZING:
                if time.time() > instance.booting_since + BOOT_TIMEOUT:
                    self._record(instance, IMPAIRED)
            elif booted and reachable is not False:
                continue  # the kernel does not know yet
            else:
                self._record(instance, IMPAIRED)
        return []

    def _record(self, instance: Any, status: str) -> None:
        if instance.status_check == status:
            return
        if status == IMPAIRED:
            instance.impaired_since = utcnow()
            LOGGER.warning(
                "%s: its status is impaired: it has not booted, or does not answer on its network; "
                "look: aws ec2 get-console-output --latest --instance-id %s",
                instance.id,
                instance.id,
            )
        instance.status_check = status

    def _has_booted(self, container_id: str) -> bool:
        """Whether its services run. Where the machine's cgroups can't be seen, that is left to the network."""
        for pattern in CGROUP_PATTERNS:
            cgroup = self._cgroup_root / pattern.format(id=container_id)
            if cgroup.is_dir():
                return (cgroup / BOOTED).is_dir()
        return True

    def _ask(self, address: str) -> None:
        """Have the kernel ask for the MAC address, by a datagram that nobody waits for (port 9 discards)."""
        try:
            self._probe.sendto(b"", (address, 9))
        except OSError as error:
            LOGGER.debug("%s: %s", address, error)

    def _neighbours(self) -> dict[str, bool]:
        """Address -> whether it answered the kernel's last question."""
        found = {}
        for line in self._arp_table.read_text().splitlines()[1:]:
            address, _type, flags, *_rest = line.split()
            found[address] = bool(int(flags, 16) & ARP_COMPLETE)
        return found
