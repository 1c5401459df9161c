"""The whole story on the local cloud: from nothing to a served application, through its changes, to nothing again.

The tests build on each other, in this order; the first that fails ends the story.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from project_copy import Project, Run

ENDPOINTS = ("date_time_only", "date_time", "latest_date_time")
FLEET = [{"Name": "tag:Role", "Values": ["fleet"]}, {"Name": "instance-state-name", "Values": ["running"]}]
broken: list[str] = []


@pytest.fixture(autouse=True)
def _story(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip the rest of a story whose earlier part failed."""
    if broken:
        pytest.skip(f"{broken[0]} failed before")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        broken.append(request.node.name)


def wait_until(look: Callable[[], Any], timeout: float, what: str) -> Any:
    """Return what `look` returns once that is true; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.5)
    return found


def succeeded(run: Run) -> Run:
    assert run.returncode == 0, run.output[-6000:]
    return run


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, text=True, capture_output=True).stdout


def fleet(project: Project) -> list[str]:
    """Ids of the fleet's running instances."""
    reservations = project.client("ec2").describe_instances(Filters=FLEET)["Reservations"]
    return [instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]]


def healthy_targets(project: Project) -> set[str]:
    elbv2 = project.client("elbv2")
    group = elbv2.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
    descriptions = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {target["Target"]["Id"] for target in descriptions if target["TargetHealth"]["State"] == "healthy"}


def passwords(project: Project) -> list[str]:
    ssm = project.client("ssm")
    names = [parameter["Name"] for parameter in ssm.describe_parameters()["Parameters"]]
    parameters = ssm.get_parameters(Names=names, WithDecryption=True)["Parameters"]
    return [parameter["Value"] for parameter in parameters if parameter["Type"] == "SecureString"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


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
    label = f"label=localcloud.port={project.port}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
    assert docker("images", "--quiet", f"localcloud-{project.port}/ami") == ""
    assert f"localcloud-{project.port}" not in Path("/etc/hosts").read_text()
    assert not (project.root / ".localcloud").exists()
    assert not (project.root / ".deploy/local").exists()
    assert not list(project.root.glob("inventory/*/*.aws_ec2.yml"))


def test_second_teardown_has_nothing_to_do(project: Project) -> None:
    assert succeeded(project.playbook("teardown.yml")).changed == 0


class Visitor:
    """Somebody who reads through the load balancer five times a second, and remembers what failed."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.answered = 0
        self.failures: list[Any] = []

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._stop.wait(0.2):
            answer = self._project.get("/latest_date_time")
            if answer.status == 200:
                self.answered += 1
            else:
                self.failures.append(answer)
