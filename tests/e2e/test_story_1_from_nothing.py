"""The story on the local cloud, first part: from nothing to a served application that was changed and scaled.

What every deployment must do is in test_main_job.py. The tests build on each other, in this order; so do the files of
the story, which share a stack.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from change_it import RECIPES, follow
from project_copy import Project
from stack import GROUP, assert_refused, builder_states, edit, fleet, healthy_targets, succeeded
from waiting import wait_until

pytestmark = pytest.mark.story("story")


@pytest.fixture
def project(story: Project) -> Project:
    return story


def load(project: Project, scenario: Path) -> subprocess.CompletedProcess[str]:
    """What `make loadtest` does."""
    succeeded(project.playbook("playbooks/loadtest.yml", loadtest_scenarios=scenario))
    return subprocess.run(
        [project.root / ".venv/bin/python", "-m", "loadtest", "run"],
        cwd=project.root,
        env=project.environment,
        check=False,
        text=True,
        capture_output=True,
    )


def test_deploy_from_nothing(project: Project) -> None:
    printed = follow(project, *RECIPES["Another region, other addresses"])
    assert re.fullmatch(r"http://[a-z0-9.-]+\.eu-central-1\.elb\.localcloud\.internal", project.url)
    assert project.url in printed, "the summary names the URL"
    (vpc,) = project.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Project", "Values": ["web2py"]}])["Vpcs"]
    assert vpc["CidrBlock"] == project.cidr


def test_load_test_judges_what_is_deployed_and_acts_on_it(project: Project) -> None:
    scenario = project.root / "short.yml"
    scenario.write_text(
        "description: A database restarts, the only instance hangs\nrate: 20\nduration: 17s\ntimeout: 2s\n"
        "actions: [{at: 4s, do: reboot_database}, {at: 14s, do: hang_instance}]\n"
        "slo: {mean_ms: 60000, success_percent: 1}\n"
    )
    run = load(project, scenario)
    assert run.returncode in (0, 3), run.stderr  # 3: only a stricter goal is missed
    assert "met    mean latency" in run.stdout
    assert "answers/s, mean" in run.stderr, "what is going on is seen meanwhile"
    (directory,) = (project.root / ".deploy/local/loadtest").glob("*-short")
    result = json.loads((directory / "result.json").read_text())
    assert result["url"] == project.url
    assert {part["name"]: part["requests"] for part in result["parts"]} == {
        "/date_time_only": 114,
        "/date_time": 113,
        "/latest_date_time": 113,
    }
    (instance,) = fleet(project)
    done = [mark["text"] for mark in result["marks"] if mark["kind"] == "action"]
    assert done == ["database web2py-local restarts", f"instance {instance} hangs"]
    hung = [row for row in result["outages"] if row["failures"].get("timeout") and row["to"] > 14]
    assert hung, "requests that came in while it hung got no answer"
    assert all((row["in_service"], row["desired"]) == (1, 1) for row in result["samples"])
    assert result["cpu"], "the group's CPU was sampled"
    assert result["notes"], "how late requests left"
    assert not [note for note in result["notes"] if "could not be sampled" in note]
    assert (directory / "report.html").exists()
    wait_until(lambda: healthy_targets(project) == {instance}, what="the instance is healthy again")


def test_missed_slo_fails_the_load_test(project: Project) -> None:
    scenario = project.root / "strict.yml"
    scenario.write_text("description: Strict\nrate: 5\nduration: 2s\nslo: {max_ms: 0.001}\n")
    run = load(project, scenario)
    assert run.returncode == 1, run.stderr
    assert "MISSED longest answer" in run.stdout


def test_scale_to_two(project: Project) -> None:
    now, for_good, deploy = RECIPES["Scale"]
    follow(project, now)
    assert len(fleet(project)) == 2
    follow(project, for_good)
    # The load of these tests is not to make the group grow.
    edit(project.root / "group_vars/all.yml", "scale_out_cpu_threshold: 30", "scale_out_cpu_threshold: 99")
    # One that runs for nothing, as after a run that failed.
    ec2 = project.client("ec2")
    (found,) = ec2.describe_instances(Filters=[{"Name": "tag:Role", "Values": ["template"]}])["Reservations"]
    ec2.start_instances(InstanceIds=[found["Instances"][0]["InstanceId"]])
    follow(project, deploy)
    wait_until(lambda: builder_states(project) == {"stopped"}, what="the builder hosts are stopped")
    (alarm,) = project.client("cloudwatch").describe_alarms(AlarmNames=[f"{GROUP}-cpu-high"])["MetricAlarms"]
    assert alarm["Threshold"] == 99
    assert healthy_targets(project) == set(fleet(project))
    assert_refused(project.playbook("playbooks/scale.yml", desired_capacity=21), "2 to 20 instances")


def test_new_table_and_its_page_reach_the_database_and_the_fleet(project: Project) -> None:
    follow(project, *RECIPES["Add a table and a page"])
    wait_until(lambda: builder_states(project) == {"stopped"}, what="the builder hosts are stopped")
