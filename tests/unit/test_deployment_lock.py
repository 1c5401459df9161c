"""The deployment's lock: real processes, and real runs of ansible-playbook, against moto's S3."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from programs import AWS, as_module
from waiting import wait_until
from werkzeug.serving import make_server

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles/deployment_lock/files/deployment_lock.py"
LOCK = "deployment.lock"


class Bucket:
    """A bucket of moto's, versioned like that of Terraform's state, and the program that locks it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name = name
        self.settings = {**AWS, "AWS_ENDPOINT_URL": endpoint}
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client.create_bucket(Bucket=name)
        self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def lock(self) -> dict[str, Any]:
        """What is written in the lock; empty if nobody has it."""
        try:
            body = self.client.get_object(Bucket=self.name, Key=LOCK)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return {}
        written: dict[str, Any] = json.loads(body)
        return written

    def rewrite(self, **changed: Any) -> None:
        """Change what is written in the lock."""
        self.client.put_object(Bucket=self.name, Key=LOCK, Body=json.dumps(self.lock() | changed).encode())

    def remove(self) -> None:
        """Remove the bucket with all that is in it."""
        for version in self.client.list_object_versions(Bucket=self.name)["Versions"]:
            self.client.delete_object(Bucket=self.name, Key=version["Key"], VersionId=version["VersionId"])
        self.client.delete_bucket(Bucket=self.name)

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Start the program."""
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), command, "--bucket", self.name, "--object", LOCK, *arguments],
            env={**os.environ, **self.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def acquire(self, pid: int, what: str = "site.yml") -> tuple[int, dict[str, Any]]:
        """Exit code and answer."""
        return ended(self.start("acquire", "--pid", str(pid), "--what", what))

    def break_lock(self, lock_id: str) -> tuple[int, dict[str, Any]]:
        """Exit code and answer."""
        return ended(self.start("break", "--id", lock_id))


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and answer; that pipes are closed by then is part of what is tested."""
    output, error = process.communicate(timeout=60)
    assert "Traceback" not in error, error
    return process.returncode, json.loads(output) if output else {"error": error}


def keepers(lock_id: str) -> list[int]:
    """Processes that keep this lock."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            words = (directory / "cmdline").read_bytes().split(b"\0")
            if b"keep" in words and lock_id.encode() in words:
                found.append(int(directory.name))
    return found


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """moto's S3. One request at a time, as in the local cloud: moto itself has a gap between looking and writing."""
    moto = DomainDispatcherApplication(create_backend_app)
    turn = threading.Lock()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with turn:
            return list(moto(environ, start_response))

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(endpoint, request.node.name.replace("_", "-").replace("[", "-").rstrip("]"))


@pytest.fixture
def program(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program as a module that speaks to this bucket's endpoint."""
    for name, value in bucket.settings.items():
        monkeypatch.setenv(name, value)
    return as_module(PROGRAM, monkeypatch)


@pytest.fixture
def start_run() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start what stands for a run of ansible-playbook: it ends when its input does."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


StartRun = Callable[[], "subprocess.Popen[bytes]"]


def test_a_run_holds_the_lock_until_it_has_ended(bucket: Bucket, start_run: StartRun) -> None:
    first, second = start_run(), start_run()
    code, answer = bucket.acquire(first.pid, "site.yml")
    assert (code, answer["held"], answer["id"]) == (0, True, bucket.lock()["id"])

    code, again = bucket.acquire(first.pid, "site.yml")
    assert (code, again["held"], again["id"]) == (0, True, answer["id"])
    assert len(keepers(answer["id"])) == 1

    code, refused = bucket.acquire(second.pid, "teardown.yml")
    assert (code, refused["held"]) == (3, False)
    assert refused["holder"] == bucket.lock()
    assert (refused["holder"]["pid"], refused["holder"]["what"]) == (first.pid, "site.yml")
    assert refused["holder"]["who"].endswith("@" + refused["holder"]["host"])

    # By itself; and nobody asks for its exit status: what is left as a zombie has ended, too.
    assert first.stdin is not None
    first.stdin.close()
    wait_until(lambda: not bucket.lock(), 180, what="the lock is still there")
    wait_until(lambda: not keepers(answer["id"]), 180, what="the keeper is still there")


def test_the_keeper_outlives_what_ends_a_session(bucket: Bucket, start_run: StartRun) -> None:
    run = start_run()
    _, answer = bucket.acquire(run.pid)
    (keeper,) = keepers(answer["id"])
    assert os.getsid(keeper) == keeper
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

    def ignores_them() -> bool:
        status = Path(f"/proc/{keeper}/status").read_text()
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        return all(ignored >> (number - 1) & 1 for number in signals)

    wait_until(ignores_them, 180, what="the keeper does not get ready")
    for number in signals:
        os.kill(keeper, number)
    run.kill()
    wait_until(lambda: not bucket.lock(), 180, what="the lock is still there")


@pytest.mark.parametrize(
    "what_is_left",
    [
        {"pid": 4194304},  # above what Linux gives out
        {"started": "1"},  # the process id is another process' by now
        {"boot": "another"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_lock_of_a_process_that_has_ended_is_taken_over(
    bucket: Bucket, program: Any, start_run: StartRun, what_is_left: dict[str, Any]
) -> None:
    place = program.LockObject(bucket.name, LOCK)
    left = replace(program.of_process(start_run().pid), **what_is_left)
    assert place.write(left)
    mine = program.of_process(start_run().pid)
    assert program.acquire(place, mine) == program.Answer(mine, new=True, left_by=left)
    assert bucket.lock()["id"] == mine.id


@pytest.mark.parametrize("elsewhere", ["machine", "pid_namespace"])
def test_of_a_process_elsewhere_nothing_is_known(
    bucket: Bucket, program: Any, start_run: StartRun, elsewhere: str
) -> None:
    place = program.LockObject(bucket.name, LOCK)
    theirs = replace(program.of_process(start_run().pid), pid=4194304, **{elsewhere: "another"})
    assert place.write(theirs)
    assert program.acquire(place, program.of_process(start_run().pid)) == program.Answer(theirs)


def test_a_lock_is_broken_by_its_id(bucket: Bucket, start_run: StartRun) -> None:
    run = start_run()
    _, answer = bucket.acquire(run.pid)
    bucket.rewrite(id="theirs", machine="another")

    # The keeper leaves alone what is not its run's any more.
    run.kill()
    wait_until(lambda: not keepers(answer["id"]), 180, what="the keeper is still there")
    assert bucket.lock()["id"] == "theirs"

    code, answer = bucket.break_lock(answer["id"])
    assert (code, answer["broken"], answer["holder"]["id"]) == (3, False, "theirs")
    assert bucket.lock()["id"] == "theirs"
    assert bucket.break_lock("theirs")[0] == 0
    assert bucket.lock() == {}


def test_what_is_no_lock_is_somebodys(bucket: Bucket, program: Any) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=LOCK, Body=b"[]")
    place = program.LockObject(bucket.name, LOCK)
    found = program.acquire(place, program.of_process(os.getpid())).lock
    assert found.who == "somebody"
    assert program.remove(place, found.id) is None
    assert program.acquire(place, program.of_process(os.getpid())).new


def test_the_keeper_ends_without_a_bucket(bucket: Bucket, start_run: StartRun) -> None:
    run = start_run()
    _, answer = bucket.acquire(run.pid)
    bucket.remove()
    assert keepers(answer["id"])
    run.kill()
    wait_until(lambda: not keepers(answer["id"]), 180, what="the keeper is still there")


def test_the_keeper_ends_without_an_api(start_run: StartRun) -> None:
    run = start_run()
    settings = {**os.environ, **AWS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    place = ["--bucket", "bucket", "--object", LOCK, "--id", "id", "--pid", str(run.pid), "--started", ""]
    keeper = subprocess.Popen([sys.executable, str(PROGRAM), "keep", *place], env=settings)
    run.kill()
    run.wait()
    assert keeper.wait(timeout=60) == 0


def test_what_the_api_refuses_is_said(bucket: Bucket, start_run: StartRun) -> None:
    run = start_run()
    bucket.client.delete_bucket(Bucket=bucket.name)
    code, answer = bucket.acquire(run.pid)
    assert (code, "bucket does not exist" in answer["error"]) == (4, True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del bucket.settings[name]
    code, answer = bucket.acquire(run.pid)
    assert (code, "credentials" in answer["error"]) == (1, True)


# -- at the same time --------------------------------------------------------------------------------------------------


def test_of_two_processes_one_wins(bucket: Bucket, start_run: StartRun) -> None:
    runs = [start_run(), start_run()]
    asked = [bucket.start("acquire", "--pid", str(run.pid), "--what", "site.yml") for run in runs]
    codes = [ended(process)[0] for process in asked]
    assert sorted(codes) == [0, 3]
    assert bucket.lock()["pid"] == runs[codes.index(0)].pid


@pytest.mark.parametrize("left_behind", [False, True])
def test_of_many_one_wins(bucket: Bucket, program: Any, start_run: StartRun, left_behind: bool) -> None:
    """All ask at the same moment for a lock that nobody has, or that a process left behind."""
    runs = [start_run() for _ in range(4)]
    place = program.LockObject(bucket.name, LOCK)
    for _ in range(5):
        if left_behind:
            place.write(replace(program.of_process(runs[0].pid), started="1"))
        barrier = threading.Barrier(len(runs))

        def ask(number: int, barrier: threading.Barrier = barrier) -> bool:
            mine = program.of_process(runs[number].pid)
            barrier.wait()
            return bool(program.acquire(place, mine).lock == mine)

        with ThreadPoolExecutor(len(runs)) as pool:
            held = list(pool.map(ask, range(len(runs))))
        assert held.count(True) == 1
        assert bucket.lock()["pid"] == runs[held.index(True)].pid
        assert program.remove(place, bucket.lock()["id"]) is None


def test_an_answer_that_was_lost(bucket: Bucket, program: Any) -> None:
    """The lock was written, and botocore asks once more: the lock that is in the way is our own."""
    place = program.LockObject(bucket.name, LOCK)
    mine = program.of_process(os.getpid())
    assert place.write(mine)
    assert program.acquire(place, mine) == program.Answer(mine, new=True)


# -- with Ansible ------------------------------------------------------------------------------------------------------

PLAYBOOK = """
- name: Process {{ lookup('playbook_process') }}
  hosts: localhost
  environment: "{{ aws_environment }}"
  tasks:
    - name: One run at a time
      ansible.builtin.include_role:
        name: deployment_lock
      when: deployment_lock_held is not defined
    - name: The run goes on until it may end
      ansible.builtin.wait_for:
        path: "{{ may_end }}"
        sleep: 1
"""


class Runs:
    """Runs of a playbook with the role in it."""

    def __init__(self, directory: Path, bucket: Bucket) -> None:
        self.playbook = directory / "play.yml"
        self.playbook.write_text(PLAYBOOK)
        self.may_end = directory / "may_end"
        self.variables = directory / "variables.json"
        values = {
            "state_bucket_name": bucket.name,
            "environment_name": "local",
            "cloud": "local",
            "aws_environment": bucket.settings,
        }
        self.variables.write_text(json.dumps(values | {"may_end": str(self.may_end)}))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one, in a session of its own as in a terminal of its own."""
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", os.devnull]
        return subprocess.Popen(
            [*command, "-e", f"@{self.variables}", *arguments, str(self.playbook)],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def test_runs_of_ansible(bucket: Bucket, tmp_path: Path) -> None:
    runs = Runs(tmp_path, bucket)
    both = [runs.start(), runs.start()]
    wait_until(lambda: any(run.poll() is not None for run in both), 180, what="none is refused")
    refused, first = sorted(both, key=lambda run: run.poll() is None)
    output, _ = refused.communicate(timeout=60)
    lock = bucket.lock()
    assert (lock.get("pid"), lock.get("what")) == (first.pid, str(runs.playbook)), output
    assert refused.returncode != 0
    day, time_of_day = lock["since"].rstrip("Z").split("T")
    assert (
        f"ERROR:   another run is changing local: {runs.playbook} of {lock['who']} (process {first.pid}),"
        f" since {time_of_day} UTC.\n"
        f"Look at: ps -p {first.pid}   (on {lock['host']})\n"
        "Type:    the same command again when that run has ended. If it can't have:"
        f" ansible-playbook -i inventory/local {runs.playbook} -e break_lock={lock['id']}\n"
    ) in output.replace(f"since {day} ", "since ")  # it was midnight
    assert bucket.lock() == lock

    # Ctrl-C in the terminal
    os.killpg(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert f"Process {first.pid}" in output
    wait_until(lambda: not bucket.lock(), 180, what="the lock is still there")

    # The lock of a run whose machine is gone is broken, as the message said.
    bucket.client.put_object(Bucket=bucket.name, Key=LOCK, Body=json.dumps(lock | {"machine": "gone"}).encode())
    runs.may_end.touch()
    last = runs.start("-e", f"break_lock={lock['id']}")
    output, _ = last.communicate(timeout=60)
    assert last.returncode == 0, output
    assert "changed=0" in output
    wait_until(lambda: not bucket.lock(), 180, what="the lock is still there")
