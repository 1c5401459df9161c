"""EC2's filters: wildcards in all of them, and none without an effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def things(client: Client) -> dict[str, str]:
    """Some resources: what they are called."""
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    launch = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
    zone = {"AvailabilityZone": "us-east-1b"}
    instances = [
        ec2.run_instances(**launch, InstanceType=kind, Placement=zone)["Instances"][0]["InstanceId"]
        for kind in ("t3.micro", "m5.large")
    ]
    vpc = ec2.create_vpc(CidrBlock="10.64.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "a[1]*b"}])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/24")["Subnet"]["SubnetId"]
    nat = ec2.create_nat_gateway(
        SubnetId=subnet,
        ConnectivityType="private",
        TagSpecifications=[{"ResourceType": "natgateway", "Tags": [{"Key": "Stage", "Value": "vpc"}]}],
    )["NatGateway"]["NatGatewayId"]
    ec2.create_customer_gateway(Type="ipsec.1", BgpAsn=65000, PublicIp="203.0.113.1")
    ec2.create_egress_only_internet_gateway(VpcId=vpc)
    ec2.create_carrier_gateway(VpcId=vpc)
    ec2.create_transit_gateway()
    ec2.create_managed_prefix_list(PrefixListName="mine", MaxEntries=1, AddressFamily="IPv4")
    peering = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=vpc)["VpcPeeringConnection"]
    return {
        "t3": instances[0],
        "m5": instances[1],
        "vpc": vpc,
        "subnet": subnet,
        "gateway": gateway,
        "nat": nat,
        "peering": peering["VpcPeeringConnectionId"],
    }


def ids(found: list[dict[str, Any]], key: str) -> list[str]:
    return [resource[key] for resource in found]


# Operation, key of the answer, key of the id, filter, its values, what is found; in braces: see `things`.
FOUND = [
    ("describe_vpcs", "Vpcs", "VpcId", "cidr", ["10.6?.0.0/*"], ["{vpc}"]),
    ("describe_vpcs", "Vpcs", "VpcId", "tag:Name", ["a[1]*"], ["{vpc}"]),
    ("describe_vpcs", "Vpcs", "VpcId", "tag:Name", ["a[1]\\*b"], ["{vpc}"]),
    ("describe_vpcs", "Vpcs", "VpcId", "tag:Name", ["a1*"], []),  # no set of characters
    ("describe_vpcs", "Vpcs", "VpcId", "tag:Name", ["a[1]?\\*b"], []),
    ("describe_vpcs", "Vpcs", "VpcId", "tag:Name", ["A*"], []),  # case matters
    ("describe_vpcs", "Vpcs", "VpcId", "cidr-block-association.cidr-block", ["10.9.0.0/16", "10.64.*"], ["{vpc}"]),
    (
        "describe_internet_gateways", "InternetGateways", "InternetGatewayId", "attachment.vpc-id", ["{vpc}"],
        ["{gateway}"],
    ),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId", "attachment.vpc-id", ["vpc-?"], []),
    ("describe_subnets", "Subnets", "SubnetId", "vpc-id", ["{vpc}"], ["{subnet}"]),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId", "tag:Stage", ["v*"], ["{nat}"]),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId", "tag:Stage", ["db"], []),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId", "tag-key", ["Stage"], ["{nat}"]),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId", "state", ["pending", "avail*"], ["{nat}"]),
    (
        "describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId",
        "requester-vpc-info.vpc-id", ["{vpc}"], ["{peering}"],
    ),
    (
        "describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId", "status-code",
        ["active"], [],
    ),
    ("describe_tags", "Tags", "ResourceId", "value", ["a[1]*"], ["{vpc}"]),
    ("describe_tags", "Tags", "ResourceId", "tag:Stage", ["vpc"], ["{nat}"]),
    ("describe_regions", "Regions", "RegionName", "region-name", ["eu-central-?"], ["eu-central-1", "eu-central-2"]),
    ("describe_availability_zones", "AvailabilityZones", "ZoneName", "zone-name", ["*1b"], ["us-east-1b"]),
    (
        "describe_instance_status", "InstanceStatuses", "InstanceId", "availability-zone", ["us-east-1b"],
        ["{t3}", "{m5}"],
    ),
    ("describe_instance_status", "InstanceStatuses", "InstanceId", "availability-zone", ["us-east-1a"], []),
    ("describe_instance_status", "InstanceStatuses", "InstanceId", "instance-state-code", ["0"], ["{t3}", "{m5}"]),
    ("describe_instance_status", "InstanceStatuses", "InstanceId", "instance-state-name", ["run*"], []),
    (
        "describe_instance_status", "InstanceStatuses", "InstanceId", "instance-status.status", ["not-*"],
        ["{t3}", "{m5}"],
    ),
    ("describe_instance_status", "InstanceStatuses", "InstanceId", "event.code", ["*"], []),
]  # fmt: skip


@pytest.mark.essential
@pytest.mark.parametrize(("operation", "answer", "key", "name", "values", "expected"), FOUND)
def test_filter(
    client: Client,
    things: dict[str, str],
    operation: str,
    answer: str,
    key: str,
    name: str,
    values: list[str],
    expected: list[str],
) -> None:
    parameter = "Filter" if operation == "describe_nat_gateways" else "Filters"
    filters = [{"Name": name, "Values": [value.format(**things) for value in values]}]
    every = {"IncludeAllInstances": True} if operation == "describe_instance_status" else {}
    found = getattr(client("ec2"), operation)(**{parameter: filters}, **every)[answer]
    assert ids(found, key) == [id_.format(**things) for id_ in expected]


@pytest.mark.essential
@pytest.mark.parametrize(
    ("pattern", "expected"), [("t3.*", ["t3"]), ("*.large", ["m5"]), ("t3", []), ("??.*", ["t3", "m5"])]
)
def test_instances_by_type(client: Client, things: dict[str, str], pattern: str, expected: list[str]) -> None:
    filters = [{"Name": "instance-type", "Values": [pattern]}]
    found = client("ec2").describe_instances(Filters=filters)["Reservations"]
    assert [reservation["Instances"][0]["InstanceId"] for reservation in found] == [things[name] for name in expected]


def test_several_filters_must_all_match(client: Client, things: dict[str, str]) -> None:
    filters = [{"Name": "vpc-id", "Values": [things["vpc"]]}, {"Name": "state", "Values": ["deleted"]}]
    assert client("ec2").describe_nat_gateways(Filter=filters)["NatGateways"] == []


@pytest.mark.essential
def test_no_operation_overlooks_a_filter(client: Client, things: dict[str, str]) -> None:
    """Of those that have something to describe here."""
    assert things
    ec2 = client("ec2")
    overlooked = {}
    for method, operation in ec2.meta.method_to_api_mapping.items():
        shape = ec2.meta.service_model.operation_model(operation).input_shape
        parameter = next((name for name in ("Filters", "Filter") if shape and name in shape.members), None)
        if parameter is None or not operation.startswith("Describe"):
            continue
        for name in ("no-such-filter", "tag:no-such-key"):
            try:
                answer = getattr(ec2, method)(**{parameter: [{"Name": name, "Values": ["x"]}]})
            except ClientError:
                continue
            del answer["ResponseMetadata"]
            if any(answer.values()):
                overlooked[operation] = name
    assert overlooked == {}


def test_a_route_table_is_associated_with_a_gateway(client: Client, things: dict[str, str]) -> None:
    ec2 = client("ec2")
    table = ec2.create_route_table(VpcId=things["vpc"])["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, GatewayId=things["gateway"])
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert [association["GatewayId"] for association in found["Associations"]] == [things["gateway"]]
