"""Security groups and routes as nftables' rules, and moto's state as security groups and routes."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud import nftables
from localcloud.nftables import Interface, Route, Rule, SecurityGroup, Vpc, matches, render, route_lines
from localcloud.reconcilers import traffic

MEMBERS = {"sg-web": ["10.0.0.4", "10.0.0.5", "10.0.1.9"], "sg-empty": []}
EVERYWHERE = ("0.0.0.0/0",)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("-1", cidrs=EVERYWHERE), [""]),
        (Rule("tcp", 22, 22, ("10.0.0.1/32",)), ["ip saddr { 10.0.0.1/32 } tcp dport 22"]),
        (Rule("udp", 1000, 2000, EVERYWHERE), ["udp dport 1000-2000"]),
        (Rule("tcp", 0, 65535, EVERYWHERE), ["meta l4proto tcp"]),
        (Rule("tcp", -1, -1, EVERYWHERE), ["meta l4proto tcp"]),
        (Rule("icmp", -1, -1, EVERYWHERE), ["meta l4proto icmp"]),
        (Rule("icmp", 8, -1, EVERYWHERE), ["icmp type 8"]),
        (Rule("icmp", 3, 4, EVERYWHERE), ["icmp type 3 icmp code 4"]),
        (Rule("50", cidrs=EVERYWHERE), ["meta l4proto 50"]),
        (Rule("-1", cidrs=("10.0.0.0/8", "10.1.0.0/16")), ["ip saddr { 10.0.0.0/8 }"]),
        (Rule("tcp", 80, 80, group="sg-web"), ["ip saddr { 10.0.0.4/31, 10.0.1.9/32 } tcp dport 80"]),
        (Rule("tcp", 80, 80, group="sg-empty"), []),
        (Rule("tcp", 80, 80, group="sg-deleted"), []),
        (Rule("tcp", 80, 80), []),  # a prefix list without entries
    ],
)
def test_rule_matches_what_it_names(rule: Rule, expected: list[str]) -> None:
    assert matches(rule, MEMBERS, "ingress") == expected


def test_egress_rule_is_about_the_receiver() -> None:
    assert matches(Rule("-1", cidrs=("10.0.0.0/8",)), {}, "egress") == ["ip daddr { 10.0.0.0/8 }"]


def test_most_specific_route_comes_first() -> None:
    routes = (Route("0.0.0.0/0", "internet"), Route("192.0.2.0/24", "blackhole"), Route("198.51.100.0/24", "nat"))
    assert route_lines(routes, "{ 10.0.0.4 }") == [
        "ip daddr 192.0.2.0/24 drop",
        "ip daddr 198.51.100.0/24 accept",
        "ip daddr 0.0.0.0/0 ip saddr { 10.0.0.4 } accept",
        "ip daddr 0.0.0.0/0 drop",
    ]


def test_internet_gateway_without_public_addresses_leads_nowhere() -> None:
    assert route_lines((Route("0.0.0.0/0", "internet"),), "") == ["ip daddr 0.0.0.0/0 drop"]


def vpc(number: int = 0) -> Vpc:
    network = f"10.{number}.0.0/16"
    return Vpc(
        bridge=f"lc14566-{number:06x}",
        cidr=network,
        interfaces=(
            Interface(f"10.{number}.0.4", ("sg-web",), public=True),
            Interface(f"10.{number}.0.5", ("sg-db", "sg-web")),
            Interface(f"10.{number}.0.6", ("sg-gone",)),
        ),
        groups={
            "sg-web": SecurityGroup((Rule("tcp", 80, 80, EVERYWHERE),), (Rule("-1", cidrs=EVERYWHERE),)),
            "sg-db": SecurityGroup((Rule("tcp", 5432, 5432, group="sg-web"),)),
            "sg-unused": SecurityGroup((Rule("-1", cidrs=EVERYWHERE),)),
        },
        subnets={f"10.{number}.0.0/24": (Route(network, "local"), Route("0.0.0.0/0", "internet"))},
    )


def chains(text: str) -> dict[str, list[str]]:
    """Chain -> its lines, of a rendered table. Chains are declared before they are filled."""
    found = re.findall(r"chain (\S+) \{\n(.*?)\t\}\n", text, re.DOTALL)
    return {name: [line.strip() for line in body.splitlines()] for name, body in found if body}


def test_table_takes_the_place_of_the_one_before_in_one_transaction() -> None:
    text = render("localcloud_14566", "lc14566-", [])
    table = "table inet localcloud_14566"
    assert text.startswith(f"{table}\ndelete {table}\n{table} {{\n")
    assert text.count(table) == 3


def test_what_nobody_allows_is_dropped_at_every_end() -> None:
    found = chains(render("t", "lc14566-", [vpc(0), vpc(1)], ["192.0.2.53"]))
    for name, lines in found.items():
        if lines[0].startswith("type"):
            assert all('"lc14566-*"' in line for line in lines[1:])
        elif name.endswith("_out"):
            assert lines[-1].startswith("goto")
        elif "return" not in lines:
            assert lines[-1] == "drop", name


def test_every_chain_that_is_named_is_there() -> None:
    text = render("t", "lc14566-", [vpc(0), vpc(1)])
    named = set(re.findall(r"(?:jump|goto) (\w+)", text))
    assert named <= set(chains(text))


def test_interface_is_judged_by_all_its_groups_and_by_none_that_is_gone() -> None:
    found = chains(render("t", "lc14566-", [vpc()]))
    by_address = dict(re.findall(r"([\d.]+) : jump (\w+)", found["lc14566_000000_ingress"][0]))
    assert len(found[by_address["10.0.0.4"]]) == 2
    assert len(found[by_address["10.0.0.5"]]) == 3
    assert found[by_address["10.0.0.6"]] == ["drop"]
    rules = {line for lines in found.values() for line in lines}
    assert "ip saddr { 10.0.0.4/31 } tcp dport 5432 accept" in rules


def test_name_servers_and_metadata_are_always_reached() -> None:
    lines = chains(render("t", "lc14566-", [], ["192.0.2.53"]))["from_vpc"]
    assert "ip daddr { 192.0.2.53 } meta l4proto { tcp, udp } th dport 53 accept" in lines
    assert "ip daddr 169.254.169.254 accept" in lines


def test_other_vpcs_are_out_of_reach() -> None:
    lines = chains(render("t", "lc14566-", [vpc(0), vpc(1)]))["lc14566_000000_routes"]
    assert lines[:2] == ['oifname "lc14566-*" drop', "ip daddr { 10.0.0.0/15 } drop"]


# -- from moto's state ------------------------------------------------------------------------------------------------


def moto_rule(**values: Any) -> SimpleNamespace:
    defaults = {"id": "sgr-1", "ip_protocol": "tcp", "from_port": 80, "to_port": 80}
    return SimpleNamespace(**{**defaults, "ip_range": {}, "source_group": {}, "prefix_list_id": None, **values})


def prefix_lists(**values: Any) -> SimpleNamespace:
    found = {"address_family": "IPv4", "state": "create-complete", "version": 2, **values}
    return SimpleNamespace(managed_prefix_lists={"pl-1": SimpleNamespace(**found)})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (moto_rule(ip_range={"CidrIp": "10.0.0.7/24"}), Rule("tcp", 80, 80, ("10.0.0.0/24",))),
        (moto_rule(source_group={"GroupId": "sg-1"}), Rule("tcp", 80, 80, group="sg-1")),
        (moto_rule(ip_protocol="6", ip_range={"CidrIp": "0.0.0.0/0"}), Rule("tcp", 80, 80, EVERYWHERE)),
        (
            moto_rule(ip_protocol="-1", from_port=None, to_port=None, source_group={"GroupId": "sg-1"}),
            Rule("-1", group="sg-1"),
        ),
        (moto_rule(ip_range={"CidrIpv6": "::/0"}), None),
        (moto_rule(ip_protocol="icmpv6", from_port=-1, to_port=-1), None),
        (moto_rule(prefix_list_id="pl-1"), Rule("tcp", 80, 80, ("192.0.2.0/24",))),
        (moto_rule(prefix_list_id="pl-gone"), Rule("tcp", 80, 80)),
    ],
)
def test_rule_of_moto_is_understood(rule: SimpleNamespace, expected: Rule | None) -> None:
    backend = prefix_lists(entries={1: [], 2: [{"Cidr": "192.0.2.0/24"}]})
    assert traffic.describe_rule(backend, rule) == expected


@pytest.mark.parametrize(
    "rule",
    [
        moto_rule(from_port=5, to_port=70000, ip_range={"CidrIp": "0.0.0.0/0"}),
        moto_rule(ip_range={"CidrIp": "10.0.0.0/99"}),
        moto_rule(ip_protocol="carrier pigeon", ip_range={"CidrIp": "0.0.0.0/0"}),
        moto_rule(ip_protocol="300", ip_range={"CidrIp": "0.0.0.0/0"}),
        moto_rule(source_group={"GroupName": "nobody"}),
        moto_rule(),
    ],
)
def test_malformed_rule_is_named_and_the_others_hold(rule: SimpleNamespace) -> None:
    problems: set[str] = set()
    group = SimpleNamespace(id="sg-1")
    good = moto_rule(id="sgr-2", source_group={"GroupId": "sg-2"})
    assert list(traffic.describe_rules(prefix_lists(), group, [rule, good], problems)) == [
        Rule("tcp", 80, 80, group="sg-2")
    ]
    assert [problem.split(":")[0] for problem in problems] == ["sg-1"]


def moto_route(**values: Any) -> SimpleNamespace:
    empty = dict.fromkeys(("gateway", "nat_gateway", "destination_prefix_list"))
    return SimpleNamespace(**{"local": False, "destination_cidr_block": "0.0.0.0/0", **empty, **values})


def test_gateway_that_is_gone_or_detached_is_a_black_hole() -> None:
    gateway = SimpleNamespace(id="igw-1", vpc=SimpleNamespace(id="vpc-1"))
    backend = SimpleNamespace(internet_gateways={"igw-1": gateway}, nat_gateways={}, vpc_end_points={})
    assert traffic.way(backend, "vpc-1", moto_route(gateway=gateway)) == nftables.INTERNET
    assert traffic.way(backend, "vpc-2", moto_route(gateway=gateway)) == nftables.BLACKHOLE
    gateway.vpc = None
    assert traffic.way(backend, "vpc-1", moto_route(gateway=gateway)) == nftables.BLACKHOLE
    assert traffic.way(backend, "vpc-1", moto_route(nat_gateway=SimpleNamespace(id="nat-1"))) == nftables.BLACKHOLE
    assert traffic.way(backend, "vpc-1", moto_route(local=True)) == nftables.LOCAL


OF_S3 = "52.216.0.1"
TO_S3 = "52.216.0.0/15"


@pytest.mark.parametrize(
    ("rule", "routes", "public", "reaches"),
    [
        (Rule("-1", cidrs=EVERYWHERE), [], False, False),
        (Rule("-1", cidrs=EVERYWHERE), [Route(TO_S3, "endpoint")], False, True),
        (Rule("tcp", 443, 443, (TO_S3,)), [Route(TO_S3, "endpoint")], False, True),
        (Rule("tcp", 5432, 5432, EVERYWHERE), [Route(TO_S3, "endpoint")], False, False),
        (Rule("-1", cidrs=("10.0.0.0/8",)), [Route(TO_S3, "endpoint")], False, False),
        (Rule("udp", cidrs=EVERYWHERE), [Route(TO_S3, "endpoint")], False, False),
        (Rule("-1", cidrs=EVERYWHERE), [Route("0.0.0.0/0", "nat")], False, True),
        (Rule("-1", cidrs=EVERYWHERE), [Route("0.0.0.0/0", "internet")], False, False),
        (Rule("-1", cidrs=EVERYWHERE), [Route("0.0.0.0/0", "internet")], True, True),
        # The most specific route decides.
        (Rule("-1", cidrs=EVERYWHERE), [Route("0.0.0.0/0", "nat"), Route(TO_S3, "blackhole")], False, False),
        (Rule("-1", cidrs=EVERYWHERE), [Route("0.0.0.0/0", "blackhole"), Route(TO_S3, "endpoint")], False, True),
    ],
)
def test_who_reaches_s3(rule: Rule, routes: list[Route], public: bool, reaches: bool) -> None:
    interface = Interface("10.0.1.4", ("sg-1",), public)
    place = Vpc(
        "lc1-a",
        "10.0.0.0/16",
        (interface,),
        {"sg-1": SecurityGroup(egress=(rule,))},
        {"10.0.1.0/24": tuple(routes), "10.0.2.0/24": (Route("0.0.0.0/0", "nat"),)},
    )
    assert nftables.reaches_s3(place, interface, OF_S3) is reaches


def test_s3_is_open_to_those_that_reach_it_only() -> None:
    place = vpc()
    assert "tcp dport 80 ip saddr" not in render("table", "lc1-", [place])
    reached = dataclasses.replace(place, s3="10.0.0.3", s3_clients=("10.0.1.4", "10.0.1.5"))
    rules = render("table", "lc1-", [reached])
    assert "ip daddr 10.0.0.3 tcp dport 80 ip saddr { 10.0.1.4, 10.0.1.5 } accept" in rules


def entry(number: int, action: str, *, egress: bool, **values: Any) -> SimpleNamespace:
    defaults = {"rule_number": number, "rule_action": action, "egress": egress, "protocol": "-1"}
    return SimpleNamespace(**{**defaults, "cidr_block": "0.0.0.0/0", **values})


def test_network_acl_that_denies_is_noticed() -> None:
    both = [entry(100, "allow", egress=egress) for egress in (False, True)]
    last = [entry(32767, "deny", egress=egress) for egress in (False, True)]
    assert not traffic.denies(SimpleNamespace(network_acl_entries=both + last))
    earlier = entry(50, "deny", egress=False, cidr_block="192.0.2.0/24")
    assert traffic.denies(SimpleNamespace(network_acl_entries=[*both, earlier]))
    assert traffic.denies(SimpleNamespace(network_acl_entries=last))
