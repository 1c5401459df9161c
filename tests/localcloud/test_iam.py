"""IAM: AWS's managed policies are there to be attached, and are AWS's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from botocore.exceptions import ClientError

ARN = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


@pytest.fixture
def iam() -> Iterator[Any]:
    with api_without_machines() as client:
        yield client("iam")


@pytest.fixture
def role(iam: Any) -> str:
    iam.create_role(RoleName="host", AssumeRolePolicyDocument=DOCUMENT)
    return "host"


def count(iam: Any) -> int:
    return int(iam.get_policy(PolicyArn=ARN)["Policy"]["AttachmentCount"])


@pytest.mark.essential
def test_a_policy_of_aws_is_attached_once_and_detached(iam: Any, role: str) -> None:
    iam.attach_role_policy(RoleName=role, PolicyArn=ARN)
    iam.attach_role_policy(RoleName=role, PolicyArn=ARN)
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonSSMManagedInstanceCore", "PolicyArn": ARN}]
    assert count(iam) == 1
    iam.detach_role_policy(RoleName=role, PolicyArn=ARN)
    assert count(iam) == 0


def test_a_policy_of_aws_can_be_read(iam: Any) -> None:
    policy = iam.get_policy(PolicyArn=ARN)["Policy"]
    version = iam.get_policy_version(PolicyArn=ARN, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    actions = [action for statement in version["Document"]["Statement"] for action in statement["Action"]]
    assert "ssm:UpdateInstanceInformation" in actions
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    assert ARN in {policy["Arn"] for page in pages for policy in page["Policies"]}
    assert iam.list_policies(Scope="Local")["Policies"] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda iam: iam.delete_policy(PolicyArn=ARN),
        lambda iam: iam.create_policy_version(PolicyArn=ARN, PolicyDocument=DOCUMENT),
        lambda iam: iam.tag_policy(PolicyArn=ARN, Tags=[{"Key": "k", "Value": "v"}]),
    ],
)
def test_a_policy_of_aws_is_not_changed(iam: Any, change: Callable[[Any], Any]) -> None:
    with pytest.raises(ClientError) as refused:
        change(iam)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert iam.get_policy(PolicyArn=ARN)["Policy"]["DefaultVersionId"]
