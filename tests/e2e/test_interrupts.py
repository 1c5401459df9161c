"""Ctrl-C in every chapter: the next run goes on.

First in those of a first deployment, then in those of a changed application, with a visitor. The tests build on each
other, in this order: each run is interrupted where it goes on from the one before. A teardown of what is half made is
in test_aws_inventory.py; one is interrupted in the story's third part.
"""

from __future__ import annotations

import json

import pytest
from project_copy import Answer, Project
from stack import GoesOn, add_column, reader, succeeded

pytestmark = pytest.mark.story("interrupted")


@pytest.fixture(scope="module")
def project(interrupted: Project) -> Project:
    return interrupted


# Where a run is interrupted: a text that is in a line of its output then, and seconds after that line.
POINTS = {
    "local cloud": ("The local cloud runs", 1),
    "state": ("PLAY [State]", 1),
    "network": ("Plan: 20 to add", 3),
    "hosts, with Terraform at work in three stages": ("Making stage hosts usually takes", 2),
    "hosts, in the middle of an installation": ("The framework's directory exists", 1),
}


@pytest.mark.parametrize("chapter", POINTS)
def test_interrupt(project: Project, chapter: str) -> None:
    assert project.interrupted_playbook("site.yml", *POINTS[chapter]).returncode != 0


def test_run_after_all_these_finishes(project: Project) -> None:
    succeeded(project.playbook("site.yml"))
    written = json.loads(project.get("/date_time").body)
    assert json.loads(project.get("/latest_date_time").body) == written


# The same for a version with one more column: playbook, text, seconds.
POINTS_OF_A_DEPLOY = {
    "migrate, after the schema was changed": ("site.yml", 'ALTER TABLE "date_time" ADD', 0),
    "bake, while the host is cleaned": ("playbooks/bake.yml", "This host is about to be cleaned", 1.5),
    "bake, while the image is made": ("playbooks/deploy.yml", "Image is available", 0.5),
    "fleet, while Terraform is at work": ("playbooks/deploy.yml", "Settings are written for stage fleet", 4),
    "refresh": ("playbooks/deploy.yml", "The instance refresh has ended", 2),
}


@pytest.fixture(scope="module")
def changed(project: Project) -> None:
    """The migration instance is destroyed: a new one must know the schema's history all the same. So Terraform has
    something to do, and it is site.yml that is run."""
    ec2 = project.client("ec2")
    (found,) = ec2.describe_instances(Filters=[{"Name": "tag:Role", "Values": ["migration"]}])["Reservations"]
    ec2.terminate_instances(InstanceIds=[found["Instances"][0]["InstanceId"]])
    add_column(project)


def assert_served(visitor: GoesOn[Answer]) -> None:
    """But for a rare 503: beside other tests a write may take the database longer than the application waits for it,
    1.5 seconds. That nothing fails where the machine isn't busy is the story's."""
    assert visitor.failures == []
    failed = [answer for _, answer in visitor.answers if answer.status != 200]
    assert {answer.status for answer in failed} <= {503}, failed
    assert len(failed) <= 1 + len(visitor.answers) / 50, failed


@pytest.mark.parametrize("chapter", POINTS_OF_A_DEPLOY)
def test_interrupt_of_a_deploy(project: Project, changed: None, chapter: str) -> None:
    """The older version serves all along, also when the schema has changed."""
    with reader(project, "/date_time") as visitor:
        run = project.interrupted_playbook(*POINTS_OF_A_DEPLOY[chapter], db_snapshot_before_migration=True)
        assert run.returncode != 0
    assert_served(visitor)
    served = [answer.body for _, answer in visitor.answers if answer.status == 200]
    assert "note" not in json.loads(served[-1])


def test_deploy_after_all_these_finishes(project: Project) -> None:
    """An instance refresh goes on when nobody watches it. Rows from before are there."""
    before = json.loads(project.get("/latest_date_time").body)
    with reader(project, "/date_time") as visitor:
        succeeded(project.playbook("playbooks/deploy.yml", db_snapshot_before_migration=True))
    assert_served(visitor)
    after = json.loads(project.get("/date_time").body)
    assert after["note"] == "added"
    assert after["id"] > before["id"], "the table is the one from before"
    # Of the run that changed the schema; the later ones changed nothing.
    (snapshot,) = project.client("rds").describe_db_snapshots()["DBSnapshots"]
    assert snapshot["Status"] == "available"
    assert snapshot["DBSnapshotIdentifier"].startswith("web2py-local-before-")


def test_run_after_that_changes_nothing(project: Project) -> None:
    assert succeeded(project.playbook("site.yml")).changed == 0
