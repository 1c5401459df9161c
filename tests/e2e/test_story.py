"""The whole story on the local cloud: from nothing to a served application, through its changes, to nothing again.

The tests build on each other, in this order.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from project_copy import Project
from stack import Visitor, assert_nothing_is_left, docker, edit, fleet, healthy_targets, succeeded, wait_until

pytestmark = pytest.mark.story
ENDPOINTS = ("date_time_only", "date_time", "latest_date_time")


def passwords(project: Project) -> list[str]:
    ssm = project.client("ssm")
    names = [parameter["Name"] for parameter in ssm.describe_parameters()["Parameters"]]
    parameters = ssm.get_parameters(Names=names, WithDecryption=True)["Parameters"]
    return [parameter["Value"] for parameter in parameters if parameter["Type"] == "SecureString"]


def add_column(application: Path) -> None:
    """What a developer does to add a column and to use it."""
    edit(
        application / "models/db.py",
        'Field("date_time", "datetime", notnull=True)',
        'Field("date_time", "datetime", notnull=True), Field("note", default="added")',
    )
    controller = application / "controllers/default.py"
    edit(
        controller,
        "_answer(200, id=int(row_id), date_time=_iso(request.utcnow))",
        '_answer(200, id=int(row_id), date_time=_iso(request.utcnow), note="added")',
    )
    edit(
        controller,
        "_answer(200, id=row.id, date_time=_iso(row.date_time))",
        "_answer(200, id=row.id, date_time=_iso(row.date_time), note=row.note)",
    )


def test_deploy_from_nothing(project: Project) -> None:
    run = succeeded(project.playbook("site.yml"))
    assert re.fullmatch(r"http://[a-z0-9.-]+\.elb\.localcloud\.internal", project.url)
    assert project.url in run.output, "the summary names the URL"


@pytest.mark.parametrize("prefix", ["/", "/welcome/default/"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_endpoint_answers_through_the_load_balancer(project: Project, prefix: str, endpoint: str) -> None:
    answer = project.get(prefix + endpoint)
    assert answer.status == 200, answer
    assert json.loads(answer.body), "a JSON object with something in it"


def test_written_row_is_the_latest(project: Project) -> None:
    written = json.loads(project.get("/date_time").body)
    assert json.loads(project.get("/latest_date_time").body) == written


def test_page_and_health_and_nothing_of_web2pys_own(project: Project) -> None:
    assert project.get("/health").status == 200
    page = project.get("/")
    assert page.status == 200
    assert "files/web2py_app" in page.body
    for path in ("/admin/default/index", "/examples/default/index", "/welcome/appadmin/index"):
        assert project.get(path).status in (400, 403, 404), path


def test_passwords_are_nowhere_but_in_the_secret_store(project: Project) -> None:
    secrets = passwords(project)
    assert len(secrets) == 2
    assert all(len(secret) >= 20 for secret in secrets)
    s3 = project.client("s3")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len([key for key in keys if key.endswith("terraform.tfstate")]) == 4
    texts = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys}
    texts["output of the run"] = (project.root / "runs.log").read_text()
    texts["log of the local cloud"] = (project.root / ".localcloud/log").read_text()
    for path in (project.root / ".deploy").rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_text(errors="replace")
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_second_run_changes_nothing(project: Project) -> None:
    assert succeeded(project.playbook("site.yml")).changed == 0


def test_load_test_judges_what_is_deployed_and_acts_on_it(project: Project) -> None:
    scenario = project.root / "short.yml"
    scenario.write_text(
        "description: A database restarts, the only instance hangs\nrate: 20\nduration: 17s\ntimeout: 2s\n"
        "actions: [{at: 4s, do: reboot_database}, {at: 14s, do: hang_instance}]\n"
        "slo: {mean_ms: 60000, success_percent: 1}\n"
    )
    run = succeeded(project.playbook("playbooks/loadtest.yml", loadtest_scenarios=scenario))
    assert "met    mean latency" in run.output
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
    wait_until(lambda: healthy_targets(project) == {instance}, 60, "the instance is healthy again")


def test_missed_slo_fails_the_load_test(project: Project) -> None:
    scenario = project.root / "strict.yml"
    scenario.write_text("description: Strict\nrate: 5\nduration: 2s\nslo: {max_ms: 0.001}\n")
    run = project.playbook("playbooks/loadtest.yml", loadtest_scenarios=scenario)
    assert run.returncode != 0
    assert "the SLO is missed" in run.output
    assert "MISSED longest answer" in run.output


def test_dead_instance_is_replaced(project: Project) -> None:
    victim = fleet(project)[0]
    docker("rm", "--force", f"localcloud-{project.port}-{victim}")
    wait_until(lambda: (found := fleet(project)) and victim not in found, 60, f"{victim} is replaced")
    wait_until(lambda: healthy_targets(project) == set(fleet(project)), 60, "the new instance is healthy")
    assert project.get("/latest_date_time").status == 200


def test_added_column_reaches_the_database_and_the_fleet_without_a_failed_request(project: Project) -> None:
    """The migration instance is destroyed before: a new one must know the schema's history all the same."""
    rows_before = json.loads(project.get("/latest_date_time").body)
    ec2 = project.client("ec2")
    builders = ec2.describe_instances(Filters=[{"Name": "tag:Role", "Values": ["migration"]}])["Reservations"]
    builder_ids = [instance["InstanceId"] for reservation in builders for instance in reservation["Instances"]]
    ec2.terminate_instances(InstanceIds=builder_ids)
    add_column(project.root / "files/web2py_app")

    with Visitor(project) as visitor:
        succeeded(project.playbook("site.yml"))
    assert visitor.failures == []
    assert visitor.answered > 20
    assert json.loads(project.get("/latest_date_time").body).keys() >= rows_before.keys()
    written = json.loads(project.get("/date_time").body)
    assert written["note"] == "added"
    assert json.loads(project.get("/latest_date_time").body)["note"] == "added"


def test_run_after_the_migration_changes_nothing(project: Project) -> None:
    assert succeeded(project.playbook("site.yml")).changed == 0


def test_teardown_leaves_nothing(project: Project) -> None:
    succeeded(project.playbook("teardown.yml"))
    assert_nothing_is_left(project)


def test_second_teardown_has_nothing_to_do(project: Project) -> None:
    assert succeeded(project.playbook("teardown.yml")).changed == 0
