"""The main job on the local cloud: from nothing to a served application, a change under load, and to nothing again.

`make test` runs this file. Its tests build on each other, in this order.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from project_copy import Project
from stack import (
    PATHS,
    Load,
    add_column,
    assert_nothing_is_left,
    builder_states,
    docker,
    fleet,
    healthy_targets,
    succeeded,
    wait_until_quiet,
)
from waiting import wait_until

pytestmark = [pytest.mark.essential, pytest.mark.story("main job")]


def passwords(project: Project) -> list[str]:
    ssm = project.client("ssm")
    names = [parameter["Name"] for parameter in ssm.describe_parameters()["Parameters"]]
    parameters = ssm.get_parameters(Names=names, WithDecryption=True)["Parameters"]
    return [parameter["Value"] for parameter in parameters if parameter["Type"] == "SecureString"]


def test_deploy_from_nothing(project: Project) -> None:
    run = succeeded(project.playbook("site.yml"))
    assert project.url in run.output, "the summary names the URL"
    (vpc,) = project.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Project", "Values": ["web2py"]}])["Vpcs"]
    assert vpc["CidrBlock"] == project.cidr


@pytest.mark.parametrize("prefix", ["", "/welcome/default"])
@pytest.mark.parametrize("path", PATHS)
def test_endpoint_answers_through_the_load_balancer(project: Project, prefix: str, path: str) -> None:
    answer = project.get(prefix + path)
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


def test_second_run_changes_nothing(project: Project) -> None:
    wait_until(lambda: builder_states(project) == {"stopped"}, what="the builder hosts are stopped")
    before = fleet(project)
    # Nor does it need anything of the internet: what it fetched before is there.
    offline = dataclasses.replace(project, credentials={**project.credentials, "https_proxy": "http://127.0.0.1:9"})
    assert succeeded(offline.playbook("site.yml")).changed == 0
    assert fleet(project) == before
    assert builder_states(project) == {"stopped"}


def test_dead_instance_is_replaced(project: Project) -> None:
    victim = fleet(project)[0]
    docker("rm", "--force", f"localcloud-{project.port}-{victim}")
    wait_until(lambda: (found := fleet(project)) and victim not in found, what=f"{victim} is replaced")
    wait_until(lambda: healthy_targets(project) == set(fleet(project)), what="the new instance is healthy")
    assert project.get("/latest_date_time").status == 200


def test_changed_column_reaches_the_fleet_under_load(project: Project, note_figure: Callable[[str], None]) -> None:
    wait_until_quiet()
    before, old = json.loads(project.get("/date_time").body), fleet(project)
    add_column(project)
    with Load(project) as load:
        succeeded(project.playbook("playbooks/deploy.yml"))
    note_figure(f"changed column: {load.sent} requests, {load.failures.total()} failed, {load.rate} requests/s")
    assert load.failures == {}, load.story
    after = json.loads(project.get("/date_time").body)
    assert after["note"] == "added"
    assert after["id"] > before["id"], "the table is the one from before"
    assert json.loads(project.get("/latest_date_time").body) == after
    wait_until(lambda: set(old).isdisjoint(fleet(project)), what="the old instances are gone")


def test_passwords_are_nowhere_but_in_the_secret_store(project: Project) -> None:
    secrets = passwords(project)
    assert len(secrets) == 2
    assert all(len(secret) >= 20 for secret in secrets)
    s3 = project.client("s3")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len([key for key in keys if key.endswith("terraform.tfstate")]) == 4
    texts = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys}
    texts["output of the runs"] = (project.root / "runs.log").read_text()
    texts["log of the local cloud"] = (project.root / ".localcloud/log").read_text()
    for path in (project.root / ".deploy").rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_text(errors="replace")
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_teardown_leaves_nothing(project: Project) -> None:
    succeeded(project.playbook("teardown.yml"))
    assert_nothing_is_left(project)
