"""Versions of launch templates: deleted one by one, their numbers never given again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from botocore.exceptions import ClientError


@pytest.fixture
def ec2() -> Iterator[Any]:
    """With a template `t` of versions 1 (the default), 2 and 3, for t3.nano, t3.micro and t3.small."""
    with api_without_machines() as client:
        ec2 = client("ec2")
        ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData={"InstanceType": "t3.nano"})
        for kind in ("t3.micro", "t3.small"):
            ec2.create_launch_template_version(LaunchTemplateName="t", LaunchTemplateData={"InstanceType": kind})
        yield ec2


def versions(ec2: Any, **wanted: Any) -> dict[int, str]:
    """Number -> instance type."""
    found = ec2.describe_launch_template_versions(LaunchTemplateName="t", **wanted)["LaunchTemplateVersions"]
    return {version["VersionNumber"]: version["LaunchTemplateData"]["InstanceType"] for version in found}


@pytest.mark.essential
def test_versions_are_deleted(ec2: Any) -> None:
    answer = ec2.delete_launch_template_versions(LaunchTemplateName="t", Versions=["2", "1", "9"])
    deleted = answer["SuccessfullyDeletedLaunchTemplateVersions"]
    assert [(version["LaunchTemplateName"], version["VersionNumber"]) for version in deleted] == [("t", 2)]
    kept = answer["UnsuccessfullyDeletedLaunchTemplateVersions"]
    assert [(version["VersionNumber"], version["ResponseError"]["Code"]) for version in kept] == [
        (1, "unexpectedError"),
        (9, "launchTemplateVersionDoesNotExist"),
    ]
    assert versions(ec2) == {1: "t3.nano", 3: "t3.small"}


@pytest.mark.essential
def test_the_others_keep_their_numbers(ec2: Any) -> None:
    ec2.delete_launch_template_versions(LaunchTemplateName="t", Versions=["2"])
    assert versions(ec2, Versions=["3"]) == versions(ec2, Versions=["$Latest"]) == {3: "t3.small"}
    assert versions(ec2, MinVersion="2") == {3: "t3.small"}
    assert versions(ec2, MaxVersion="2") == {1: "t3.nano"}
    with pytest.raises(ClientError) as refused:
        versions(ec2, Versions=["2"])
    assert refused.value.response["Error"]["Code"] == "InvalidLaunchTemplateId.VersionNotFound"
    ec2.modify_launch_template(LaunchTemplateName="t", DefaultVersion="3")
    assert versions(ec2, Versions=["$Default"]) == {3: "t3.small"}
    template = ec2.describe_launch_templates(LaunchTemplateNames=["t"])["LaunchTemplates"][0]
    assert (template["DefaultVersionNumber"], template["LatestVersionNumber"]) == (3, 3)


def test_a_number_is_given_once(ec2: Any) -> None:
    ec2.delete_launch_template_versions(LaunchTemplateName="t", Versions=["3"])
    assert versions(ec2, Versions=["$Latest"]) == {2: "t3.micro"}
    data = {"InstanceType": "t3.large"}
    made = ec2.create_launch_template_version(LaunchTemplateName="t", LaunchTemplateData=data)
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 4
    assert versions(ec2, Versions=["$Latest"]) == {4: "t3.large"}


def test_a_template_must_be_named_once(ec2: Any) -> None:
    template_id = ec2.describe_launch_templates()["LaunchTemplates"][0]["LaunchTemplateId"]
    for names, code in (
        ({}, "MissingParameter"),
        ({"LaunchTemplateName": "t", "LaunchTemplateId": template_id}, "InvalidParameterCombination"),
        ({"LaunchTemplateName": "none"}, "InvalidLaunchTemplateName.NotFoundException"),
    ):
        with pytest.raises(ClientError) as refused:
            ec2.delete_launch_template_versions(Versions=["2"], **names)
        assert refused.value.response["Error"]["Code"] == code
