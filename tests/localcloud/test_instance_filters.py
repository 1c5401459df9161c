"""All filters of DescribeInstances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def instances(client: Client) -> dict[str, Any]:
    """Two instances in one VPC, `web` (t3.micro) and `db-1` (t3.small), as they are described."""
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    found = {}
    for number, (name, kind) in enumerate((("web", "t3.micro"), ("db-1", "t3.small"))):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24")["Subnet"]["SubnetId"]
        reservation = ec2.run_instances(
            ImageId=image,
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "Name", "Value": name}, {"Key": f"is {name}", "Value": ""}],
                }
            ],
        )
        described = ec2.describe_instances(InstanceIds=[reservation["Instances"][0]["InstanceId"]])
        found[name] = described["Reservations"][0]["Instances"][0]
    return found


def names(client: Client, **filters: list[str]) -> set[str]:
    """Names of the instances that pass filters, which are written with `_` for `-` and `__` for a dot."""
    wanted = [{"Name": name.replace("__", ".").replace("_", "-"), "Values": values} for name, values in filters.items()]
    return names_of(client, wanted)


def names_of(client: Client, filters: list[dict[str, Any]]) -> set[str]:
    reservations = client("ec2").describe_instances(Filters=filters)["Reservations"]
    return {
        tag["Value"]
        for reservation in reservations
        for instance in reservation["Instances"]
        for tag in instance["Tags"]
        if tag["Key"] == "Name"
    }


@pytest.mark.essential
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network-interface.subnet-id", lambda instance: instance["SubnetId"]),
        ("network-interface.network-interface-id", lambda i: i["NetworkInterfaces"][0]["NetworkInterfaceId"]),
        ("network-interface.addresses.private-ip-address", lambda instance: instance["PrivateIpAddress"]),
        ("network-interface.attachment.instance-id", lambda instance: instance["InstanceId"]),
        ("network-interface.mac-address", lambda i: i["NetworkInterfaces"][0]["MacAddress"]),
        ("block-device-mapping.volume-id", lambda i: i["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]),
        ("private-dns-name", lambda instance: instance["PrivateDnsName"]),
        ("instance-id", lambda instance: instance["InstanceId"]),
        ("instance-type", lambda _instance: "t3.micro"),
        ("tag:Name", lambda _instance: "web"),
        ("tag-key", lambda _instance: "is web"),
    ],
)
def test_a_filter_finds_what_is_described(
    client: Client, instances: dict[str, Any], name: str, value: Callable[[Any], str]
) -> None:
    assert names_of(client, [{"Name": name, "Values": [value(instances["web"])]}]) == {"web"}
    assert names_of(client, [{"Name": name, "Values": ["none"]}]) == set()


@pytest.mark.essential
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"instance_type": ["t3.*"]}, {"web", "db-1"}),
        ({"instance_type": ["t3.m????"]}, {"web"}),
        ({"instance_type": ["t3.m?"]}, set()),
        ({"instance_type": ["T3.micro"]}, set()),
        ({"instance_type": ["[t]3.micro"]}, set()),
        ({"instance_type": ["t3.small", "m?.*"]}, {"db-1"}),
        ({"instance_type": ["t3.micro"], "tag_key": ["is db-1"]}, set()),
        ({"instance_state_code": ["0"], "instance_state_name": ["pending"]}, {"web", "db-1"}),
        ({"source_dest_check": ["true"], "monitoring_state": ["disabled"]}, {"web", "db-1"}),
        ({"launch_time": ["20??-*T*Z"]}, {"web", "db-1"}),
        ({"metadata_options__http_tokens": ["optional"]}, {"web", "db-1"}),
        ({"instance__group_name": ["def*"]}, {"web", "db-1"}),
        ({"network_interface__availability_zone": ["us-east-1?"]}, {"web", "db-1"}),
        ({"reservation_id": ["r-*"]}, {"web", "db-1"}),
    ],
)
def test_wildcards_and_other_filters(
    client: Client, instances: dict[str, Any], filters: dict[str, list[str]], found: set[str]
) -> None:
    assert names(client, **filters) == found


def test_a_backslash_takes_a_wildcard_as_it_is(client: Client, instances: dict[str, Any]) -> None:
    ec2 = client("ec2")
    ec2.create_tags(Resources=[instances["web"]["InstanceId"]], Tags=[{"Key": "mark", "Value": "a*b"}])
    ec2.create_tags(Resources=[instances["db-1"]["InstanceId"]], Tags=[{"Key": "mark", "Value": "axb"}])
    assert names_of(client, [{"Name": "tag:mark", "Values": [r"a\*b"]}]) == {"web"}
    assert names_of(client, [{"Name": "tag:mark", "Values": ["a*b"]}]) == {"web", "db-1"}


@pytest.mark.essential
def test_unknown_filters_are_refused_where_there_is_nothing_to_filter(client: Client) -> None:
    for name, text in (
        ("nonsense", "The filter 'nonsense' is invalid"),
        ("network-interface.ipv6-native", "The local"),
    ):
        with pytest.raises(ClientError, match=text) as refused:
            client("ec2").describe_instances(Filters=[{"Name": name, "Values": ["x"]}])
        assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_wildcards_of_other_resources(client: Client, instances: dict[str, Any]) -> None:
    ec2 = client("ec2")
    wanted = {"vpc-id": [instances["web"]["VpcId"]], "cidr-block": ["10.1.?.0/24"]}
    subnets = ec2.describe_subnets(Filters=[{"Name": name, "Values": values} for name, values in wanted.items()])
    assert len(subnets["Subnets"]) == 2
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.1.*", "10.9.*"]}])["Vpcs"]
    assert [vpc["VpcId"] for vpc in vpcs] == [instances["web"]["VpcId"]]
    assert ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["1[0].1.*"]}])["Vpcs"] == []
