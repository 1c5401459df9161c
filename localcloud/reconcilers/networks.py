"""VPC: one Docker network per VPC with its CIDR. A default VPC gets one when something is launched into it."""

from __future__ import annotations

import functools
import ipaddress

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.docker_host import DockerHost


class Networks:
    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host

    def reconcile(self, observed: Observed) -> list[Action]:
        actions = []
        vpcs = {vpc.id: vpc for backend in backends.each("ec2") for vpc in backend.vpcs.values()}
        in_use = {
            subnet.vpc_id
            for backend in backends.each("ec2")
            for interface in backend.enis.values()
            if (subnet := interface.subnet) is not None
        }
        for vpc_id, vpc in vpcs.items():
            if vpc_id in observed.networks or (vpc.is_default in (True, "true") and vpc_id not in in_use):
                continue
            gateway = str(ipaddress.ip_network(vpc.cidr_block).network_address + 1)
            create = functools.partial(self._docker.create_network, vpc_id, vpc.cidr_block, gateway)
            actions.append(Action(vpc_id, f"create network {vpc.cidr_block}", create))
        for vpc_id, network_id in observed.networks.items():
            if vpc_id not in vpcs and f"metadata-{vpc_id}" not in observed.of_kind("instance-metadata"):
                remove = functools.partial(self._docker.remove_network, network_id)
                actions.append(Action(vpc_id, "remove network", remove))
        return actions
