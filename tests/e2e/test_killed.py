"""kill -9 of everything at once, as when a laptop's battery is empty: the next run goes on, a teardown leaves nothing.

The tests build on each other, in this order. tests/e2e/kill_at_random.py does the same at moments that nobody chose.
"""

from __future__ import annotations

import json

import pytest
from project_copy import Project
from stack import PATHS, add_column, assert_nothing_is_left, assert_refused, succeeded

pytestmark = pytest.mark.story("killed")

# Where a run is killed: a text that is in a line of its output then, and seconds after it. Each goes on from there.
POINTS = {
    "network, while it is made": ("Plan: 20 to add", 6),
    "database, while it is made": ("Making stage hosts usually takes", 1),
    "hosts, while they are configured": ("The framework's directory exists", 1),
    "migrate, while the schema is made": ("CREATE TABLE", 1),
    "bake, while the image is made": ("Image is available", 0.5),
    "fleet, while it is made": ("PLAY [Fleet]", 8),
}
POINTS_OF_A_DEPLOY = {
    "deploy, while the launch template is changed": ("Settings are written for stage fleet", 2),
    "deploy, in the refresh": ("The instance refresh has ended", 2),
}
POINTS_OF_A_TEARDOWN = {
    "teardown, fleet": ("Resources are removed", 2),
    "teardown, network": ("The database is gone", 4),
}


def assert_serves(project: Project) -> None:
    for path in PATHS:
        answer = project.get(path)
        assert answer.status == 200, (path, answer)


@pytest.mark.parametrize("point", POINTS)
def test_kill(project: Project, point: str) -> None:
    project.killed_playbook("site.yml", *POINTS[point])


def test_run_after_all_these_serves(project: Project) -> None:
    succeeded(project.playbook("site.yml"))
    assert_serves(project)
    assert succeeded(project.playbook("site.yml")).changed == 0


@pytest.mark.parametrize("point", POINTS_OF_A_DEPLOY)
def test_kill_of_a_deploy(project: Project, point: str) -> None:
    if point == next(iter(POINTS_OF_A_DEPLOY)):
        add_column(project)
    project.killed_playbook("playbooks/deploy.yml", *POINTS_OF_A_DEPLOY[point])
    assert_refused(project.playbook("playbooks/deploy.yml"), "the local cloud does not answer", "local_cloud.yml")
    succeeded(project.playbook("playbooks/local_cloud.yml"))


def test_deploy_after_all_these_serves(project: Project) -> None:
    succeeded(project.playbook("playbooks/deploy.yml"))
    assert_serves(project)
    assert json.loads(project.get("/date_time").body)["note"] == "added"


@pytest.mark.parametrize("point", POINTS_OF_A_TEARDOWN)
def test_kill_of_a_teardown(project: Project, point: str) -> None:
    """The local cloud lives on: without it, there would be nothing to do for Terraform any more."""
    project.killed_playbook("teardown.yml", *POINTS_OF_A_TEARDOWN[point], cloud=False)


def test_teardown_after_all_these_leaves_nothing(project: Project) -> None:
    assert "WARNING" not in succeeded(project.playbook("teardown.yml")).output
    assert_nothing_is_left(project)


def test_teardown_of_what_nobody_wrote_down_leaves_nothing(project: Project) -> None:
    project.killed_playbook("site.yml", *POINTS["database, while it is made"], cloud=False)
    output = succeeded(project.playbook("teardown.yml")).output
    assert "aws_db_instance web2py-local, which a killed run made and did not write down" in output
    assert "WARNING" not in output
    assert_nothing_is_left(project)
