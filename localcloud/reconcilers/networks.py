"""VPC: one Docker network per VPC with its CIDR, made when something is launched into it.

Docker gives each address of this machine to one network. Of two VPCs with one CIDR, which AWS runs side by side, the
one with nothing in it gives way to the other; where both are in use, or another cloud on this machine has the
addresses, what is launched into the second ends with the reason.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import time
from typing import Any

import docker.errors

from localcloud import backends
from localcloud.config import LABEL_ID, LABEL_PORT
from localcloud.controller import Action, Observed
from localcloud.docker_host import DockerHost

LOGGER = logging.getLogger(__name__)
RETRY_INTERVAL = 10.0  # seconds before a network is tried again whose addresses another program has

# Why a VPC can't have its network now: VPC id -> what has its addresses, and what to type.
unavailable: dict[str, str] = {}


class Networks:
    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._try_after: dict[str, float] = {}  # VPC id whose addresses another program has -> when to try again

    def reconcile(self, observed: Observed) -> list[Action]:
        actions = []
        vpcs = {vpc.id: vpc for backend in backends.each("ec2") for vpc in backend.vpcs.values()}
        in_use = vpcs_in_use()
        wanted = [vpc for vpc in vpcs.values() if vpc.id in in_use and vpc.id not in observed.networks]
        for vpc_id in unavailable.keys() - {vpc.id for vpc in wanted}:
            del unavailable[vpc_id]
            self._try_after.pop(vpc_id, None)
        for vpc in wanted:
            holder = next((vpcs[other] for other in observed.networks if overlap(vpc, vpcs.get(other))), None)
            if holder is None:
                if time.monotonic() >= self._try_after.get(vpc.id, 0.0):
                    create = functools.partial(self._create, vpc.id, vpc.cidr_block)
                    actions.append(Action(vpc.id, f"create network {vpc.cidr_block}", create))
            elif holder.id in in_use:
                has = f"VPC {holder.id} ({holder.cidr_block}) has"
                look = f"aws ec2 describe-network-interfaces --filters Name=vpc-id,Values={holder.id}"
                say_unavailable(vpc.id, vpc.cidr_block, has, f"end what is in that one ({look})")
            else:
                give_way = functools.partial(self._remove, holder.id, observed.networks[holder.id])
                actions.append(Action(holder.id, f"give way to {vpc.id}", give_way))
        for vpc_id, network_id in observed.networks.items():
            if vpc_id not in vpcs and f"metadata-{vpc_id}" not in observed.of_kind("instance-metadata"):
                remove = functools.partial(self._docker.remove_network, network_id)
                actions.append(Action(vpc_id, "remove network", remove))
        return actions

    def _create(self, vpc_id: str, cidr: str) -> None:
        gateway = str(ipaddress.ip_network(cidr).network_address + 1)
        try:
            self._docker.create_network(vpc_id, cidr, gateway)
        except docker.errors.APIError:
            found = self._docker.network_over(cidr)
            if found is None or found.labels.get(LABEL_PORT) == str(self._docker.settings.port):
                raise  # one of ours is being removed, or the next pass sees whose it is
            self._try_after[vpc_id] = time.monotonic() + RETRY_INTERVAL
            port = found.labels.get(LABEL_PORT)
            if port:
                has = f"VPC {found.labels.get(LABEL_ID)} of the local cloud at port {port} has"
                say_unavailable(vpc_id, cidr, has, f"type: LOCALCLOUD_PORT={port} python -m localcloud down")
            else:
                say_unavailable(
                    vpc_id, cidr, f"Docker's network {found.name} has", f"type: docker network rm {found.name}"
                )

    def _remove(self, vpc_id: str, network_id: str) -> None:
        self._docker.remove_container(self._docker.settings.resource_name(f"metadata-{vpc_id}"))
        self._docker.remove_network(network_id)


def say_unavailable(vpc_id: str, cidr: str, has: str, otherwise: str) -> None:
    """Remember, and say once in the log, why a VPC has no network: what `has` its addresses, what to do `otherwise`."""
    reason = (
        f"VPC {vpc_id} ({cidr}) can't have its addresses on this machine: {has} them, and Docker gives them once. "
        f"Use a VPC with another CIDR block, or {otherwise}."
    )
    if unavailable.get(vpc_id) != reason:
        LOGGER.error("%s", reason)
    unavailable[vpc_id] = reason


def overlap(vpc: Any, other: Any | None) -> bool:
    """Whether two VPCs have addresses in common."""
    return other is not None and ipaddress.ip_network(vpc.cidr_block).overlaps(ipaddress.ip_network(other.cidr_block))


def vpcs_in_use() -> set[str]:
    """Ids of the VPCs that have a network interface, or a machine that is shutting down. Under the API lock."""
    found = set()
    for backend in backends.each("ec2"):
        found |= {interface.subnet.vpc_id for interface in backend.enis.values() if interface.subnet is not None}
        found |= {instance.vpc_id for instance in backend.all_instances() if instance.state != "terminated"}
    return found
