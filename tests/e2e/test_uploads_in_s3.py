"""Uploads in a bucket: a fleet that reaches S3 and nothing else, with a role that may use one bucket."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

import pytest
import requests
from project_copy import PROJECT_ROOT, Project
from stack import assert_nothing_is_left, assert_refused, configure, fleet, healthy_targets, run_on, succeeded
from waiting import wait_until

SIZE = 2
SETTINGS: dict[str, object] = {
    "web2py_app_source": "{{ project_root }}/../shop",
    "web2py_app_uploads": "s3",
    "private_subnet_egress": "s3",
    "asg_min_size": SIZE,
    "nginx_access_log": True,
}
CONTENT = os.urandom(3 * 1024 * 1024 + 1)
# What the application's process could do with the role, beyond what it does.
OTHER_BUCKET = """
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client("s3", region_name="us-east-1", endpoint_url="http://s3.us-east-1.amazonaws.com")
for do in (s3.list_buckets, lambda: s3.list_objects_v2(Bucket="{state}"), lambda: s3.delete_bucket(Bucket="{uploads}")):
    try:
        print(do())
    except ClientError as error:
        print(error.response["Error"]["Code"])
"""
PYTHON = ("runuser", "--user=www-data", "--", "/opt/web2py-venv/bin/python", "-c")

pytestmark = pytest.mark.story


def buckets(project: Project) -> list[str]:
    return [bucket["Name"] for bucket in project.client("s3").list_buckets()["Buckets"]]


def bucket(project: Project) -> str:
    (found,) = [name for name in buckets(project) if name.startswith("web2py-local-uploads-")]
    return found


def objects(project: Project) -> Mapping[str, int]:
    found = project.client("s3").list_objects_v2(Bucket=bucket(project)).get("Contents", [])
    return {one["Key"]: one["Size"] for one in found}


def upload(project: Project) -> str:
    """The name of an upload of CONTENT, after its form was sent."""
    visitor = requests.Session()
    address = f"{project.url}/files/edit"
    page = visitor.get(address, timeout=30).text
    hidden = dict(re.findall(r'name="(_formkey|_formname)"[^>]* value="([^"]*)"', page))
    sent = visitor.post(address, data=hidden, files={"content": ("Übersicht.bin", CONTENT)}, timeout=60)
    assert sent.text.isdecimal(), sent.text
    (name,) = re.findall(r"/files/download/(document\.content\.[^\"]+)", visitor.get(f"{address}/{sent.text}").text)
    return str(name)


def download(project: Project, name: str) -> requests.Response:
    return requests.get(f"{project.url}/files/download/{name}", timeout=60)


@pytest.fixture(scope="module")
def uploaded(project: Project) -> dict[str, str]:
    """What the tests tell each other."""
    shutil.copytree(PROJECT_ROOT / "tests/webtier/probe_app", project.root.parent / "shop")
    return {}


def test_a_fleet_that_cannot_reach_s3_is_refused(project: Project, uploaded: dict[str, str]) -> None:
    configure(project, **{**SETTINGS, "private_subnet_egress": "none"})
    refused = project.playbook("site.yml")
    assert_refused(refused, "instances can't reach S3, as private_subnet_egress is none", "private_subnet_egress: s3")
    configure(project, **SETTINGS)


def test_upload_is_in_the_bucket_and_on_each_instance(project: Project, uploaded: dict[str, str]) -> None:
    succeeded(project.playbook("site.yml"))
    wait_until(lambda: len(healthy_targets(project)) == SIZE, 300, what="the fleet serves")
    uploaded["name"] = name = upload(project)
    assert objects(project) == {f"welcome/{requests.utils.unquote(name)}": len(CONTENT)}
    for _ in range(4 * SIZE):
        assert download(project, name).content == CONTENT

    def all_were_asked() -> bool:
        logs = [run_on(project, instance, "cat", "/var/log/nginx/access.log") for instance in fleet(project)]
        return all(f"/files/download/{name[:30]}" in log for log in logs)

    # nginx writes after a while.
    wait_until(all_were_asked, what="each instance has sent it")


def test_role_may_use_this_bucket_only(project: Project, uploaded: dict[str, str]) -> None:
    state = next(name for name in buckets(project) if "terraform" in name)
    program = OTHER_BUCKET.format(state=state, uploads=bucket(project))
    for instance in fleet(project):
        assert run_on(project, instance, *PYTHON, program).split() == ["AccessDenied"] * 3


def test_fleet_reaches_nothing_but_s3(project: Project, uploaded: dict[str, str]) -> None:
    (instance, *_) = fleet(project)
    # An address of the world, which answers nobody: the packet filter drops what goes there.
    command = ["curl", "--silent", "--show-error", "--max-time", "3", "http://192.0.2.1/"]
    done = subprocess.run(
        ["docker", "exec", f"localcloud-{project.port}-{instance}", *command],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 28, done.stderr


def test_second_run_changes_nothing(project: Project, uploaded: dict[str, str]) -> None:
    assert succeeded(project.playbook("site.yml")).changed == 0


def test_bucket_stays_when_the_setting_is_taken_back(project: Project, uploaded: dict[str, str]) -> None:
    before = objects(project)
    configure(project, **{**SETTINGS, "web2py_app_uploads": "database"})
    succeeded(project.playbook("site.yml"))
    assert objects(project) == before
    # The instances of the version before are drained when the play has ended.
    wait_until(lambda: len(fleet(project)) == SIZE, 300, what="the instances of the version before are gone")
    old = set(fleet(project))
    assert download(project, uploaded["name"]).status_code == 404
    uploaded["in the database"] = upload(project)
    assert objects(project) == before
    # Another machine, which has not seen the run before.
    shutil.rmtree(project.root / ".deploy")
    refused = project.playbook("playbooks/tickets.yml")
    assert_refused(refused, "let in who deployed last, and that was another machine", "site.yml")
    succeeded(project.playbook("site.yml"))
    assert set(fleet(project)) == old
    assert objects(project) == before


def test_uploads_of_the_database_follow(project: Project, uploaded: dict[str, str]) -> None:
    refused = project.playbook("playbooks/uploads.yml", from_database="yes")
    assert_refused(refused, "uploads in the database are where they belong", "web2py_app_uploads: s3")
    configure(project, **SETTINGS)
    succeeded(project.playbook("site.yml"))
    assert download(project, uploaded["name"]).content == CONTENT
    assert download(project, uploaded["in the database"]).status_code == 404
    assert (
        "1 uploads stored, 0 were there already"
        in succeeded(project.playbook("playbooks/uploads.yml", from_database="yes")).output
    )
    assert download(project, uploaded["in the database"]).content == CONTENT


def test_teardown_removes_the_bucket_with_what_is_in_it(project: Project, uploaded: dict[str, str]) -> None:
    gone = succeeded(project.playbook("teardown.yml"))
    assert "s3_bucket" in gone.output
    assert "WARNING" not in gone.output, "Terraform could remove all of it"
    assert_nothing_is_left(project)
