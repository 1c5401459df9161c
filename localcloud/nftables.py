"""The packet filter of the local cloud's VPCs: one nftables table on this machine.

Every packet of a VPC passes this machine's kernel, from one instance to another too: the VPC is a bridge, and
br_netfilter shows the packets on it to the filter. So the filter is outside of the machines, as on AWS: their own root
can't change it, it holds before they boot, and it is replaced in one transaction.

A packet from a VPC is judged by the sender's egress rules, then by its subnet's routes, then by the receiver's ingress
rules; what belongs to an accepted connection passes. What no rule allows is dropped without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.report import advice
from localcloud.base_images import HOST
from localcloud.config import Settings
from localcloud.docker_host import DockerHost, File

KIND = "packet-filter"
ANY = "-1"  # AWS's word for all protocols
LINK_LOCAL = "169.254.169.254"  # instance metadata: always reachable, on AWS too
DISCARD_PORT = 9
HTTP, HTTPS = 80, 443
LOCAL, INTERNET, NAT, ENDPOINT, BLACKHOLE = "local", "internet", "nat", "endpoint", "blackhole"
RULES_FILE = "/rules.nft"
CHECK_INTERVAL = 5  # seconds between two looks at whether the table is still there
BRIDGED_PACKETS = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


class PacketFilterError(RuntimeError):
    """The packet filter could not be set."""


@dataclass(frozen=True)
class Rule:
    """A rule of a security group. `protocol` is -1, tcp, udp, icmp or a number; ports are None for all of them, and
    ICMP's type and code for icmp. It is about `cidrs`, or the members of `group` (a security group's id).
    """

    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidrs: tuple[str, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class SecurityGroup:
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Interface:
    """A network interface: private address, ids of its security groups, whether it has a public address too."""

    address: str
    groups: tuple[str, ...]
    public: bool = False


@dataclass(frozen=True)
class Route:
    """Packets to `destination` (a CIDR) go `by` local, internet (gateway), nat, endpoint, or are lost: blackhole."""

    destination: str
    by: str


@dataclass(frozen=True)
class Vpc:
    """A VPC on its `bridge` (a network device of this machine). `groups`: id -> group; `subnets`: CIDR -> routes.

    `s3` is the address of S3 in it, `s3_clients` those of the interfaces that reach it.
    """

    bridge: str
    cidr: str
    interfaces: tuple[Interface, ...] = ()
    groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    subnets: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    s3: str = ""
    s3_clients: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The bridge's name as a word of nftables."""
        return self.bridge.replace("-", "_")


# -- from plain values to nftables' language ----------------------------------------------------------------------


def table_name(settings: Settings) -> str:
    return f"localcloud_{settings.port}"


def render(table: str, bridges: str, vpcs: Sequence[Vpc], resolvers: Iterable[str] = ()) -> str:
    """A transaction that puts the table in the place of the one before.

    `bridges` is what the names of all bridges of this local cloud begin with: what no VPC of `vpcs` lets through is
    dropped there, so a new machine is never open. `resolvers` are the name servers that Docker asks for the machines;
    as Amazon's they are open to all of them.
    """
    ours = f'"{bridges}*"'
    servers = elements(sorted(set(resolvers)))
    chains = {
        "through": [
            "type filter hook forward priority filter - 10; policy accept;",
            f"iifname {ours} jump from_vpc",
            f"oifname {ours} jump to_vpc",
        ],
        "to_this_machine": [
            "type filter hook input priority filter - 10; policy accept;",
            f"iifname {ours} jump from_vpc",
        ],
        "from_this_machine": [
            "type filter hook output priority filter - 10; policy accept;",
            # An empty datagram makes the kernel ask for a machine's MAC address, which AWS's status checks do too.
            f"oifname {ours} udp dport {DISCARD_PORT} accept",
            f"oifname {ours} jump to_vpc",
        ],
        "from_vpc": [
            "meta nfproto != ipv4 drop",
            "ct state established,related accept",
            f"ip daddr {LINK_LOCAL} accept",
            f"ct original ip daddr {LINK_LOCAL} accept",
            *([f"ip daddr {servers} meta l4proto {{ tcp, udp }} th dport 53 accept"] if servers else []),
            *verdict_map("iifname", {f'"{vpc.bridge}"': f"{vpc.name}_egress" for vpc in vpcs}),
            "drop",
        ],
        "to_vpc": [
            "meta nfproto != ipv4 drop",
            "ct state established,related accept",
            f"ip daddr {LINK_LOCAL} accept",
            *verdict_map("oifname", {f'"{vpc.bridge}"': f"{vpc.name}_ingress" for vpc in vpcs}),
            "drop",
        ],
    }
    for vpc in vpcs:
        chains |= vpc_chains(vpc, [other.cidr for other in vpcs if other is not vpc], ours)
    body = "".join(
        f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n" for name, lines in chains.items()
    )
    # A chain must be known before it is named, so all are declared first.
    declared = "".join(
        f"\tchain {name} {{\n\t}}\n" for name, lines in chains.items() if not lines[0].startswith("type")
    )
    return f"table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n{declared}{body}}}\n"


def vpc_chains(vpc: Vpc, other_cidrs: Sequence[str], all_bridges: str) -> dict[str, list[str]]:
    """The chains of one VPC: name -> lines. What goes out of the VPC passes `…_routes`."""
    name = vpc.name
    members = {
        group_id: sorted({interface.address for interface in vpc.interfaces if group_id in interface.groups})
        for group_id in vpc.groups
    }
    by_groups: dict[tuple[str, ...], list[Interface]] = {}
    for interface in vpc.interfaces:
        by_groups.setdefault(interface.groups, []).append(interface)
    chains: dict[str, list[str]] = {}
    egress: dict[str, str] = {}
    ingress: dict[str, str] = {}
    for groups, interfaces in sorted(by_groups.items()):
        key = f"{name}_with_{digest(groups)}"
        egress |= {interface.address: f"{key}_egress" for interface in interfaces}
        ingress |= {interface.address: f"{key}_ingress" for interface in interfaces}
        known = [group_id for group_id in groups if group_id in vpc.groups]
        chains[f"{key}_egress"] = [*(f"jump {chain(name, group_id)}_egress" for group_id in known), "drop"]
        chains[f"{key}_ingress"] = [*(f"jump {chain(name, group_id)}_ingress" for group_id in known), "drop"]
    for group_id, group in sorted(vpc.groups.items()):
        if members[group_id]:  # a group that nobody wears has nothing to say
            for side, rules, verdict in (
                ("egress", group.egress, f"goto {name}_out"),
                ("ingress", group.ingress, "accept"),
            ):
                lines = [f"{match} {verdict}".lstrip() for rule in rules for match in matches(rule, members, side)]
                chains[f"{chain(name, group_id)}_{side}"] = [*lines, "return"]
    to_s3 = [f"ip daddr {vpc.s3} tcp dport {HTTP} ip saddr {elements(vpc.s3_clients)} accept"] if vpc.s3_clients else []
    chains[f"{name}_egress"] = [*to_s3, *verdict_map("ip saddr", egress), "drop"]
    chains[f"{name}_ingress"] = [*verdict_map("ip daddr", ingress), "drop"]
    chains[f"{name}_out"] = [f'oifname "{vpc.bridge}" goto {name}_ingress', f"goto {name}_routes"]
    # The VPC's own addresses on this machine (the router) and other VPCs can't be reached.
    chains[f"{name}_routes"] = [
        f"oifname {all_bridges} drop",
        f"ip daddr {elements(collapsed([vpc.cidr, *other_cidrs]))} drop",
        *verdict_map("ip saddr", {cidr: f"{name}_{digest([cidr])}_routes" for cidr in vpc.subnets}),
        "drop",
    ]
    public = elements(sorted(interface.address for interface in vpc.interfaces if interface.public))
    for cidr, routes in sorted(vpc.subnets.items()):
        chains[f"{name}_{digest([cidr])}_routes"] = [*route_lines(routes, public), "drop"]
    return chains


def reaches_s3(vpc: Vpc, interface: Interface, destination: str) -> bool:
    """Whether an interface may send to S3, and has a way there. `destination` is one of S3's addresses on AWS."""
    address = ipaddress.IPv4Address(destination)
    allowed = any(
        rule.protocol in (ANY, "tcp")
        and any(covers(rule, port) for port in (HTTP, HTTPS))
        and any(address in ipaddress.ip_network(cidr) for cidr in rule.cidrs)
        for group_id in interface.groups
        if group_id in vpc.groups
        for rule in vpc.groups[group_id].egress
    )
    routes = next(
        (found for cidr, found in vpc.subnets.items()
         if ipaddress.IPv4Address(interface.address) in ipaddress.ip_network(cidr)), ()
    )  # fmt: skip
    ways = (route for route in most_specific_first(routes) if address in ipaddress.ip_network(route.destination))
    way = next(ways, None)
    return allowed and way is not None and (way.by in (NAT, ENDPOINT) or (way.by == INTERNET and interface.public))


def covers(rule: Rule, port: int) -> bool:
    """Whether a rule is about a port of TCP."""
    return every_port(rule) or (rule.from_port or 0) <= port <= (rule.to_port or 0)


def every_port(rule: Rule) -> bool:
    return rule.protocol == ANY or rule.from_port in (None, -1) or (rule.from_port == 0 and rule.to_port == 65535)


def most_specific_first(routes: Iterable[Route]) -> list[Route]:
    """The first one that a packet's destination is in decides."""
    return sorted(routes, key=lambda route: -ipaddress.ip_network(route.destination).prefixlen)


def route_lines(routes: Iterable[Route], public: str) -> list[str]:
    """An internet gateway is of use to those with a public address only."""
    lines = []
    for route in most_specific_first(routes):
        to = f"ip daddr {route.destination} "
        if route.by == INTERNET and public:
            lines.append(f"{to}ip saddr {public} accept")
        lines.append(f"{to}{'accept' if route.by in (LOCAL, NAT) else 'drop'}")
    return lines


def matches(rule: Rule, members: Mapping[str, Sequence[str]], side: str) -> list[str]:
    """The packets that a rule is about, as nftables' expressions; [] when there can be none."""
    peers = members.get(rule.group, ()) if rule.group else rule.cidrs
    if not peers:
        return []
    field_name = "ip saddr" if side == "ingress" else "ip daddr"
    address = [] if "0.0.0.0/0" in peers else [f"{field_name} {elements(collapsed(peers))}"]
    return [" ".join([*address, *protocol_match(rule)])]


def protocol_match(rule: Rule) -> list[str]:
    if rule.protocol == ANY:
        return []
    if rule.protocol == "icmp":
        parts = [] if rule.from_port in (None, -1) else [f"icmp type {rule.from_port}"]
        if parts and rule.to_port not in (None, -1):
            parts.append(f"icmp code {rule.to_port}")
        return parts or ["meta l4proto icmp"]
    if rule.protocol in ("tcp", "udp"):
        if every_port(rule):
            return [f"meta l4proto {rule.protocol}"]
        ports = rule.from_port if rule.from_port == rule.to_port else f"{rule.from_port}-{rule.to_port}"
        return [f"{rule.protocol} dport {ports}"]
    return [f"meta l4proto {rule.protocol}"]


def collapsed(cidrs: Iterable[str]) -> list[str]:
    """The same addresses in networks that do not overlap, which nftables' sets ask for."""
    return [str(network) for network in ipaddress.collapse_addresses(ipaddress.IPv4Network(cidr) for cidr in cidrs)]


def elements(values: Sequence[str]) -> str:
    return f"{{ {', '.join(values)} }}" if values else ""


def verdict_map(selector: str, chains: Mapping[str, str]) -> list[str]:
    pairs = ", ".join(f"{value} : jump {name}" for value, name in sorted(chains.items()))
    return [f"{selector} vmap {{ {pairs} }}"] if pairs else []


def chain(vpc: str, group_id: str) -> str:
    return f"{vpc}_{digest([group_id])}"


def digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:12]


# -- the helper that puts it into the kernel ----------------------------------------------------------------------


class PacketFilter:
    """The table in this machine's kernel, set by a container in the machine's own network.

    A container, so that membership in the group `docker` is enough and the machine needs no nft. It runs as long as the
    table is there: when somebody flushes the machine's rules it ends, and the controller, seeing that, starts anew.
    """

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._table = table_name(docker_host.settings)

    def apply(self, rules: str) -> str:
        """Put the rules in force, in one transaction; returns the id of the container that watches over them.

        Raises PacketFilterError when they are not taken; then those before stay in force.
        """
        container = self._docker.containers().get(KIND, {}).get(KIND)
        files = [File(RULES_FILE, rules.encode())]
        if container and container.running:
            container_id = container.container_id
            self._docker.put_files(container_id, files)
        else:
            show_bridged_packets()
            container_id = self._docker.create_helper(KIND, HOST.tag, ["sh", "-c", self._watch()], files)
            self._docker.start(container_id)
        # A new helper does this itself; done again, it says whether it succeeded.
        code, output = self._docker.execute(container_id, ["nft", "--file", RULES_FILE])
        if code:
            raise PacketFilterError(f"nftables refused the rules: {output.strip()}")
        return container_id

    def _watch(self) -> str:
        """The helper's command. Other programs may change the machine's rules: it ends when the table is gone."""
        return (
            f"nft --file {RULES_FILE} && while nft --terse list table inet {self._table} >/dev/null "
            f"&& grep -q 1 {BRIDGED_PACKETS}; do sleep {CHECK_INTERVAL}; done"
        )

    def remove(self) -> bool:
        """Take the table out of the kernel, and the helper away. Returns whether there was one."""
        container = self._docker.containers().get(KIND, {}).get(KIND)
        if container is None:
            return False
        self._docker.start(container.container_id)
        self._docker.execute(container.container_id, ["nft", "delete", "table", "inet", self._table])
        self._docker.remove_container(container.container_id)
        return True


def show_bridged_packets() -> None:
    """See that the kernel shows packets between two machines of a bridge to the filter; switch it on if need be.

    Docker does that too, but since its version 28 only where it needs it itself.
    Raises PacketFilterError with what to type when it is off and this process may not change it.
    """
    with contextlib.suppress(OSError):
        if BRIDGED_PACKETS.read_text().strip() == "1":
            return
    with contextlib.suppress(OSError):
        subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)
        BRIDGED_PACKETS.write_text("1")
        return
    raise PacketFilterError(
        advice(
            "this machine's kernel does not filter packets between containers, so security groups can't be enforced",
            look=BRIDGED_PACKETS,
            type_this="sudo modprobe br_netfilter && sudo sysctl net.bridge.bridge-nf-call-iptables=1, "
            "then: python -m localcloud up",
        )
    )
