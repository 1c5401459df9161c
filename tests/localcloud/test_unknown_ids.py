"""What isn't there can't be described or tagged by its id; and what its interfaces have, an instance can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]

ID = "0123456789abcdef0"
UNKNOWN = [
    ("acl", "NetworkAcls", "InvalidNetworkAclID.NotFound", "The network acl ID '{}' does not exist"),
    ("ami", "Images", "InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
    ("cgw", "CustomerGateways", "InvalidCustomerGatewayID.NotFound", "The customerGateway ID '{}' does not exist"),
    ("eipalloc", "Addresses", "InvalidAllocationID.NotFound", "The allocation ID '{}' does not exist"),
    (
        "eni", "NetworkInterfaces", "InvalidNetworkInterfaceID.NotFound",
        "The networkInterface ID '{}' does not exist",
    ),
    ("fl", "FlowLogs", "InvalidFlowLogId.NotFound", "The flow log id '{}' does not exist"),
    ("i", "Instances", "InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    (
        "igw", "InternetGateways", "InvalidInternetGatewayID.NotFound",
        "The internetGateway ID '{}' does not exist",
    ),
    ("key", "KeyPairs", "InvalidKeyPair.NotFound", "The key pair ID '{}' does not exist"),
    (
        "lt", "LaunchTemplates", "InvalidLaunchTemplateId.NotFound",
        "The specified launch template, with template ID {}, does not exist.",
    ),
    ("nat", "NatGateways", "NatGatewayNotFound", "NatGateway {} was not found"),
    (
        "pcx", "VpcPeeringConnections", "InvalidVpcPeeringConnectionID.NotFound",
        "The vpcPeeringConnection ID '{}' does not exist",
    ),
    ("pl", "ManagedPrefixLists", "InvalidPrefixListID.NotFound", "The prefix list ID '{}' does not exist"),
    ("rtb", "RouteTables", "InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    ("sg", "SecurityGroups", "InvalidGroup.NotFound", "The security group '{}' does not exist"),
    (
        "sgr", "SecurityGroupRules", "InvalidSecurityGroupRuleId.NotFound",
        "The security group rule ID '{}' does not exist",
    ),
    ("snap", "Snapshots", "InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    ("subnet", "Subnets", "InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    (
        "tgw", "TransitGateways", "InvalidTransitGatewayID.NotFound",
        "Transit Gateway {} was deleted or does not exist.",
    ),
    ("vol", "Volumes", "InvalidVolume.NotFound", "The volume '{}' does not exist."),
    ("vpc", "Vpcs", "InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    ("vpce", "VpcEndpoints", "InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '{}' does not exist"),
]  # fmt: skip
# What AWS, too, answers with what it has, or what moto has without ids that could be known.
ANSWERED = {
    ("DescribeEgressOnlyInternetGateways", "EgressOnlyInternetGatewayIds"),
    ("DescribeReservedInstancesOfferings", "ReservedInstancesOfferingIds"),
    ("DescribeSnapshots", "OwnerIds"),
    ("DescribeSnapshots", "RestorableByUserIds"),
}


def arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:us-east-1:123456789012:{name}"


def error_of(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.essential
@pytest.mark.parametrize(("prefix", "kind", "code", "message"), UNKNOWN)
def test_unknown_id(client: Client, prefix: str, kind: str, code: str, message: str) -> None:
    ec2, id_ = client("ec2"), f"{prefix}-{ID}"
    operation = next(name for name, api in ec2.meta.method_to_api_mapping.items() if api == f"Describe{kind}")
    members = ec2.meta.service_model.operation_model(f"Describe{kind}").input_shape.members
    parameter = next(name for name in members if name.endswith("Ids") and (f"Describe{kind}", name) not in ANSWERED)
    expected = code, message.format(id_)
    assert error_of(getattr(ec2, operation), **{parameter: [id_]}) == expected
    assert error_of(ec2.create_tags, Resources=[id_], Tags=[{"Key": "a", "Value": "b"}]) == expected
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id_]}])["Tags"] == []


@pytest.mark.essential
def test_no_operation_describes_unknown_ids(client: Client) -> None:
    ec2 = client("ec2")
    answered = set()
    for method, operation in ec2.meta.method_to_api_mapping.items():
        shape = ec2.meta.service_model.operation_model(operation).input_shape
        for name in shape.members if shape and operation.startswith("Describe") else ():
            if shape.members[name].type_name == "list" and name.endswith("Ids"):
                try:
                    getattr(ec2, method)(**{name: [f"x-{ID}"]})
                    answered.add((operation, name))
                except ClientError:
                    pass
    assert answered <= ANSWERED


def test_key_pair_by_id(client: Client) -> None:
    ec2 = client("ec2")
    first, _second = (ec2.create_key_pair(KeyName=name) for name in ("first", "second"))
    pairs = ec2.describe_key_pairs(KeyPairIds=[first["KeyPairId"]])["KeyPairs"]
    assert [pair["KeyName"] for pair in pairs] == ["first"]
    ec2.delete_key_pair(KeyPairId=first["KeyPairId"])
    assert [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]] == ["second"]
    expected = ("InvalidKeyPair.NotFound", "The key pair 'first' does not exist")
    assert error_of(ec2.describe_key_pairs, KeyNames=["first"]) == expected


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("SecurityGroupIds", ["sg-1"], "security groups"),
        ("SecurityGroups", ["default"], "security groups"),
        ("SubnetId", "subnet-1", "subnet ID"),
        ("PrivateIpAddress", "10.0.0.9", "private address"),
    ],
)
def test_what_interfaces_have_instances_do_not(client: Client, parameter: str, value: Any, words: str) -> None:
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    interfaces = [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}]
    template = ec2.create_launch_template(
        LaunchTemplateName=parameter,
        LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro", "NetworkInterfaces": interfaces},
    )["LaunchTemplate"]
    expected = (
        "InvalidParameterCombination",
        f"Network interfaces and an instance-level {words} may not be specified on the same request",
    )
    launch = {"MinCount": 1, "MaxCount": 1, parameter: value}
    assert error_of(ec2.run_instances, ImageId=image, NetworkInterfaces=interfaces, **launch) == expected
    of_template = {"LaunchTemplateId": template["LaunchTemplateId"]}
    assert error_of(ec2.run_instances, LaunchTemplate=of_template, **launch) == expected


def test_group_with_a_template_whose_groups_are_apart_from_its_interface(client: Client) -> None:
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": ["sg-1"]}
    template = ec2.create_launch_template(LaunchTemplateName="apart", LaunchTemplateData=data)["LaunchTemplate"]
    assert error_of(
        client("autoscaling").create_auto_scaling_group,
        AutoScalingGroupName="apart",
        MinSize=0,
        MaxSize=0,
        AvailabilityZones=["us-east-1a"],
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
    ) == (
        "ValidationError",
        "You must use a valid fully-formed launch template. Invalid launch template: When a network interface is "
        "provided, the security groups must be a part of it.",
    )


@pytest.mark.parametrize(
    ("service", "operation", "request_", "code"),
    [
        ("ec2", "create_tags", {"Resources": ["ami-none"]}, "InvalidID"),
        (
            "rds",
            "copy_db_snapshot",
            {"SourceDBSnapshotIdentifier": arn("rds", "pg:x"), "TargetDBSnapshotIdentifier": "y"},
            "InvalidParameterValue",
        ),
        ("rds", "add_tags_to_resource", {"ResourceName": arn("rds", "db:x")}, "DBInstanceNotFound"),
        ("rds", "add_tags_to_resource", {"ResourceName": arn("rds", "pg:x")}, "DBParameterGroupNotFound"),
        ("rds", "add_tags_to_resource", {"ResourceName": arn("rds", "subgrp:x")}, "DBSubnetGroupNotFoundFault"),
        (
            "elbv2",
            "add_tags",
            {"ResourceArns": [arn("elasticloadbalancing", "targetgroup/x/1")]},
            "TargetGroupNotFound",
        ),
        (
            "elbv2",
            "describe_tags",
            {"ResourceArns": [arn("elasticloadbalancing", "loadbalancer/app/x/1")]},
            "LoadBalancerNotFound",
        ),
        ("cloudwatch", "tag_resource", {"ResourceARN": arn("cloudwatch", "alarm:x")}, "ResourceNotFoundException"),
        (
            "cloudwatch",
            "list_tags_for_resource",
            {"ResourceARN": arn("cloudwatch", "alarm:x")},
            "ResourceNotFoundException",
        ),
    ],
)
def test_tags_of_what_is_not_there(
    client: Client, service: str, operation: str, request_: dict[str, Any], code: str
) -> None:
    tags = {} if operation in ("describe_tags", "list_tags_for_resource") else {"Tags": [{"Key": "a", "Value": "b"}]}
    assert error_of(getattr(client(service), operation), **request_, **tags)[0] == code
