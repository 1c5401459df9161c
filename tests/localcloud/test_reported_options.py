"""What is said of subnets, flow logs, log groups, secrets and Auto Scaling groups is what is said of them later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from instant_cloud import instant_cloud
from running_cloud import Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with instant_cloud(tmp_path_factory.mktemp("options")) as cloud:
        yield cloud


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AssignIpv6AddressOnCreation", True),
        ("EnableDns64", True),
        ("MapCustomerOwnedIpOnLaunch", True),
        ("MapPublicIpOnLaunch", True),
    ],
)
def test_subnet_attribute_is_reported(cloud: Cloud, name: str, value: bool) -> None:
    subnet_id = cloud.subnet_ids[0]
    cloud.client("ec2").modify_subnet_attribute(SubnetId=subnet_id, **{name: {"Value": value}})
    assert cloud.client("ec2").describe_subnets(SubnetIds=[subnet_id])["Subnets"][0][name] is value


def test_subnets_names_on_launch(cloud: Cloud) -> None:
    ec2, subnet_id = cloud.client("ec2"), cloud.subnet_ids[1]
    ec2.modify_subnet_attribute(SubnetId=subnet_id, PrivateDnsHostnameTypeOnLaunch="resource-name")
    ec2.modify_subnet_attribute(SubnetId=subnet_id, EnableResourceNameDnsAAAARecordOnLaunch={"Value": True})
    options = {
        "HostnameType": "resource-name",
        "EnableResourceNameDnsARecord": False,
        "EnableResourceNameDnsAAAARecord": True,
    }
    assert ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["PrivateDnsNameOptionsOnLaunch"] == options
    image = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][
        0
    ]
    launched = ec2.run_instances(
        ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet_id
    )["Instances"][0]["InstanceId"]
    assert cloud.instance(launched)["PrivateDnsNameOptions"] == options


def test_subnets_ipv6_state(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    block = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    part = block.replace("/56", "/64")
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.9.1.0/24", Ipv6CidrBlock=part)["Subnet"]["SubnetId"]
    (association,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["Ipv6CidrBlockAssociationSet"]
    assert association["Ipv6CidrBlock"] == part
    assert association["Ipv6CidrBlockState"] == {"State": "associated"}


def test_flow_logs_destination(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    cloud.client("s3").create_bucket(Bucket="flow-logs")
    (flow_log_id,) = ec2.create_flow_logs(
        ResourceType="VPC",
        ResourceIds=[cloud.vpc_id],
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination="arn:aws:s3:::flow-logs",
        DestinationOptions={"FileFormat": "parquet", "PerHourPartition": True},
    )["FlowLogIds"]
    (flow_log,) = ec2.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
    assert flow_log["DestinationOptions"] == {
        "FileFormat": "parquet",
        "HiveCompatiblePartitions": False,
        "PerHourPartition": True,
    }


def test_log_groups_class(cloud: Cloud) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="plain")
    logs.create_log_group(logGroupName="rare", logGroupClass="INFREQUENT_ACCESS")
    found = {group["logGroupName"]: group["logGroupClass"] for group in logs.describe_log_groups()["logGroups"]}
    assert found == {"plain": "STANDARD", "rare": "INFREQUENT_ACCESS"}
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.create_log_group(logGroupName="none", logGroupClass="NONE")


def test_secrets_rotation(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="rotated", SecretString="one")
    rules = {"ScheduleExpression": "rate(10 days)", "Duration": "3h"}
    secrets.rotate_secret(SecretId="rotated", RotationRules=rules, RotateImmediately=False)
    secret = secrets.describe_secret(SecretId="rotated")
    assert (secret["RotationEnabled"], secret["RotationRules"]) == (True, rules)
    assert "RotationLambdaARN" not in secret
    assert secrets.get_secret_value(SecretId="rotated")["SecretString"] == "one"
    secrets.cancel_rotate_secret(SecretId="rotated")
    assert secrets.describe_secret(SecretId="rotated")["RotationEnabled"] is False


def test_group(cloud: Cloud) -> None:
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName="group", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )
    role = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_own"
    options: dict[str, Any] = {
        "ServiceLinkedRoleARN": role,
        "Context": "somebodys",
        "CapacityReservationSpecification": {"CapacityReservationPreference": "default"},
        "AvailabilityZoneImpairmentPolicy": {
            "ZonalShiftEnabled": False,
            "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy",
        },
    }
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="group",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateName": "group"},
        VPCZoneIdentifier=cloud.subnet_ids[0],
        **options,
    )
    metrics = ["GroupInServiceCapacity", "GroupMinSize", "WarmPoolMinSize"]
    autoscaling.enable_metrics_collection(AutoScalingGroupName="group", Granularity="1Minute", Metrics=metrics)

    def group() -> dict[str, Any]:
        answer = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["group"])
        found: dict[str, Any] = answer["AutoScalingGroups"][0]
        return found

    assert {name: group()[name] for name in options} == options
    assert sorted(metric["Metric"] for metric in group()["EnabledMetrics"]) == metrics
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="group", ServiceLinkedRoleARN=f"{role}_new")
    assert group()["ServiceLinkedRoleARN"] == f"{role}_new"
    with pytest.raises(ClientError, match="not a valid metric"):
        autoscaling.enable_metrics_collection(AutoScalingGroupName="group", Granularity="1Minute", Metrics=["None"])
