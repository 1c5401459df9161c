"""Security groups and route tables: which packets the VPCs' machines may send and receive.

All of them together are one packet filter on this machine, rendered anew from moto's state in each pass and put in
force when it differs. So a changed rule, a new member of a group and a replaced route are all the same thing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import ipaddress
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from localcloud import backends, nftables
from localcloud.backends import API_LOCK
from localcloud.controller import Action, Observed
from localcloud.docker_host import DockerHost
from localcloud.nftables import Interface, PacketFilter, PacketFilterError, Route, Rule, SecurityGroup, Vpc
from localcloud.overlay import rds
from localcloud.overlay.interfaces import metadata_address

LOGGER = logging.getLogger(__name__)
KEY = nftables.KIND
RETRY_INTERVAL = 30.0  # seconds before rules that were refused are tried again unchanged
RESOLVERS = Path("/etc/resolv.conf")  # Docker's own, which it asks for the machines
ANYWHERE = "0.0.0.0/0"
PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "all": nftables.ANY}  # other names of the same


class Traffic:
    """Keeps the packet filter as the security groups and route tables want it."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._settings = docker_host.settings
        self._filter = PacketFilter(docker_host)
        self._in_force: tuple[str, str] | None = None  # (the helper's container id, the rules)
        self._refused: tuple[str, float] | None = None  # (the rules, when to try again)
        self._reported: set[str] = set()

    def establish(self) -> None:
        """Put the filter in force before anything runs. Raises PacketFilterError when it can't be."""
        with API_LOCK:
            rules = self._rules()
        self._in_force = (self._filter.apply(rules), rules)

    def reconcile(self, observed: Observed) -> list[Action]:
        if KEY in observed.busy:
            return []
        rules = self._rules()
        helper = observed.of_kind(nftables.KIND).get(nftables.KIND)
        if helper and helper.running and self._in_force == (helper.container_id, rules):
            return []
        if self._refused and self._refused[0] == rules and time.monotonic() < self._refused[1]:
            return []
        return [Action(KEY, "put the changed rules in force", functools.partial(self._apply, rules))]

    def _apply(self, rules: str) -> None:
        try:
            self._in_force = (self._filter.apply(rules), rules)
            self._refused = None
        except PacketFilterError:
            again = self._refused is not None and self._refused[0] == rules
            self._refused = (rules, time.monotonic() + RETRY_INTERVAL)
            if not again:
                raise

    def _rules(self) -> str:
        """The rules as they should be. What can't be enforced is in the log, once. Under the API lock."""
        problems: set[str] = set()
        vpcs = [vpc for backend in backends.each("ec2") for vpc in self._vpcs(backend, problems)]
        for problem in sorted(problems - self._reported):
            LOGGER.warning("%s", problem)
        self._reported = problems
        table, bridges = nftables.table_name(self._settings), self._settings.bridge_prefix
        return nftables.render(table, bridges, vpcs, resolvers())

    def _vpcs(self, backend: Any, problems: set[str]) -> Iterator[Vpc]:
        interfaces = interfaces_by_vpc(backend, problems)
        for vpc_id, found in interfaces.items():
            vpc = backend.vpcs.get(vpc_id)
            if vpc is None:
                continue
            groups = backend.groups.get(vpc_id, {}).values()
            subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
            problems.update(unenforced_acls(backend, vpc_id))
            described = Vpc(
                bridge=self._settings.bridge_name(vpc_id),
                cidr=vpc.cidr_block,
                interfaces=tuple(found),
                groups={group.id: describe_group(backend, group, problems) for group in groups},
                subnets={
                    subnet.cidr_block: tuple(describe_routes(backend, subnet, problems))
                    for subnet in subnets
                    if subnet.vpc_id == vpc_id
                },
                s3=metadata_address(vpc.cidr_block),
            )
            yield dataclasses.replace(described, s3_clients=tuple(s3_clients(backend, described)))


# -- from moto's state to plain values, under the lock ------------------------------------------------------------


def interfaces_by_vpc(backend: Any, problems: set[str]) -> dict[str, list[Interface]]:
    """VPC id -> the interfaces in it."""
    known = dict(backend.enis)
    for instance in backend.all_instances():
        if instance.state != "terminated":
            # moto forgets the interface when the instance begins to shut down, but the machine needs it to the end.
            known |= {interface.id: interface for interface in instance.nics.values()}
    public = public_interfaces(backend)
    found: dict[str, list[Interface]] = {}
    for interface_id, interface in sorted(known.items()):
        subnet, address = interface.subnet, interface.private_ip_address
        try:
            if ipaddress.IPv4Address(address) not in subnet.cidr:
                continue
            groups = tuple(sorted({group.id for group in interface.group_set}))
        except (ValueError, AttributeError) as error:
            problems.add(f"{interface_id}: the interface is malformed, so nothing reaches it: {error}")
            continue
        is_public = bool(interface.public_ip) or interface_id in public
        found.setdefault(subnet.vpc_id, []).append(Interface(address, groups, is_public))
    return found


def public_interfaces(backend: Any) -> set[str]:
    """The interfaces of load balancers and databases that have public addresses on AWS."""
    place = (backend.account_id, backend.region_name)
    load_balancers = backends.backend("elbv2", *place).load_balancers.values()
    databases = filter(rds.is_real, backends.backend("rds", *place).databases.values())
    return {load_balancer.interface.id for load_balancer in load_balancers if load_balancer.scheme != "internal"} | {
        database.interface.id for database in databases if database.publicly_accessible
    }


def resolvers() -> list[str]:
    """The name servers that Docker asks for the machines."""
    found = []
    with contextlib.suppress(OSError):
        for line in RESOLVERS.read_text().splitlines():
            word, *values = line.split() or [""]
            with contextlib.suppress(ValueError, IndexError):
                if word == "nameserver":
                    found.append(str(ipaddress.IPv4Address(values[0])))
    return found


def describe_group(backend: Any, group: Any, problems: set[str]) -> SecurityGroup:
    return SecurityGroup(
        ingress=tuple(describe_rules(backend, group, group.ingress_rules, problems)),
        egress=tuple(describe_rules(backend, group, group.egress_rules, problems)),
    )


def describe_rules(backend: Any, group: Any, rules: Iterable[Any], problems: set[str]) -> Iterator[Rule]:
    """A group's rules. One that can't be understood allows nothing, and the others hold all the same."""
    for rule in rules:
        try:
            described = describe_rule(backend, rule)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.add(f"{group.id}: its rule {rule.id} is malformed and allows nothing: {error}")
            continue
        if described is not None:
            yield described


def describe_rule(backend: Any, rule: Any) -> Rule | None:
    """A rule of moto's; None for one about IPv6, which the VPCs here don't have. Raises ValueError and the like."""
    protocol = PROTOCOLS.get(str(rule.ip_protocol).lower(), str(rule.ip_protocol).lower())
    if protocol in ("icmpv6", "58"):
        return None
    first, last = (None, None) if rule.from_port is None else (int(rule.from_port), int(rule.to_port))
    if protocol in ("tcp", "udp") and first is not None and last is not None:
        if first != -1 and not 0 <= first <= last <= 65535:
            raise ValueError(f"ports {first} to {last}")
    elif protocol not in ("tcp", "udp", "icmp", nftables.ANY) and not 0 <= int(protocol) <= 255:
        raise ValueError(f"protocol {protocol}")
    if rule.source_group:
        # One that is deleted has no members, so its rule allows nothing.
        return Rule(protocol, first, last, group=str(rule.source_group["GroupId"]))
    if rule.prefix_list_id:
        cidrs = prefix_list(backend, rule.prefix_list_id)
    elif "CidrIpv6" in rule.ip_range:
        return None
    else:
        cidrs = [rule.ip_range["CidrIp"]]
    return Rule(protocol, first, last, cidrs=tuple(normal_cidr(cidr) for cidr in cidrs))


def s3_clients(backend: Any, vpc: Vpc) -> Iterator[str]:
    """Addresses of the interfaces that reach S3 by their security groups and routes."""
    name = f"com.amazonaws.{backend.region_name}.s3"
    for found in backend.managed_prefix_lists.values():
        if found.prefix_list_name == name and found.owner_id == "AWS":
            address = str(ipaddress.IPv4Network(prefix_list(backend, found.id)[0])[1])
            yield from (one.address for one in vpc.interfaces if nftables.reaches_s3(vpc, one, address))


def prefix_list(backend: Any, prefix_list_id: str) -> list[str]:
    """The IPv4 networks of a managed prefix list in its newest version. One that is gone has none."""
    found = backend.managed_prefix_lists.get(prefix_list_id)
    if found is None or found.address_family != "IPv4" or found.state == "delete-complete" or not found.entries:
        return []
    entries = found.entries.get(found.version) or found.entries[max(found.entries)]  # AWS's own have no version
    return [entry["Cidr"] for entry in entries]


def normal_cidr(cidr: str) -> str:
    """A network's usual name. ValueError when it is none."""
    return str(ipaddress.IPv4Network(cidr, strict=False))


def describe_routes(backend: Any, subnet: Any, problems: set[str]) -> Iterator[Route]:
    """The IPv4 routes of a subnet: those of its own route table, or of the VPC's main one."""
    for route in routes_of(backend, subnet):
        if route.destination_prefix_list is not None:
            cidrs = prefix_list(backend, route.destination_prefix_list.id)
        else:
            cidrs = [route.destination_cidr_block] if route.destination_cidr_block else []
        try:
            destinations = [normal_cidr(cidr) for cidr in cidrs]
        except ValueError as error:
            problems.add(f"{route.route_table.id}: a malformed route leads nowhere: {error}")
            continue
        for destination in destinations:
            yield Route(destination, way(backend, subnet.vpc_id, route))


def routes_of(backend: Any, subnet: Any) -> list[Any]:
    tables = [table for table in backend.route_tables.values() if table.vpc_id == subnet.vpc_id]
    own = [table for table in tables if subnet.id in table._associations.values()]
    main = [table for table in tables if table.main_association_id]
    return [route for table in (own or main)[:1] for route in table.routes]


def way(backend: Any, vpc_id: str, route: Any) -> str:
    """Where a route leads. A gateway that is gone, detached or of a kind that is not here leads nowhere."""
    if route.local:
        return nftables.LOCAL
    if route.nat_gateway is not None:
        nat_gateway = backend.nat_gateways.get(route.nat_gateway.id)
        return nftables.NAT if nat_gateway is not None and is_connected(backend, nat_gateway) else nftables.BLACKHOLE
    if route.gateway is not None and route.gateway.id in backend.vpc_end_points:
        return nftables.BLACKHOLE if route.gateway.state == "deleted" else nftables.ENDPOINT
    gateway = backend.internet_gateways.get(route.gateway.id) if route.gateway is not None else None
    attached = gateway is not None and gateway.vpc is not None and gateway.vpc.id == vpc_id
    return nftables.INTERNET if attached else nftables.BLACKHOLE


def is_connected(backend: Any, nat_gateway: Any) -> bool:
    """Whether a NAT gateway reaches the internet: a public one, in a subnet with a route to an internet gateway."""
    if nat_gateway.state != "available" or nat_gateway.connectivity_type == "private":
        return False
    subnet = backend.get_subnet(nat_gateway.subnet_id)
    return any(
        route.destination_cidr_block == ANYWHERE
        and route.gateway is not None
        and way(backend, subnet.vpc_id, route) == nftables.INTERNET
        for route in routes_of(backend, subnet)
    )


def unenforced_acls(backend: Any, vpc_id: str) -> Iterator[str]:
    """A word about each network ACL of a VPC that would keep something out, which is not done here."""
    for acl in backend.network_acls.values():
        if acl.vpc_id == vpc_id and acl._associations and denies(acl):
            yield f"{acl.id}: the network ACL is recorded, not enforced; what it denies passes here"


def denies(acl: Any) -> bool:
    """Whether a network ACL keeps out more than one that begins with allowing all, both ways."""
    for egress in (False, True):
        entries = sorted(
            (entry for entry in acl.network_acl_entries if bool(entry.egress) == egress and entry.cidr_block),
            key=lambda entry: int(entry.rule_number),
        )
        first = entries[0] if entries else None
        if (
            first is None
            or first.rule_action != "allow"
            or str(first.protocol) != nftables.ANY
            or first.cidr_block != ANYWHERE
        ):
            return True
    return False
