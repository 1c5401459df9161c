"""Two environments side by side, the second made as docs/environments.md says."""

from __future__ import annotations

import dataclasses
import re
import subprocess

import pytest
from project_copy import PROJECT_ROOT, Project
from stack import CONTROLLER, application, assert_nothing_is_left, edit, fleet, succeeded

pytestmark = pytest.mark.story("environments")

RECIPE = PROJECT_ROOT / "docs/environments.md"


@pytest.fixture(scope="module")
def second(project: Project) -> Project:
    """What the document tells to type, and with ports and addresses that no other test has."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", RECIPE.read_text(), re.DOTALL | re.MULTILINE)
    # Those of the first recipe are AWS's.
    (commands,) = [text for language, text in blocks if language == "console" and "/second" in text]
    (settings,) = [text for language, text in blocks if language == "yaml" and "second" in text]
    subprocess.run(re.sub("^[$] ", "", commands, flags=re.MULTILINE), shell=True, check=True, cwd=project.root)
    (project.root / "inventory/second/group_vars/deployment.yml").write_text(settings)
    return dataclasses.replace(
        project, name="second", inventory="inventory/second", port=project.port + 1, cidr="10.96.0.0/16"
    )


def test_the_second_is_made_beside_the_first(project: Project, second: Project) -> None:
    succeeded(project.playbook("site.yml"))
    succeeded(second.playbook("site.yml"))
    assert project.url != second.url
    for one in (project, second):
        assert one.get("/date_time").status == 200
    # Of group_vars/all.yml one has the default, the other what it says itself.
    sizes = [
        one.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0] for one in (project, second)
    ]
    assert [(group["AutoScalingGroupName"], group["MaxSize"]) for group in sizes] == [
        ("web2py-local", 20),
        ("web2py-second", 3),
    ]


def test_a_change_of_one_is_none_of_the_other(project: Project, second: Project) -> None:
    before = fleet(second)
    edit(application(project) / CONTROLLER, "def health", "# changed\ndef health")
    succeeded(project.playbook("playbooks/deploy.yml"))
    assert fleet(second) == before


def test_one_is_taken_away_and_the_other_serves(project: Project, second: Project) -> None:
    succeeded(project.playbook("teardown.yml"))
    assert_nothing_is_left(project)
    assert second.get("/latest_date_time").status == 200
    succeeded(second.playbook("teardown.yml"))
    assert_nothing_is_left(second)
