"""The role that runs Terraform, with real Terraform and moto's S3: what a run leaves behind that was killed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from programs import AWS, TERRAFORM
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
LOCK = "network/terraform.tfstate.tflock"

# Its plan takes as long as the file is there, and needs no provider of a registry.
STAGE = """
terraform {
  backend "s3" {}
}
variable "name" { type = string }
variable "region" { type = string }
variable "tags" { type = map(string) }
resource "terraform_data" "made" {
  input = var.name
  provisioner "local-exec" {
    command = "while [ -e ${path.module}/slow ]; do sleep 0.1; done"
  }
}
output "made" { value = terraform_data.made.output }
"""
PLAYBOOK = """
- name: A stage
  hosts: localhost
  environment: "{{ aws_environment }}"
  tasks:
    - name: It is made or removed
      ansible.builtin.include_role:
        name: terraform_stage
        tasks_from: "{{ tasks_from }}"

    - name: What is known of it
      ansible.builtin.debug:
        msg: "known: {{ terraform_stage_outputs | default({}) | to_json }}"
"""


class Stage:
    """A project whose first stage makes nothing that needs a cloud, deployed by the role."""

    def __init__(self, directory: Path, endpoint: str, bucket: str) -> None:
        self.bucket = bucket
        self.source = directory / "terraform/network"
        self.source.mkdir(parents=True)
        (self.source / "main.tf").write_text(STAGE)
        self.slow = self.source / "slow"
        self.data = directory / ".deploy/local/terraform/network"
        self.playbook = directory / "play.yml"
        self.playbook.write_text(PLAYBOOK)
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client.create_bucket(Bucket=bucket)
        environment = {**AWS, "AWS_ENDPOINT_URL": endpoint}
        self.variables = {
            "project_root": str(directory),
            "deploy_directory": str(directory / ".deploy/local"),
            "environment_name": "local",
            "cloud": "local",
            "name_prefix": "made",
            "aws_region": "us-east-1",
            "resource_tags": {},
            "state_bucket_name": bucket,
            "aws_environment": environment,
            "aws_connection": {"endpoint_url": endpoint, "access_key": "test", "secret_key": "test"},
            "terraform_stage_name": "network",
            "terraform_stage_direct": True,
        }

    def start(self, tasks_from: str, **variables: Any) -> subprocess.Popen[str]:
        """Start a run of the role, in a session of its own."""
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", os.devnull, str(self.playbook)]
        return subprocess.Popen(
            [*command, "-e", json.dumps(self.variables | {"tasks_from": tasks_from} | variables)],
            cwd=ROOT,
            env={**os.environ, **TERRAFORM, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, tasks_from: str, **variables: Any) -> tuple[int, str]:
        """Exit code and output of a run of the role."""
        process = self.start(tasks_from, **variables)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def lock(self) -> dict[str, Any]:
        """What Terraform has written in its lock; empty if nobody has it."""
        try:
            written: dict[str, Any] = json.loads(self.client.get_object(Bucket=self.bucket, Key=LOCK)["Body"].read())
        except self.client.exceptions.NoSuchKey:
            return {}
        return written

    def is_applied(self) -> bool:
        """Whether Terraform is at work; a plan has the lock, too."""
        return bool(self.lock().get("Operation") == "OperationTypeApply")

    def kill(self) -> None:
        """Kill all that works on the stage, at once and with no chance to tidy up: Ansible, its workers, Terraform."""
        marks = (f"TF_DATA_DIR={self.data}".encode(), str(self.playbook).encode())
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                words = (directory / "environ").read_bytes() + (directory / "cmdline").read_bytes()
                if not set(words.split(b"\0")).isdisjoint(marks):
                    os.kill(int(directory.name), signal.SIGKILL)

    def leave_lock(self) -> dict[str, Any]:
        """Kill a Terraform in the middle of an apply; return the lock that it leaves behind."""
        self.slow.touch()
        run = self.start("main")
        wait_until(lambda: self.is_applied() or run.poll() is not None, 180, what="nothing is applied")
        assert run.poll() is None, run.communicate()[0]
        self.kill()
        run.communicate(timeout=60)
        self.slow.unlink()
        return self.lock()


@pytest.fixture
def stage(tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[Stage]:
    caplog.set_level(logging.WARNING, "werkzeug")  # it says each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # moto remembers what an earlier test made.
    stage = Stage(
        tmp_path, f"http://{host}:{port}", request.node.name.replace("_", "-").replace("[", "-").rstrip("]").lower()
    )
    try:
        yield stage
    finally:
        stage.kill()
        server.stop()


def test_outputs_of_what_may_not_be_there(stage: Stage) -> None:
    code, output = stage.run("known", terraform_stage_names=["network"])
    assert code == 0, output
    assert "known: {}" in output
    assert stage.run("main")[0] == 0
    assert 'known: {"network": {"made": "made"}}' in stage.run("known", terraform_stage_names=["network"])[1]


RELEASED = "The lock of a Terraform that was killed on this machine is released"


@pytest.mark.parametrize("compare", [True, False])
def test_a_killed_terraforms_lock_is_released(stage: Stage, compare: bool) -> None:
    assert stage.leave_lock()
    code, output = stage.run("main", terraform_stage_compare=compare)
    assert code == 0, output
    assert RELEASED in output
    assert not stage.lock()


def test_another_machines_lock_is_left_alone(stage: Stage) -> None:
    """Nobody knows whether its Terraform still runs."""
    lock = {"ID": "12345678-1234-1234-1234-123456789abc", "Operation": "OperationTypeApply", "Who": "ann@elsewhere"}
    lock |= {"Version": "1.11.0", "Created": "2026-01-01T12:00:00Z", "Info": "", "Path": ""}
    stage.client.put_object(Bucket=stage.bucket, Key=LOCK, Body=json.dumps(lock).encode())
    code, output = stage.run("main")
    assert code != 0, output
    assert "the state of stage network is locked by ann@elsewhere, since 2026-01-01 12:00:00" in output
    assert f"force-unlock -force {lock['ID']}" in output
    assert stage.lock() == lock


def test_a_killed_terraforms_lock_does_not_stop_a_teardown(stage: Stage) -> None:
    assert stage.leave_lock()
    code, output = stage.run("destroy")
    assert code == 0, output
    assert RELEASED in output
    assert not stage.lock()
    state = json.loads(stage.client.get_object(Bucket=stage.bucket, Key="network/terraform.tfstate")["Body"].read())
    assert state["resources"] == []


def test_a_provider_that_outlived_its_terraform_is_not_waited_for(stage: Stage) -> None:
    """It would be, for an hour: it never ends, and does nothing more."""
    environment = {**os.environ, "TF_DATA_DIR": str(stage.data), "TF_PLUGIN_MAGIC_COOKIE": "0"}
    with subprocess.Popen(["sleep", "600"], env=environment) as provider:
        try:
            code, output = stage.run("main")
        finally:
            provider.kill()
    assert code == 0, output
    assert "No Terraform of an interrupted run" not in output


def test_a_change_that_does_not_make_what_takes_long_is_waited_for(stage: Stage) -> None:
    options = {"terraform_stage_background": True, "terraform_stage_background_for": "terraform_data.made"}
    stage.slow.touch()
    code, output = stage.run("main", **options)
    assert code == 0, output
    assert "known: {}" in output, "it is being made"
    stage.slow.unlink()
    # Which waits for the first run's Terraform.
    code, output = stage.run("main", **options, name_prefix="changed")
    assert code == 0, output
    assert 'known: {"network": {"made": "changed"}}' in output
    code, output = stage.run("main", **options, name_prefix="changed")
    assert code == 0, output
    assert 'known: {"network": {"made": "changed"}}' in output


def test_a_terraform_that_does_not_end_is_named(stage: Stage) -> None:
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "TF_DATA_DIR": str(stage.data)}) as busy:
        try:
            code, output = stage.run("main", __terraform_stage_patience=1)
        finally:
            busy.kill()
    assert code != 0, output
    assert f"still at work in .deploy/local/terraform/network: process {busy.pid}" in " ".join(output.split())
    assert f"ps -f {busy.pid}" in output


class FormerStage:
    """The stage, made by a version of the project that called it vpc."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        code, output = stage.run("main")
        assert code == 0, output
        self.state = self.read("network")
        stage.client.copy_object(
            Bucket=stage.bucket, Key="vpc/terraform.tfstate", CopySource=f"{stage.bucket}/network/terraform.tfstate"
        )
        self.remove("network")
        self.data = stage.data.rename(stage.data.with_name("vpc"))

    def read(self, name: str) -> dict[str, Any]:
        state = self.stage.client.get_object(Bucket=self.stage.bucket, Key=f"{name}/terraform.tfstate")["Body"].read()
        return dict(json.loads(state))

    def write(self, name: str, **changes: Any) -> None:
        state = json.dumps(self.state | changes).encode()
        self.stage.client.put_object(Bucket=self.stage.bucket, Key=f"{name}/terraform.tfstate", Body=state)

    def remove(self, name: str) -> None:
        self.stage.client.delete_object(Bucket=self.stage.bucket, Key=f"{name}/terraform.tfstate")

    def lock(self, who: str, name: str = "vpc") -> None:
        lock = {"ID": "12345678-1234-1234-1234-123456789abc", "Who": who, "Created": "2026-01-01T12:00:00Z"}
        self.stage.client.put_object(
            Bucket=self.stage.bucket, Key=f"{name}/terraform.tfstate.tflock", Body=json.dumps(lock).encode()
        )

    def keys(self) -> list[str]:
        objects = self.stage.client.list_objects_v2(Bucket=self.stage.bucket)
        return [row["Key"] for row in objects["Contents"]]


@pytest.fixture
def former(stage: Stage) -> FormerStage:
    return FormerStage(stage)


@pytest.mark.parametrize("has_read", [False, True])
def test_state_follows_a_stage_that_has_another_name(former: FormerStage, has_read: bool) -> None:
    """Also on a machine that has asked for the outputs first, which connects it to the state's new place."""
    if has_read:
        (former.stage.source / ".terraform.lock.hcl").touch()
        (former.stage.data / "providers").mkdir(parents=True)  # this stage has no provider, which would have one
        code, output = former.stage.run("outputs", terraform_stage_names=["network"])
        assert code != 0
        assert "stage network has not been made yet" in output
    code, output = former.stage.run("former_names")
    assert code == 0, output
    assert "Stages that have other names now, with their states: vpc is network" in output
    assert former.keys() == ["network/terraform.tfstate"]
    assert not former.data.exists()
    for tasks in ("main", "former_names"):
        code, output = former.stage.run(tasks)
        assert code == 0, output
        assert "Stages that have other names now" not in output
    assert former.read("network") == former.state


def test_a_renaming_that_was_interrupted_is_finished(former: FormerStage) -> None:
    former.write("network")
    code, output = former.stage.run("former_names")
    assert code == 0, output
    assert former.keys() == ["network/terraform.tfstate"]
    assert former.read("network") == former.state


def test_a_killed_terraforms_lock_follows_its_stage(former: FormerStage) -> None:
    me = subprocess.run("echo $(id -un)@$(uname -n)", shell=True, check=True, text=True, stdout=subprocess.PIPE)
    former.lock(me.stdout.strip())
    code, output = former.stage.run("former_names")
    assert code == 0, output
    assert former.keys() == ["network/terraform.tfstate", LOCK]
    code, output = former.stage.run("main")
    assert code == 0, output
    assert RELEASED in output


def test_a_state_that_another_machine_changes_is_not_renamed(former: FormerStage) -> None:
    former.lock("ann@elsewhere", "elb")
    code, output = former.stage.run("former_names")
    assert code != 0, output
    assert "stage elb, as an earlier version of this project called it, is locked by ann@elsewhere" in output
    assert f"aws s3 rm s3://{former.stage.bucket}/elb/terraform.tfstate.tflock" in output
    assert former.keys() == ["elb/terraform.tfstate.tflock", "vpc/terraform.tfstate"], "no other stage is, either"


def test_of_two_different_states_none_is_lost(former: FormerStage) -> None:
    former.write("network", lineage="another", serial=99)
    code, output = former.stage.run("former_names")
    assert code != 0, output
    assert "vpc/terraform.tfstate and network/terraform.tfstate" in output
    assert (former.read("vpc"), former.read("network")["lineage"]) == (former.state, "another")


STEPS = """
- name: Stages
  hosts: localhost
  environment: "{{ aws_environment }}"
  tasks:
    - name: All are compared
      ansible.builtin.include_role:
        name: terraform_stage
        tasks_from: ahead
      vars:
        terraform_stage_names: [network, database]

    - name: Each is made
      ansible.builtin.include_role:
        name: terraform_stage
      vars:
        terraform_stage_name: "{{ made }}"
        terraform_stage_variables: "{{ {'name': names[made]} }}"
      loop: [network, database]
      loop_control:
        loop_var: made

    - name: What they put out
      ansible.builtin.debug:
        msg: >-
          network made {{ terraform_stage_outputs.network.made }},
          database made {{ terraform_stage_outputs.database.made }}
"""


class TwoStages:
    """Stages that have been made. `run` makes them again, and returns those that were compared by themselves."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.names = {"network": "a", "database": "b"}
        stage.playbook.write_text(STEPS)
        del stage.variables["terraform_stage_name"]
        for name in self.names:
            source = stage.source.parent / name
            source.mkdir(exist_ok=True)
            (source / "main.tf").write_text(STAGE)
            # It has no provider, which would have one.
            (source / ".terraform.lock.hcl").touch()
            (stage.data.parent / name / "providers").mkdir(parents=True)
        assert self.run() == ["network", "database"]

    def run(self, **names: str) -> list[str]:
        self.names |= names
        plans = {name: self.stage.data.parent / name / "plan" for name in self.names}
        for plan in plans.values():
            plan.unlink(missing_ok=True)
        code, output = self.stage.run("", names=self.names)
        assert code == 0, output
        assert "network made {network}, database made {database}".format(**self.names) in output
        return [name for name, plan in plans.items() if plan.exists()]


@pytest.fixture
def stages(stage: Stage) -> TwoStages:
    return TwoStages(stage)


def test_stages_as_they_were_are_compared_once(stages: TwoStages) -> None:
    assert stages.run() == []
    assert stages.run(database="c") == ["database"]
    assert stages.run() == []


def test_a_stage_after_one_that_changes_is_compared_again(stages: TwoStages) -> None:
    assert stages.run(network="c") == ["network", "database"]


def test_what_is_gone_is_made_again(stages: TwoStages) -> None:
    stages.stage.client.delete_object(Bucket=stages.stage.bucket, Key="database/terraform.tfstate")
    assert stages.run() == ["database"]
    stages.stage.client.delete_object(Bucket=stages.stage.bucket, Key="network/terraform.tfstate")
    assert stages.run() == ["network", "database"]
