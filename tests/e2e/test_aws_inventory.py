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


def test_database_must_have_a_connection_for_every_process(aws: Project) -> None:
    """30 instances of a t3.micro's two CPUs, three more while they are replaced, each with four processes
    of two connections each; and ten."""
    run = aws.playbook("site.yml", asg_max_size=30, db_max_connections=273)
    assert run.returncode != 0
    assert "need 274 connections to the database, and db_max_connections is 273" in " ".join(run.output.split())
    assert buckets(aws) == networks(aws) == []


def test_chapters_run_alone(aws: Project) -> None:
    checked = succeeded(aws.playbook("playbooks/preflight.yml"))
    said = (
        "holds up to 186 connections to the database. Amazon's own limit for the memory of db.t4g.micro is about 101:"
    )
    assert said in " ".join(checked.output.split())
    succeeded(aws.playbook("playbooks/state.yml"))
    succeeded(aws.playbook("playbooks/network.yml"))
    assert len(buckets(aws)) == len(networks(aws)) == 1
    assert succeeded(aws.playbook("playbooks/network.yml")).changed == 0


def test_interrupt_with_terraform_at_work_in_three_stages(aws: Project) -> None:
    """The teardown that follows finds it at work on the database, the hosts and the load balancer."""
    first_address = aws.cidr.replace(".0/16", ".1/32")
    run = aws.interrupted_playbook("site.yml", "Making stage hosts usually takes", 2, ssh_cidr=first_address)
    assert run.returncode != 0


def test_teardown_names_what_goes_and_asks(aws: Project) -> None:
    run = aws.playbook("teardown.yml")
    assert run.returncode != 0
    assert "terraform/network: " in run.output
    assert f"bucket {buckets(aws)[0]}" in run.output
    assert "nothing was removed, because nobody said yes" in run.output
    assert "-e confirm=yes" in run.output
    assert len(buckets(aws)) == len(networks(aws)) == 1


def test_teardown_goes_on_when_told_so(aws: Project) -> None:
    succeeded(aws.playbook("teardown.yml", confirm="yes"))
    assert buckets(aws) == networks(aws) == []
    assert aws.client("rds").describe_db_instances()["DBInstances"] == []
    assert aws.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    reservations = aws.client("ec2").describe_instances()["Reservations"]
    assert {row["State"]["Name"] for found in reservations for row in found["Instances"]} <= {"terminated"}
    assert not (aws.root / ".deploy/aws").exists()
    assert succeeded(aws.playbook("teardown.yml")).changed == 0, "nothing is left, so nobody is asked"
