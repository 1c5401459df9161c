"""A deployed stack: what there is of it, and what must be true of it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from project_copy import Project, Run

FLEET = [{"Name": "tag:Role", "Values": ["fleet"]}, {"Name": "instance-state-name", "Values": ["running"]}]


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


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def assert_nothing_is_left(project: Project) -> None:
    """What teardown.yml promises: nothing of the stack, of the local cloud and of the files that a run writes."""
    label = f"label=localcloud.port={project.port}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
    assert docker("images", "--quiet", f"localcloud-{project.port}/ami") == ""
    assert f"localcloud-{project.port}" not in Path("/etc/hosts").read_text()
    assert not (project.root / ".localcloud").exists()
    assert not (project.root / ".deploy/local").exists()
    assert not list(project.root.glob("inventory/*/*.aws_ec2.yml"))


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
