"""Security groups over the API: what is answered, rules described by their ids, a load balancer's default group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]


@pytest.fixture
def group(client: Client) -> str:
    """A group with a rule for each direction; the outgoing one is there from the start."""
    ec2 = client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group_id: str = ec2.create_security_group(GroupName="answers", Description="d", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission("before")])
    return group_id


def permission(description: str) -> dict[str, Any]:
    addresses = [{"CidrIp": "192.0.2.0/24", "Description": description}]
    return {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": addresses}


def rules(client: Client, group: str) -> dict[bool, dict[str, Any]]:
    """By whether they are for what goes out."""
    filters = [{"Name": "group-id", "Values": [group]}]
    found = client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    return {rule["IsEgress"]: rule for rule in found}


def test_what_is_answered(client: Client, group: str) -> None:
    ec2 = client("ec2")
    update = ec2.update_security_group_rule_descriptions_ingress
    assert update(GroupId=group, IpPermissions=[permission("after")])["Return"] is True
    assert rules(client, group)[False]["Description"] == "after"
    outgoing = rules(client, group)[True]["SecurityGroupRuleId"]
    by_id = [{"SecurityGroupRuleId": outgoing, "Description": "all of it"}]
    answer = ec2.update_security_group_rule_descriptions_egress(GroupId=group, SecurityGroupRuleDescriptions=by_id)
    assert answer["Return"] is True
    assert rules(client, group)[True]["Description"] == "all of it"
    with pytest.raises(ClientError, match="InvalidSecurityGroupRuleId.NotFound"):
        update(GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": "sgr-0123456789abcdef0"}])
    deleted = ec2.delete_security_group(GroupId=group)
    assert (deleted["Return"], deleted["GroupId"]) == (True, group)


@pytest.mark.essential
def test_load_balancer_without_groups_has_the_default_group_of_its_vpc(client: Client) -> None:
    ec2, elbv2 = client("ec2"), client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.65.0.0/16")["Vpc"]["VpcId"]
    inside = [{"Name": "vpc-id", "Values": [vpc]}]
    default = ec2.describe_security_groups(Filters=inside)["SecurityGroups"][0]["GroupId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.65.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate("ab")
    ]
    balancer = elbv2.create_load_balancer(Name="without-groups", Subnets=subnets)["LoadBalancers"][0]
    assert balancer["SecurityGroups"] == [default]
    (interface,) = ec2.describe_network_interfaces(Filters=inside)["NetworkInterfaces"]
    assert [group["GroupId"] for group in interface["Groups"]] == [default]
    mapped = elbv2.create_load_balancer(
        Name="mapped-without-groups", SubnetMappings=[{"SubnetId": subnet} for subnet in subnets]
    )["LoadBalancers"][0]
    assert mapped["SecurityGroups"] == [default]


def test_each_permission_becomes_a_rule_that_is_named(client: Client, group: str) -> None:
    ec2 = client("ec2")
    permissions = [{**permission("some"), "FromPort": port, "ToPort": port} for port in (81, 82)]
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)["SecurityGroupRules"]
    assert [rule["FromPort"] for rule in made] == [81, 82]
    ec2.delete_security_group(GroupId=group)


@pytest.mark.parametrize("protocol", ["47", "50"])
def test_protocol_without_ports(client: Client, group: str, protocol: str) -> None:
    ec2 = client("ec2")
    to_add = {"IpProtocol": protocol, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    (made,) = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[to_add])["SecurityGroupRules"]
    assert (made["IpProtocol"], made.get("FromPort")) == (protocol, None)
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": made["SecurityGroupRuleId"],
                "SecurityGroupRule": {"IpProtocol": "-1", "CidrIpv4": "198.51.100.0/24"},
            }
        ],
    )
    by_id = [made["SecurityGroupRuleId"]]
    (changed,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=by_id)["SecurityGroupRules"]
    assert (changed["IpProtocol"], changed["CidrIpv4"]) == ("-1", "198.51.100.0/24")
    ec2.delete_security_group(GroupId=group)


def test_ports_of_a_protocol_that_has_some_must_be_named(client: Client, group: str) -> None:
    to_add = {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    with pytest.raises(ClientError, match="Must specify both from and to ports") as refused:
        client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[to_add])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"
    client("ec2").delete_security_group(GroupId=group)
