"""Traffic sources of Auto Scaling groups: another way to attach target groups, with the same effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from botocore.exceptions import ClientError


@pytest.fixture
def client() -> Iterator[Callable[[str], Any]]:
    with api_without_machines() as make_client:
        yield make_client


@pytest.fixture
def arns(client: Callable[[str], Any]) -> list[str]:
    """Target groups."""
    vpc = client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    create = client("elbv2").create_target_group
    return [
        create(Name=name, Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
        for name in ("one", "two")
    ]


@pytest.fixture
def create_group(client: Callable[[str], Any]) -> Callable[..., None]:
    """Make the group `g`, of no instances."""

    def create(**options: Any) -> None:
        ec2 = client("ec2")
        image = ec2.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
        data = {"ImageId": image, "InstanceType": "t3.micro"}
        ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData=data)
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName="g",
            LaunchTemplate={"LaunchTemplateName": "t"},
            MinSize=0,
            MaxSize=1,
            AvailabilityZones=["us-east-1a"],
            **options,
        )

    return create


def source(arn: str) -> dict[str, str]:
    return {"Identifier": arn, "Type": "elbv2"}


def described(autoscaling: Any, **wanted: Any) -> list[dict[str, str]]:
    sources: list[dict[str, str]] = autoscaling.describe_traffic_sources(AutoScalingGroupName="g", **wanted)[
        "TrafficSources"
    ]
    return sources


@pytest.mark.essential
def test_target_groups_are_attached_and_detached(
    client: Callable[[str], Any], arns: list[str], create_group: Callable[..., None]
) -> None:
    autoscaling = client("autoscaling")
    create_group()
    autoscaling.attach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[source(arns[0])])
    autoscaling.attach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[{"Identifier": arns[1]}])
    assert described(autoscaling) == [
        {"Identifier": arn, "TrafficSource": arn, "Type": "elbv2", "State": "Added"} for arn in arns
    ]
    assert described(autoscaling, TrafficSourceType="vpc-lattice") == []
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["TrafficSources"] == [source(arn) for arn in arns]
    assert group["TargetGroupARNs"] == arns
    autoscaling.detach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[source(arns[0])])
    assert [found["Identifier"] for found in described(autoscaling)] == [arns[1]]


def test_a_group_is_made_with_a_traffic_source(
    client: Callable[[str], Any], arns: list[str], create_group: Callable[..., None]
) -> None:
    create_group(TrafficSources=[source(arns[0])])
    (group,) = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["TargetGroupARNs"] == [arns[0]]


@pytest.mark.essential
def test_what_is_not_here_is_refused(
    client: Callable[[str], Any], arns: list[str], create_group: Callable[..., None]
) -> None:
    autoscaling = client("autoscaling")
    create_group()
    for wanted, text in (
        ({"Identifier": "classic", "Type": "elb"}, "The local cloud has no traffic source classic of type elb"),
        (source(f"{arns[0]}0"), "Provided Target Groups may not be valid"),
    ):
        with pytest.raises(ClientError, match=text) as refused:
            autoscaling.attach_traffic_sources(AutoScalingGroupName="g", TrafficSources=[wanted])
        assert refused.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="'none' not found"):
        autoscaling.describe_traffic_sources(AutoScalingGroupName="none")
    for request in (autoscaling.attach_traffic_sources, autoscaling.detach_traffic_sources):
        with pytest.raises(ClientError, match="'none' not found"):
            request(AutoScalingGroupName="none", TrafficSources=[source(arns[0])])


def test_classic_load_balancers_are_refused(client: Callable[[str], Any], create_group: Callable[..., None]) -> None:
    with pytest.raises(ClientError, match="The local cloud has no classic load balancers"):
        create_group(LoadBalancerNames=["classic"])
    client("ec2").delete_launch_template(LaunchTemplateName="t")
    create_group()
    with pytest.raises(ClientError, match="The local cloud has no classic load balancers"):
        client("autoscaling").attach_load_balancers(AutoScalingGroupName="g", LoadBalancerNames=["classic"])
    (group,) = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["LoadBalancerNames"] == []
