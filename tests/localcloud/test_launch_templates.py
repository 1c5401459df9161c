"""Launch templates say what was said of them, and a version of another has what that one has."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from instant_cloud import instant_cloud


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with instant_cloud(tmp_path_factory.mktemp("templates")) as cloud:
        yield cloud.client("ec2")


def create(ec2: Any, name: str, data: dict[str, Any], **options: Any) -> str:
    answer = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, **options)
    return str(answer["LaunchTemplate"]["LaunchTemplateId"])


def version(ec2: Any, template_id: str, number: str = "$Latest") -> dict[str, Any]:
    (found,) = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, Versions=[number])[
        "LaunchTemplateVersions"
    ]
    data: dict[str, Any] = found["LaunchTemplateData"]
    return data


def test_tags_are_those_of_now(ec2: Any) -> None:
    template_id = create(
        ec2,
        "tagged",
        {"InstanceType": "t3.micro"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "1"}]}],
    )
    ec2.create_tags(Resources=[template_id], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    (template,) = ec2.describe_launch_templates(LaunchTemplateIds=[template_id])["LaunchTemplates"]
    assert {tag["Key"]: tag["Value"] for tag in template["Tags"]} == {"a": "2", "b": "3"}
    ec2.delete_tags(Resources=[template_id], Tags=[{"Key": "a"}])
    (template,) = ec2.describe_launch_templates(LaunchTemplateIds=[template_id])["LaunchTemplates"]
    assert template["Tags"] == [{"Key": "b", "Value": "3"}]


def test_what_was_not_said_is_not_answered(ec2: Any) -> None:
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "1"}]}]
    template_id = create(ec2, "terse", {"InstanceType": "t3.micro"}, TagSpecifications=tags)
    assert version(ec2, template_id) == {"InstanceType": "t3.micro"}


def test_version_of_another_has_what_it_does_not_name(ec2: Any) -> None:
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "1"}]}]
    first = {"InstanceType": "t3.micro", "UserData": user_data, "EbsOptimized": True, "TagSpecifications": tags}
    template_id = create(ec2, "inherited", first)
    ec2.create_launch_template_version(
        LaunchTemplateId=template_id, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"}
    )
    assert version(ec2, template_id) == {**first, "InstanceType": "t3.small"}
    ec2.create_launch_template_version(LaunchTemplateName="inherited", LaunchTemplateData={"InstanceType": "t3.large"})
    assert version(ec2, template_id) == {"InstanceType": "t3.large"}
    assert version(ec2, template_id, "1") == first


def test_all_versions_are_found(ec2: Any) -> None:
    template_id = create(ec2, "many", {"InstanceType": "t3.micro"})
    for _number in range(2, 21):
        ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData={"InstanceType": "t3.nano"})
    answer = ec2.describe_launch_template_versions(LaunchTemplateId=template_id)
    assert [found["VersionNumber"] for found in answer["LaunchTemplateVersions"]] == list(range(1, 21))
    assert "NextToken" not in answer
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateId=template_id, PaginationConfig={"PageSize": 8}
    )
    assert [len(page["LaunchTemplateVersions"]) for page in pages] == [8, 8, 4]


def test_all_templates_are_found(ec2: Any) -> None:
    made = {create(ec2, f"one-of-many-{number}", {"InstanceType": "t3.micro"}) for number in range(20)}
    found = {template["LaunchTemplateId"] for template in ec2.describe_launch_templates()["LaunchTemplates"]}
    assert made <= found
