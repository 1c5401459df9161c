"""A deployed stack: what there is of it, and what must be true of it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import requests
from project_copy import PROJECT_ROOT, Answer, Project, Run

from loadtest.measurements import read_answers

RATE = 200  # requests per second, over all endpoints
PATHS = ("/date_time_only", "/date_time", "/latest_date_time")
SHARE = 0.75  # a deploy and two other groups of tests
CONTROLLER = "controllers/default.py"  # of the application
GROUP = "web2py-local"  # the autoscaling group's name, and the launch template's

PAUSE = 0.2  # seconds between two requests of one who goes on asking
T = TypeVar("T")

FLEET = [{"Name": "tag:Role", "Values": ["fleet"]}, {"Name": "instance-state-name", "Values": ["running"]}]


def groups_of_tests() -> list[str]:
    """Process ids of what runs tests for the program that started this one, this one among them."""
    parent = os.getppid()
    found = []
    for process in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"pytest" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def wait_until_quiet() -> None:
    """Return when at most two other groups of tests (bootstrap/run_tests.py) go on beside this one."""
    while "TESTS_RUN_IN_GROUPS" in os.environ and len(groups_of_tests()) > 3:
        time.sleep(1)


def succeeded(run: Run) -> Run:
    assert run.returncode == 0, run.output[-6000:]
    return run


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, text=True, capture_output=True).stdout


def run_on(project: Project, instance: str, *command: str) -> str:
    """What a command prints on an instance."""
    return docker("exec", f"localcloud-{project.port}-{instance}", *command)


def fleet(project: Project) -> list[str]:
    """Ids of the fleet's running instances."""
    reservations = project.client("ec2").describe_instances(Filters=FLEET)["Reservations"]
    return [instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]]


def healthy_targets(project: Project) -> set[str]:
    elbv2 = project.client("elbv2")
    group = elbv2.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
    descriptions = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {target["Target"]["Id"] for target in descriptions if target["TargetHealth"]["State"] == "healthy"}


def builder_states(project: Project) -> set[str]:
    filters = [{"Name": "tag:Role", "Values": ["migration", "template"]}]
    found = project.client("ec2").describe_instances(Filters=filters)["Reservations"]
    states = {instance["State"]["Name"] for reservation in found for instance in reservation["Instances"]}
    return states - {"terminated", "shutting-down"}


def assert_refused(run: Run, *texts: str) -> None:
    """The run failed, with what failed, where to look and what to type; `texts` are in its message."""
    assert run.returncode != 0, run.output[-3000:]
    message = run.output[run.output.index("ERROR:") :]
    for text in ("Look at: ", "Type:    ", *texts):
        assert text in message, message[:4000]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def configure(project: Project, **settings: object) -> None:
    """The settings in group_vars/all.yml as they are in the project, but for these, as its reader would write them."""
    text = (PROJECT_ROOT / "group_vars/all.yml").read_text()
    for name, value in settings.items():
        line = f"{name}: {json.dumps(value)}"
        text, count = re.subn(rf"^{name}:.*$", lambda _, line=line: line, text, flags=re.MULTILINE)
        assert count == 1, f"group_vars/all.yml has {count} lines with {name}"
    (project.root / "group_vars/all.yml").write_text(text)


def application(project: Project) -> Path:
    return project.root / "files/web2py_app"


def add_column(project: Project) -> None:
    """What a developer does to add a column and to use it."""
    edit(
        application(project) / "models/db.py",
        'Field("date_time", "datetime", notnull=True)',
        'Field("date_time", "datetime", notnull=True), Field("note", default="added")',
    )
    edit(
        application(project) / "models/db.py",
        "fields = (db.date_time.id, db.date_time.date_time)",
        "fields = (db.date_time.id, db.date_time.date_time, db.date_time.note)",
    )
    controller = application(project) / CONTROLLER
    answer = "_answer(200, id=row_id, date_time=_iso(moment))"
    edit(controller, answer, answer.replace("))", '), note="added")'))
    edit(controller, "((row_id, moment),) = rows", "((row_id, moment, note),) = rows")
    edit(controller, answer, answer.replace("))", "), note=note)"))


def assert_nothing_is_left(project: Project) -> None:
    """What teardown.yml promises: nothing of the stack, of the local cloud and of the files that a run writes."""
    label = f"label=localcloud.port={project.port}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
    assert docker("images", "--quiet", f"localcloud-{project.port}/ami") == ""
    assert f"localcloud-{project.port}" not in Path("/etc/hosts").read_text()
    assert not project.home.exists()
    assert not (project.root / f".deploy/{project.name}").exists()
    assert not list(project.root.glob(f"inventory/{project.name}/*.aws_ec2.yml"))


class GoesOn(Generic[T]):
    """Somebody who does the same five times a second during the `with`, and remembers what came of it."""

    def __init__(self, does: Callable[[], T]) -> None:
        self._does = does
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        # Each with the moment (time.monotonic) at which it was begun.
        self.answers: list[tuple[float, T]] = []
        self.failures: list[str] = []

    def __enter__(self) -> GoesOn[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stop.wait(PAUSE):
            began = time.monotonic()
            try:
                self.answers.append((began, self._does()))
            except (AssertionError, requests.RequestException) as error:
                self.failures.append(f"{time.strftime('%X')}: {error}")


def reader(project: Project, path: str) -> GoesOn[Answer]:
    """Somebody who reads through the load balancer. Also what is no 200 is an answer."""
    return GoesOn(lambda: project.get(path))


def cpu_seconds() -> tuple[float, float]:
    """Seconds since the boot, over all cores: all, and those in which there was something to do."""
    user, nice, system, idle, iowait, *others = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    busy = user + nice + system + sum(others[:3])
    return busy + idle + iowait, busy


def open_loop(url: str, rate: int, seconds: int, output: Path) -> subprocess.Popen[bytes]:
    """A started process that sends so many requests per second, to each of `PATHS` in turn."""
    command = [sys.executable, "-m", "loadtest.open_loop", url, "--phase", f"{rate}:{seconds}", "--output", str(output)]
    paths = [argument for path in PATHS for argument in ("--path", path)]
    return subprocess.Popen([*command, *paths], cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL)


@functools.cache
def affordable_rate(url: str) -> int:
    """Requests per second: `RATE`, or less where that would leave less than `SHARE` of the machine for a deploy.

    Load, load balancer, fleet and database share them with it, and fail when that is too little, whatever is deployed.
    """
    with open_loop(url, RATE, 8, Path(os.devnull)):
        time.sleep(2)
        all_before, busy_before = cpu_seconds()
        time.sleep(5)
        all_after, busy_after = cpu_seconds()
    busy = (busy_after - busy_before) / (all_after - all_before)
    return round(RATE * min(1.0, (1 - SHARE) / busy))


class Load:
    """A constant rate of requests to all three endpoints through the load balancer, from a process of its own."""

    LIMIT = 900  # seconds

    def __init__(self, project: Project) -> None:
        self._url = project.url
        self.rate = affordable_rate(project.url)
        self._file = project.root / "load.csv"
        self._project = project
        self.sent = 0
        self.failures: Counter[tuple[str, str]] = Counter()
        self.story = ""  # of the failures: when, and what the local cloud and the fleet's logs say about that time

    def __enter__(self) -> Load:
        self._began = time.time()
        self._process = open_loop(self._url, self.rate, self.LIMIT, self._file)
        return self

    def __exit__(self, *_: object) -> None:
        still_running = self._process.poll() is None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        answers = read_answers(self._file)
        self.sent = len(answers)
        failed = [answer for answer in answers if answer.failed]
        self.failures = Counter((answer.path, answer.outcome) for answer in failed)
        if failed:
            first, last = failed[0].due, failed[-1].due
            slowest = max(answer.latency for answer in failed)
            self.story = (
                f"from {first:.1f} to {last:.1f} s after the start at "
                f"{time.strftime('%X', time.localtime(self._began))}, "
                f"the slowest after {slowest:.0f} ms; then:\n{self._evidence()}"
            )
        assert still_running, "the load ended before the test"

    def _evidence(self) -> str:
        """The last lines of the local cloud's log, and of what nginx and uWSGI of the fleet's instances say."""
        lines = [self._project.localcloud("logs").stdout[-4000:]]
        for instance in fleet(self._project):
            name = docker("ps", "--quiet", "--filter", f"name={instance}").strip()
            for command in ("tail -n 5 /var/log/nginx/error.log", "journalctl -u uwsgi-web2py -n 15 --no-pager"):
                # It may have ended meanwhile.
                asked = ["docker", "exec", name, *command.split()]
                said = subprocess.run(asked, check=False, text=True, capture_output=True)
                lines.append(f"{instance}: {command}\n{said.stdout or said.stderr}")
        return "\n".join(lines)
