"""`-i inventory/aws`, whose endpoint is the local cloud's for once: what only that inventory does."""

from __future__ import annotations

import dataclasses

import pytest
from project_copy import Project
from stack import succeeded

pytestmark = pytest.mark.story


@pytest.fixture(scope="module")
def aws(project: Project) -> Project:
    """The project with AWS's inventory, and what AWS's own tools take their endpoint and credentials from."""
    assert project.localcloud("up").returncode == 0
    return dataclasses.replace(
        project,
        inventory="inventory/aws",
        credentials={
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{project.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
    )


def buckets(aws: Project) -> list[str]:
    return [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]


def networks(aws: Project) -> list[str]:
    vpcs = aws.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Environment", "Values": ["aws"]}])["Vpcs"]
    return [vpc["VpcId"] for vpc in vpcs]


def test_chapters_run_alone(aws: Project) -> None:
    succeeded(aws.playbook("playbooks/state.yml"))
    succeeded(aws.playbook("playbooks/network.yml"))
    assert len(buckets(aws)) == len(networks(aws)) == 1
    assert succeeded(aws.playbook("playbooks/network.yml")).changed == 0


def test_teardown_names_what_goes_and_asks(aws: Project) -> None:
    run = aws.playbook("teardown.yml")
    assert run.returncode != 0
    assert "terraform/vpc: " in run.output
    assert f"bucket {buckets(aws)[0]}" in run.output
    assert "nothing was removed, because nobody said yes" in run.output
    assert "-e confirm=yes" in run.output
    assert len(buckets(aws)) == len(networks(aws)) == 1


def test_teardown_goes_on_when_told_so(aws: Project) -> None:
    succeeded(aws.playbook("teardown.yml", confirm="yes"))
    assert buckets(aws) == networks(aws) == []
    assert not (aws.root / ".deploy/aws").exists()
    assert succeeded(aws.playbook("teardown.yml")).changed == 0, "nothing is left, so nobody is asked"
