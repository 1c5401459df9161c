"""Placement groups are recorded, and the instances in them say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def ec2() -> Iterator[Any]:
    with api_without_machines() as client:
        yield client("ec2")


@pytest.fixture(scope="module")
def run(ec2: Any) -> Callable[..., Any]:
    """Launch; the instances."""
    image = ec2.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]

    def launch(count: int = 1, **options: Any) -> Any:
        request = {"InstanceType": "t3.micro", "MinCount": count, "MaxCount": count, "ImageId": image, **options}
        return ec2.run_instances(**request)["Instances"]

    return launch


def code_of(request: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        request(**arguments)
    return str(refused.value.response["Error"]["Code"])


@pytest.mark.essential
def test_a_group_is_made_found_and_deleted(ec2: Any) -> None:
    tags = [{"ResourceType": "placement-group", "Tags": [{"Key": "k", "Value": "v"}]}]
    made = ec2.create_placement_group(GroupName="g", Strategy="cluster", TagSpecifications=tags)["PlacementGroup"]
    assert made["GroupId"].startswith("pg-")
    assert made["GroupArn"] == "arn:aws:ec2:us-east-1:123456789012:placement-group/g"
    assert (made["State"], made["Strategy"], made["Tags"]) == ("available", "cluster", tags[0]["Tags"])
    ec2.create_placement_group(GroupName="p", Strategy="partition", PartitionCount=3)
    assert ec2.describe_placement_groups(GroupNames=["g"])["PlacementGroups"] == [made]
    assert ec2.describe_placement_groups(GroupIds=[made["GroupId"]])["PlacementGroups"] == [made]
    wanted = [{"Name": "strategy", "Values": ["part*"]}]
    (partition,) = ec2.describe_placement_groups(Filters=wanted)["PlacementGroups"]
    assert (partition["GroupName"], partition["PartitionCount"]) == ("p", 3)
    assert ec2.describe_placement_groups(Filters=[{"Name": "spread-level", "Values": ["*"]}])["PlacementGroups"] == []
    assert code_of(ec2.create_placement_group, GroupName="g") == "InvalidPlacementGroup.Duplicate"
    for name in ("g", "p"):
        ec2.delete_placement_group(GroupName=name)
    assert code_of(ec2.describe_placement_groups, GroupNames=["g"]) == "InvalidPlacementGroup.Unknown"
    assert code_of(ec2.delete_placement_group, GroupName="g") == "InvalidPlacementGroup.Unknown"


@pytest.mark.parametrize(
    ("request_of", "code"),
    [
        ({}, "MissingParameter"),
        ({"GroupName": "g", "Strategy": "line"}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "spread", "PartitionCount": 2}, "InvalidParameterCombination"),
        ({"GroupName": "g", "Strategy": "partition", "PartitionCount": 8}, "InvalidParameterValue"),
        ({"GroupName": "g", "Strategy": "cluster", "SpreadLevel": "rack"}, "InvalidParameterCombination"),
    ],
)
def test_what_makes_no_group(ec2: Any, request_of: dict[str, Any], code: str) -> None:
    assert code_of(ec2.create_placement_group, **request_of) == code


@pytest.mark.essential
def test_instances_show_their_group(ec2: Any, run: Callable[..., Any]) -> None:
    ec2.create_placement_group(GroupName="parts", Strategy="partition", PartitionCount=2)
    launched = run(3, Placement={"GroupName": "parts"})
    reservation = ec2.describe_instances(Filters=[{"Name": "placement-group-name", "Values": ["parts"]}])
    placements = [instance["Placement"] for instance in reservation["Reservations"][0]["Instances"]]
    assert [(place["GroupName"], place["PartitionNumber"]) for place in placements] == [
        ("parts", 1),
        ("parts", 2),
        ("parts", 1),
    ]
    assert placements[0]["AvailabilityZone"].startswith("us-east-1")
    assert code_of(run, Placement={"GroupName": "parts", "PartitionNumber": 3}) == "InvalidParameterValue"
    assert code_of(run, Placement={"GroupName": "none"}) == "InvalidPlacementGroup.Unknown"
    assert code_of(ec2.delete_placement_group, GroupName="parts") == "InvalidPlacementGroup.InUse"
    assert len(launched) == 3


def test_a_launch_template_names_a_group(ec2: Any, run: Callable[..., Any]) -> None:
    ec2.create_placement_group(GroupName="near", Strategy="cluster")
    ec2.create_launch_template(LaunchTemplateName="near", LaunchTemplateData={"Placement": {"GroupName": "near"}})
    (instance,) = run(LaunchTemplate={"LaunchTemplateName": "near"})
    assert instance["Placement"]["GroupName"] == "near"
