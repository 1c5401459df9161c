"""What is in use, or goes with something else, can't be deleted, as on AWS; and what no longer is, can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]
World = dict[str, str]

USED = "has dependencies and cannot be deleted."


@pytest.fixture(scope="module")
def world(client: Client) -> World:
    """A VPC in which everything is used by something: what its parts are called."""
    ec2, elbv2 = client("ec2"), client("elbv2")
    ids = network(ec2, "10.61.0.0/16")
    ids |= users(client, ids)
    ids["base_image"] = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(
        ImageId=ids["base_image"],
        InstanceType="t3.micro",
        SubnetId=ids["subnet_of_instance"],
        SecurityGroupIds=[ids["group"]],
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]
    ids["instance"] = instance["InstanceId"]
    ids["attachment"] = instance["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    ids["interface_of_instance"] = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ids["volume"] = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [ids["instance"]]}])[
        "Volumes"
    ][0]["VolumeId"]
    ids["image"] = ec2.create_image(InstanceId=ids["instance"], Name="image")["ImageId"]
    mappings = ec2.describe_images(ImageIds=[ids["image"]])["Images"][0]["BlockDeviceMappings"]
    ids["snapshot"] = mappings[0]["Ebs"]["SnapshotId"]
    address = ec2.allocate_address(Domain="vpc")
    ids["address"], ids["ip"] = address["AllocationId"], address["PublicIp"]
    ec2.associate_address(AllocationId=ids["address"], InstanceId=ids["instance"])
    listeners = elbv2.describe_listeners(LoadBalancerArn=ids["load_balancer"])["Listeners"]
    ids["rule"] = elbv2.describe_rules(ListenerArn=listeners[0]["ListenerArn"])["Rules"][0]["RuleArn"]
    database(client, ids)
    group_of_instances(client, ids)
    return ids


def network(ec2: Any, cidr: str) -> World:
    """A VPC with what it has of its own, and two public subnets."""
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    inside = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    table = ec2.describe_route_tables(**inside)["RouteTables"][0]
    ids = {
        "vpc": vpc,
        "cidr": cidr,
        "main_table": table["RouteTableId"],
        "main_association": table["Associations"][0]["RouteTableAssociationId"],
        "default_acl": ec2.describe_network_acls(**inside)["NetworkAcls"][0]["NetworkAclId"],
        "default_group": ec2.describe_security_groups(**inside)["SecurityGroups"][0]["GroupId"],
        "gateway": ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"],
        "table": ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"],
        "acl": ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"],
    }
    ec2.attach_internet_gateway(InternetGatewayId=ids["gateway"], VpcId=vpc)
    options = [{"Key": "domain-name", "Values": ["example.com"]}]
    ids["options"] = ec2.create_dhcp_options(DhcpConfigurations=options)["DhcpOptions"]["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=ids["options"], VpcId=vpc)
    start = cidr.removesuffix("0.0/16")
    for number, zone in enumerate("ab"):
        ids[f"subnet_{zone}"] = ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"{start}{number}.0/24", AvailabilityZone=f"us-east-1{zone}"
        )["Subnet"]["SubnetId"]
    ids["subnet_of_instance"] = ec2.create_subnet(VpcId=vpc, CidrBlock=f"{start}2.0/24")["Subnet"]["SubnetId"]
    ids["association"] = ec2.associate_route_table(RouteTableId=ids["table"], SubnetId=ids["subnet_a"])["AssociationId"]
    acls = ec2.describe_network_acls(NetworkAclIds=[ids["default_acl"]])["NetworkAcls"][0]
    of_subnet = next(a for a in acls["Associations"] if a["SubnetId"] == ids["subnet_a"])
    ec2.replace_network_acl_association(AssociationId=of_subnet["NetworkAclAssociationId"], NetworkAclId=ids["acl"])
    return ids


def users(client: Client, ids: World) -> World:
    """What uses a network, and can be deleted at once: a load balancer, a NAT gateway, an interface, groups."""
    ec2, elbv2 = client("ec2"), client("elbv2")
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=ids["vpc"])["GroupId"]
    balancer = elbv2.create_load_balancer(
        Name=f"lb-{ids['vpc'][-6:]}", Subnets=[ids["subnet_a"], ids["subnet_b"]], SecurityGroups=[group]
    )["LoadBalancers"][0]["LoadBalancerArn"]
    target_group = elbv2.create_target_group(Name=f"tg-{ids['vpc'][-6:]}", Protocol="HTTP", Port=80, VpcId=ids["vpc"])[
        "TargetGroups"
    ][0]["TargetGroupArn"]
    forward = [{"Type": "forward", "TargetGroupArn": target_group}]
    elbv2.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward)
    address = ec2.allocate_address(Domain="vpc")
    nat_gateway = ec2.create_nat_gateway(SubnetId=ids["subnet_a"], AllocationId=address["AllocationId"])["NatGateway"]
    lists = ec2.create_managed_prefix_list(PrefixListName="p", MaxEntries=1, AddressFamily="IPv4")["PrefixList"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 80,
                "ToPort": 80,
                "PrefixListIds": [{"PrefixListId": lists["PrefixListId"]}],
            }
        ],
    )
    return {
        "group": group,
        "load_balancer": balancer,
        "target_group": target_group,
        "nat_address": address["AllocationId"],
        "nat_ip": address["PublicIp"],
        "nat_gateway": nat_gateway["NatGatewayId"],
        "nat_interface": nat_gateway["NatGatewayAddresses"][0]["NetworkInterfaceId"],
        "prefix_list": lists["PrefixListId"],
    }


def database(client: Client, ids: World) -> None:
    rds = client("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="subnets", DBSubnetGroupDescription="d", SubnetIds=[ids["subnet_a"], ids["subnet_b"]]
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="parameters", DBParameterGroupFamily="postgres17", Description="d"
    )
    rds.create_db_instance(
        DBInstanceIdentifier="database",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="postgres",
        MasterUserPassword="example-password",
        DBSubnetGroupName="subnets",
        DBParameterGroupName="parameters",
        DeletionProtection=True,
    )


def group_of_instances(client: Client, ids: World) -> None:
    autoscaling = client("autoscaling")
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="configuration", ImageId=ids["base_image"], InstanceType="t3.micro"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="fleet",
        LaunchConfigurationName="configuration",
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=ids["subnet_a"],
    )


# Service, operation, parameters, error code, message. What is in braces: see `world`.
REFUSED: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("ec2", "delete_vpc", {"VpcId": "{vpc}"}, "DependencyViolation", f"The vpc '{{vpc}}' {USED}"),
    # of a load balancer's interface, of a load balancer only, of an instance
    ("ec2", "delete_subnet", {"SubnetId": "{subnet_a}"}, "DependencyViolation", f"The subnet '{{subnet_a}}' {USED}"),
    ("ec2", "delete_subnet", {"SubnetId": "{subnet_b}"}, "DependencyViolation", f"The subnet '{{subnet_b}}' {USED}"),
    (
        "ec2", "delete_subnet", {"SubnetId": "{subnet_of_instance}"}, "DependencyViolation",
        f"The subnet '{{subnet_of_instance}}' {USED}",
    ),
    (
        "ec2", "delete_internet_gateway", {"InternetGatewayId": "{gateway}"}, "DependencyViolation",
        f"The internetGateway '{{gateway}}' {USED}",
    ),
    (
        "ec2", "detach_internet_gateway", {"InternetGatewayId": "{gateway}", "VpcId": "{vpc}"}, "DependencyViolation",
        "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the "
        "gateway.",
    ),
    (
        "ec2", "delete_route_table", {"RouteTableId": "{table}"}, "DependencyViolation",
        f"The routeTable '{{table}}' {USED}",
    ),
    (
        "ec2", "delete_route_table", {"RouteTableId": "{main_table}"}, "DependencyViolation",
        f"The routeTable '{{main_table}}' {USED}",
    ),
    (
        "ec2", "disassociate_route_table", {"AssociationId": "{main_association}"}, "InvalidParameterValue",
        "cannot disassociate the main route table association {main_association}",
    ),
    (
        "ec2", "delete_route", {"RouteTableId": "{table}", "DestinationCidrBlock": "{cidr}"}, "InvalidParameterValue",
        "cannot remove local route {cidr} in route table {table}",
    ),
    (
        "ec2", "delete_network_acl", {"NetworkAclId": "{default_acl}"}, "InvalidParameterValue",
        "cannot delete default network ACL {default_acl}",
    ),
    (
        "ec2", "delete_network_acl", {"NetworkAclId": "{acl}"}, "DependencyViolation",
        f"The networkAcl '{{acl}}' {USED}",
    ),
    (
        "ec2", "delete_network_acl_entry", {"NetworkAclId": "{acl}", "RuleNumber": 7, "Egress": True},
        "InvalidNetworkAclEntry.NotFound", "no egress entry with number 7",
    ),
    (
        "ec2", "delete_network_acl_entry", {"NetworkAclId": "{acl}", "RuleNumber": 32767, "Egress": False},
        "InvalidParameterValue",
        "Value (32767) for parameter ruleNumber is invalid. Rulenumber must be in range 1..32766",
    ),
    (
        "ec2", "delete_dhcp_options", {"DhcpOptionsId": "{options}"}, "DependencyViolation",
        f"The dhcpOptions '{{options}}' {USED}",
    ),
    (
        "ec2", "delete_security_group", {"GroupId": "{default_group}"}, "CannotDelete",
        'the specified group: "{default_group}" name: "default" cannot be deleted by a user',
    ),
    (
        "ec2", "delete_security_group", {"GroupId": "{group}"}, "DependencyViolation",
        "resource {group} has a dependent object",
    ),
    (
        "ec2", "delete_network_interface", {"NetworkInterfaceId": "{interface_of_instance}"}, "InvalidParameterValue",
        "Network interface '{interface_of_instance}' is currently in use.",
    ),
    (
        "ec2", "delete_network_interface", {"NetworkInterfaceId": "{nat_interface}"}, "InvalidParameterValue",
        "Network interface '{nat_interface}' is currently in use.",
    ),
    (
        "ec2", "detach_network_interface", {"AttachmentId": "{attachment}"}, "OperationNotPermitted",
        "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    ),
    (
        "ec2", "release_address", {"AllocationId": "{address}"}, "InvalidIPAddress.InUse", "Address {ip} is in use.",
    ),
    (
        "ec2", "release_address", {"PublicIp": "{ip}"}, "InvalidParameterValue",
        "You must specify an allocation id when releasing a VPC elastic IP address",
    ),
    (
        "ec2", "release_address", {"AllocationId": "{nat_address}"}, "AuthFailure",
        "You do not have permission to access the specified resource.",
    ),
    (
        "ec2", "disassociate_address", {"PublicIp": "{nat_ip}"}, "AuthFailure",
        "You do not have permission to access the specified resource.",
    ),
    (
        "ec2", "delete_nat_gateway", {"NatGatewayId": "nat-0123456789abcdef0"}, "NatGatewayNotFound",
        "NatGateway nat-0123456789abcdef0 was not found",
    ),
    (
        "ec2", "delete_managed_prefix_list", {"PrefixListId": "pl-0123456789abcdef0"}, "InvalidPrefixListID.NotFound",
        "The prefix list ID 'pl-0123456789abcdef0' does not exist",
    ),
    (
        "ec2", "delete_volume", {"VolumeId": "{volume}"}, "VolumeInUse",
        "Volume {volume} is currently attached to {instance}",
    ),
    (
        "ec2", "detach_volume", {"VolumeId": "{volume}"}, "OperationNotPermitted",
        "Unable to detach root volume '{volume}' from instance '{instance}'",
    ),
    (
        "ec2", "delete_snapshot", {"SnapshotId": "{snapshot}"}, "InvalidSnapshot.InUse",
        "The snapshot {snapshot} is currently in use by {image}",
    ),
    (
        "elbv2", "delete_target_group", {"TargetGroupArn": "{target_group}"}, "ResourceInUse",
        "The target group '{target_group}' is currently in use by a listener or a rule",
    ),
    (
        "elbv2", "delete_rule", {"RuleArn": "{rule}"}, "OperationNotPermitted",
        "Default rule '{rule}' cannot be deleted",
    ),
    ("elbv2", "delete_rule", {"RuleArn": "{rule}0"}, "RuleNotFound", "One or more rules not found"),
    (
        "rds", "delete_db_subnet_group", {"DBSubnetGroupName": "subnets"}, "InvalidDBSubnetGroupStateFault",
        "Cannot delete the subnet group 'subnets' because at least one database instance: database is still using it.",
    ),
    (
        "rds", "delete_db_parameter_group", {"DBParameterGroupName": "parameters"}, "InvalidDBParameterGroupState",
        "One or more database instances are still members of this parameter group parameters, so the group cannot be "
        "deleted",
    ),
    (
        "rds", "delete_db_parameter_group", {"DBParameterGroupName": "default.postgres17"},
        "InvalidDBParameterGroupState", "Default DBParameterGroup cannot be deleted: default.postgres17",
    ),
    (
        "rds", "delete_db_instance", {"DBInstanceIdentifier": "database", "SkipFinalSnapshot": True},
        "InvalidParameterCombination",
        "Cannot delete protected DB Instance, please disable deletion protection and try again.",
    ),
    (
        "autoscaling", "delete_launch_configuration", {"LaunchConfigurationName": "configuration"}, "ResourceInUse",
        "Cannot delete launch configuration configuration because it is attached to AutoScalingGroup fleet",
    ),
    (
        "autoscaling", "delete_launch_configuration", {"LaunchConfigurationName": "other"}, "ValidationError",
        "Launch configuration name not found - Launch configuration other not found",
    ),
    (
        "autoscaling", "detach_load_balancer_target_groups",
        {"AutoScalingGroupName": "fleet", "TargetGroupARNs": ["{target_group}"]}, "ValidationError",
        "Trying to remove Target Groups that are not part of the group",
    ),
]  # fmt: skip


def filled(value: Any, ids: World) -> Any:
    if isinstance(value, list):
        return [filled(item, ids) for item in value]
    return value.format(**ids) if isinstance(value, str) else value


@pytest.mark.essential
@pytest.mark.parametrize(("service", "operation", "parameters", "code", "message"), REFUSED)
def test_what_is_in_use_is_not_deleted(
    client: Client, world: World, service: str, operation: str, parameters: dict[str, Any], code: str, message: str
) -> None:
    request = {name: filled(value, world) for name, value in parameters.items()}
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)(**request)
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, message.format(**world))


def test_a_group_of_an_instance_that_shuts_down_is_in_use(client: Client, world: World) -> None:
    ec2 = client("ec2")
    group = ec2.create_security_group(GroupName="short", Description="d", VpcId=world["vpc"])["GroupId"]
    instance = ec2.run_instances(
        ImageId=world["base_image"],
        InstanceType="t3.micro",
        SubnetId=world["subnet_of_instance"],
        SecurityGroupIds=[group],
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[instance])  # no machine is there whose end could be seen
    with pytest.raises(ClientError, match="has a dependent object"):
        ec2.delete_security_group(GroupId=group)


def test_a_prefix_list_in_use_fails_to_be_deleted_later(client: Client, world: World) -> None:
    ec2 = client("ec2")
    assert ec2.delete_managed_prefix_list(PrefixListId=world["prefix_list"])["PrefixList"]["State"] == "delete-failed"
    lists = ec2.describe_managed_prefix_lists(PrefixListIds=[world["prefix_list"]])["PrefixLists"]
    assert [listed["State"] for listed in lists] == ["delete-failed"]


def test_a_target_that_is_not_registered_is_deregistered(client: Client, world: World) -> None:
    client("elbv2").deregister_targets(TargetGroupArn=world["target_group"], Targets=[{"Id": "i-0123456789abcdef0"}])


@pytest.mark.essential
def test_in_the_right_order_everything_is_deleted(client: Client) -> None:
    ec2, elbv2 = client("ec2"), client("elbv2")
    ids = network(ec2, "10.62.0.0/16")
    ids |= users(client, ids)
    elbv2.delete_load_balancer(LoadBalancerArn=ids["load_balancer"])
    elbv2.delete_target_group(TargetGroupArn=ids["target_group"])
    ec2.delete_nat_gateway(NatGatewayId=ids["nat_gateway"])
    ec2.release_address(AllocationId=ids["nat_address"])
    ec2.delete_security_group(GroupId=ids["group"])
    ec2.delete_managed_prefix_list(PrefixListId=ids["prefix_list"])
    ec2.detach_internet_gateway(InternetGatewayId=ids["gateway"], VpcId=ids["vpc"])
    ec2.delete_internet_gateway(InternetGatewayId=ids["gateway"])
    for name in ("subnet_a", "subnet_b", "subnet_of_instance"):  # and with them their associations
        ec2.delete_subnet(SubnetId=ids[name])
    ec2.delete_route_table(RouteTableId=ids["table"])
    ec2.delete_network_acl(NetworkAclId=ids["acl"])
    ec2.delete_vpc(VpcId=ids["vpc"])
    inside = {"Filters": [{"Name": "vpc-id", "Values": [ids["vpc"]]}]}
    assert ec2.describe_network_acls(**inside)["NetworkAcls"] == []
    assert ec2.describe_network_interfaces(**inside)["NetworkInterfaces"] == []
    ec2.delete_dhcp_options(DhcpOptionsId=ids["options"])  # which the VPC did not take with it


def test_an_address_of_a_default_vpc_is_released_from_its_instance(client: Client) -> None:
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=instance["InstanceId"])
    ec2.release_address(AllocationId=address)
    assert address not in {known.get("AllocationId") for known in ec2.describe_addresses()["Addresses"]}
