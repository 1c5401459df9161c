"""What `make logs` shows, with programs that stand in for ssh and journalctl: real processes, no hosts."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto_server import moto_server
from programs import AWS, MEASURED, as_module
from waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles/fleet/files/fleet_logs.py"
GATEWAY = "i-0000aaaa11112222f"
FIRST = "i-0123456789abcdef0"
SECOND = "i-0fedcba9876543210"
WHEN = 1764237600  # 2025-11-27 10:00:00 UTC

# What is called on this machine and on the hosts. A host is a directory; one that has a file `refuses` lets nobody in.
PROGRAMS = {
    "ssh": """
        for argument; do
            case $argument in HostKeyAlias=*) export HOST="$HOSTS/${argument#HostKeyAlias=}" ;; esac
        done
        [ ! -e "$HOST/refuses" ] || { echo "admin@host: Permission denied (publickey)." >&2; exit 255; }
        exec sh -c "$argument"
    """,
    "sudo": 'exec "$@"',
    "systemctl": "echo web2py-service-realtime.service enabled enabled",
    "journalctl": """
        echo "$@" > "$HOST/asked"
        case "$*" in *--follow*) exec tail --lines=+1 -F "$HOST/journal" ;; esac
        cat "$HOST/journal"
    """,
}


def entry(text: Any, unit: str = "uwsgi-web2py", **fields: str) -> str:
    """A line of `journalctl --output=json`."""
    known = {"__CURSOR": f"s=0;i={text}", "__REALTIME_TIMESTAMP": str(WHEN * 10**6)}
    known |= {"_SYSTEMD_UNIT": f"{unit}.service", "MESSAGE": text}
    return json.dumps(known | fields)


class World:
    """The hosts, and the API that knows them."""

    def __init__(self, root: Path, module: ModuleType) -> None:
        self.root = root
        self.state = "stopped"
        self.asked: list[str] = []
        self.changing = False
        self.addresses: dict[str, str] = {}
        self.settings = module.Settings(
            environment="local",
            autoscaling_group="web2py-local",
            gateway=GATEWAY,
            gateway_address="PrivateIpAddress",
            user="admin",
            key="/nowhere/key",
            known_hosts="/nowhere/known_hosts",
            lock_bucket="bucket",
            lock_object="deployment.lock",
        )
        (root / GATEWAY).mkdir()

    def add(self, name: str, *entries: str) -> Path:
        """An instance with these entries in its journal; its directory."""
        host = self.root / name
        host.mkdir()
        (host / "journal").write_text("".join(f"{line}\n" for line in entries))
        self.addresses[name] = "10.0.0.1"
        return host

    def processes(self) -> list[str]:
        """Command lines of what still runs for a host."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"\0HOST={self.root}/".encode() in b"\0" + (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it has just ended
                continue
        return found

    # What is asked of AWS.

    def instances(self) -> dict[str, str]:
        return dict(self.addresses)

    def gateway(self) -> tuple[str, str]:
        return self.state, "10.0.0.2" if self.state == "running" else ""

    def start_gateway(self) -> None:
        self.asked.append("start")
        self.state = "running"

    def stop_gateway(self) -> None:
        self.asked.append("stop")
        self.state = "stopped"

    def is_being_changed(self) -> bool:
        return self.changing


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    program = as_module(PROGRAM, monkeypatch)
    for name in ("LOOK_EVERY", "RETRY_AFTER", "BOOT_PATIENCE", "GATEWAY_PATIENCE", "LAST_WORDS"):
        monkeypatch.setattr(program, name, 0.05)
    return program


@pytest.fixture
def world(tmp_path: Path, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> World:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HOSTS", str(hosts))
    # On a host they are in /var/log.
    monkeypatch.setattr(module, "FILES", {"nginx-access": '"$HOST/access"', "nginx-error": '"$HOST/error"'})
    return World(hosts, module)


class Shown:
    """What is printed; and noted, about the instances."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []

    def texts(self, instance: str) -> list[str]:
        """What is printed of an instance, without its name."""
        return [line.split("  ", 1)[1] for line in self.lines if line.startswith(f"{instance[:10]}  ")]


def run(module: ModuleType, world: World, during: Callable[[Shown], Any] | None = None, **settings: Any) -> Shown:
    """Read the logs; to the end, or while `during` runs. It leaves no process behind."""
    shown = Shown()
    reader = module.Reader(replace(world.settings, **settings), world, shown.lines.append, shown.notes.append)

    async def read() -> None:
        reading = asyncio.create_task(reader.run())
        if during:
            waiting = asyncio.create_task(asyncio.to_thread(during, shown))
            await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
            await waiting
            reading.cancel()
        try:
            await reading
        except asyncio.CancelledError:
            assert during

    try:
        asyncio.run(read())
    finally:
        assert world.processes() == []
    return shown


# -- lines -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "source", "text"),
    [
        (entry("hello"), "uwsgi", "2025-11-27 10:00:00  hello"),
        (entry("", unit="web2py-scheduler"), "scheduler", "2025-11-27 10:00:00  "),
        (entry("bound", unit="web2py-service-realtime"), "service-realtime", "2025-11-27 10:00:00  bound"),
        (entry("Started.", unit="init", UNIT="nginx.service"), "nginx", "2025-11-27 10:00:00  Started."),
        (entry([0xFF, 104, 105]), "uwsgi", "2025-11-27 10:00:00  \ufffdhi"),
        (entry("a\tb \x1b[2J"), "uwsgi", "2025-11-27 10:00:00  a\tb \\x1b[2J"),
        ("nginx-error \x9b2J", "nginx-error", "\\x9b2J"),
        (entry(None), "uwsgi", "2025-11-27 10:00:00  "),
        ('{"MESSAGE": "no time"}', "journal", '{"MESSAGE": "no time"}'),
        ("{ no json", "journal", "{ no json"),
        ('nginx-access {"time": "now"}', "nginx-access", '{"time": "now"}'),
        ("nginx-error ", "nginx-error", ""),
    ],
)
def test_source_and_text_of_a_line(module: ModuleType, sent: str, source: str, text: str) -> None:
    assert list(module.shown(FIRST, sent)) == [f"i-01234567  {source:<12}  {text}"]


def test_each_line_of_a_message_is_one(module: ModuleType) -> None:
    assert [text for _, text in module.parsed(entry("a\nb"))] == ["2025-11-27 10:00:00  a", "2025-11-27 10:00:00  b"]


def test_lines_of_a_stream_have_any_length(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 300_000)

    async def read() -> list[str]:
        stream = asyncio.StreamReader()
        stream.feed_data(b"one\n\n" + b"x" * 200_000 + b"\n" + b"y" * 400_000 + b"\n\xff and no end")
        stream.feed_eof()
        return [line async for line in module.lines_of(stream)]

    first, empty, long, *pieces, last = asyncio.run(read())
    assert (first, empty, long, last) == ("one", "", "x" * 200_000, "\ufffd and no end")
    assert "".join(pieces) == "y" * 400_000
    assert len(pieces) > 1


# -- once --------------------------------------------------------------------------------------------------------------


def test_all_logs_of_all_instances_once(module: ModuleType, world: World) -> None:
    first, second = world.add(FIRST, entry("one"), entry("two")), world.add(SECOND, entry("three"))
    (first / "access").write_text("GET /\n")
    (second / "error").write_text("older\nupstream timed out\n")
    shown = run(module, world, follow=False, lines=1)
    assert shown.lines == [
        "i-01234567  uwsgi         2025-11-27 10:00:00  one",
        "i-01234567  uwsgi         2025-11-27 10:00:00  two",
        "i-01234567  nginx-access  GET /",
        "i-0fedcba9  uwsgi         2025-11-27 10:00:00  three",
        "i-0fedcba9  nginx-error   upstream timed out",
    ]
    asked = (first / "asked").read_text().split()
    assert {
        "--lines=1",
        "--unit=uwsgi-web2py",
        "--unit=web2py-scheduler",
        "--unit=web2py-service-realtime.service",
    } <= {*asked}
    assert "--follow" not in asked
    assert world.asked == ["start", "stop"]


def test_one_instance_by_the_beginning_of_its_id(module: ModuleType, world: World) -> None:
    world.add(FIRST, entry("one"))
    world.add(SECOND, entry("two"))
    assert len(run(module, world, follow=False, instance="i-0f").texts(SECOND)) == 1
    assert not (world.root / FIRST / "asked").exists()


def test_an_instance_that_lets_nobody_in_is_said_after_what_others_log(module: ModuleType, world: World) -> None:
    (world.add(FIRST) / "refuses").touch()
    world.add(SECOND, entry("two"))
    shown = Shown()
    reader = module.Reader(replace(world.settings, follow=False), world, shown.lines.append, shown.notes.append)
    with pytest.raises(module.LogsError) as raised:
        asyncio.run(reader.run())
    message = raised.value.message
    assert f"ERROR:   the logs of {FIRST} (admin@host: Permission denied (publickey).) can't be read." in message
    assert "Look at: make status" in message
    assert "Type:    make logs" in message
    assert len(shown.texts(SECOND)) == 1
    assert world.asked == ["start", "stop"]
    assert world.processes() == []


@pytest.mark.parametrize(
    ("instance", "words"),
    [
        ("", ["no instance of staging's fleet is running", "make scale ENV=staging ARGS='-e desired_capacity=1'"]),
        ("i-0123", ["i-0123 is no running instance of staging's fleet", "make status ENV=staging"]),
    ],
)
def test_no_instance(module: ModuleType, world: World, instance: str, words: list[str]) -> None:
    with pytest.raises(module.LogsError) as raised:
        run(module, world, environment="staging", instance=instance)
    assert all(word in raised.value.message for word in words), raised.value.message
    assert world.asked == []


def test_a_migration_host_that_lets_nobody_in(module: ModuleType, world: World) -> None:
    world.add(FIRST)
    (world.root / GATEWAY / "refuses").touch()
    with pytest.raises(module.LogsError) as raised:
        run(module, world)
    assert f"{GATEWAY} can't be reached at 10.0.0.2: admin@host: Permission denied" in raised.value.message
    assert "ssh_cidr" in raised.value.message
    assert world.asked == ["start", "stop"]


def test_a_migration_host_that_is_gone(module: ModuleType, world: World) -> None:
    world.add(FIRST)
    world.state = "terminated"
    with pytest.raises(module.LogsError, match="is terminated"):
        run(module, world)
    assert world.asked == []


# -- who stops the migration host --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "changing", "keep", "asked"),
    [
        ("stopped", False, False, ["start", "stop"]),
        ("running", False, False, []),  # somebody else has started it
        ("stopped", True, False, ["start"]),  # a deployment may be using it by now
        ("stopped", False, True, ["start"]),
    ],
)
def test_who_starts_the_migration_host_stops_it(
    module: ModuleType, world: World, state: str, changing: bool, keep: bool, asked: list[str]
) -> None:
    world.add(FIRST)
    world.state, world.changing = state, changing
    shown = run(module, world, follow=False, keep_gateway=keep)
    assert world.asked == asked
    assert any("goes on running" in note for note in shown.notes) == changing


# -- on and on ---------------------------------------------------------------------------------------------------------


def test_lines_are_shown_as_they_come(module: ModuleType, world: World) -> None:
    first = world.add(FIRST, entry("one"))

    def during(shown: Shown) -> None:
        wait_until(lambda: shown.texts(FIRST))
        with (first / "journal").open("a") as journal:
            journal.write(f"{entry('two')}\n")
        # It isn't there in the beginning.
        (first / "access").write_text("GET /\n")
        wait_until(lambda: len(shown.texts(FIRST)) == 3)

    shown = run(module, world, during)
    assert set(shown.texts(FIRST)) == {
        "uwsgi         2025-11-27 10:00:00  one",
        "uwsgi         2025-11-27 10:00:00  two",
        "nginx-access  GET /",
    }
    assert "--follow" in (first / "asked").read_text()
    assert world.asked == ["start", "stop"]


def test_instances_that_come_and_go(module: ModuleType, world: World) -> None:
    world.add(FIRST, entry("one"))

    def during(shown: Shown) -> None:
        wait_until(lambda: shown.texts(FIRST))
        world.add(SECOND, entry("two"))
        wait_until(lambda: shown.texts(SECOND))
        del world.addresses[FIRST]
        wait_until(lambda: f"{FIRST[:10]}  is gone" in shown.notes)
        wait_until(lambda: not any(FIRST in process for process in world.processes()))
        # The last one, too: others may come.
        del world.addresses[SECOND]
        wait_until(lambda: f"{SECOND[:10]}  is gone" in shown.notes)
        wait_until(lambda: not any(SECOND in process for process in world.processes()))
        third = SECOND.replace("0fed", "0bad")
        world.add(third, entry("three"))
        wait_until(lambda: shown.texts(third))

    shown = run(module, world, during)
    said = [note for note in shown.notes if "migration host" not in note]
    assert said == ["i-0fedcba9  has come", "i-01234567  is gone", "i-0fedcba9  is gone", "i-0badcba9  has come"]


def test_the_end_of_the_only_one_that_was_asked_for(module: ModuleType, world: World) -> None:
    world.add(FIRST, entry("one"))
    world.add(SECOND)

    def during(shown: Shown) -> None:
        wait_until(lambda: shown.texts(FIRST))
        (world.root / FIRST / "refuses").touch()
        del world.addresses[FIRST]
        wait_until(lambda: "stop" in world.asked)

    shown = run(module, world, during, instance=FIRST)
    assert "i-01234567  is gone" in shown.notes


def kill(world: World, host: str) -> None:
    """End what runs for a host, as its shutdown does."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOST={world.root / host}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # it has just ended
            continue


def test_a_connection_that_is_lost_goes_on_where_it_ended(module: ModuleType, world: World) -> None:
    """Also when a deployment has stopped the migration host meanwhile: it is started again."""
    first = world.add(FIRST, entry("one"))

    def during(shown: Shown) -> None:
        wait_until(lambda: shown.texts(FIRST))
        assert "--lines=7 " in (first / "asked").read_text()
        assert "--after-cursor" not in (first / "asked").read_text()
        world.state = "stopped"
        kill(world, GATEWAY)
        kill(world, FIRST)
        wait_until(lambda: "--no-tail --after-cursor=s=0;i=one " in (first / "asked").read_text())

    shown = run(module, world, during, lines=7)
    assert world.asked == ["start", "start", "stop"]
    assert sum("i-01234567  is not followed at the moment" in note for note in shown.notes) == 1


def test_an_instance_that_does_not_let_us_in_is_tried_again(module: ModuleType, world: World) -> None:
    first = world.add(FIRST, entry("one"))
    (first / "refuses").touch()

    def during(shown: Shown) -> None:
        wait_until(lambda: any("Permission denied" in note for note in shown.notes))
        (first / "refuses").unlink()
        wait_until(lambda: shown.texts(FIRST))

    notes = run(module, world, during).notes
    # Once, however often it is tried.
    assert sum("Permission denied" in note for note in notes) == 1
    assert any(module.WHY_NOT in note for note in notes)


def test_an_api_that_does_not_answer_ends_nothing(module: ModuleType, world: World) -> None:
    first = world.add(FIRST, entry("one"))
    broken = module.BotoCoreError()

    def fail() -> dict[str, str]:
        raise broken

    def during(shown: Shown) -> None:
        wait_until(lambda: shown.texts(FIRST))
        world.instances = fail  # type: ignore[method-assign]
        wait_until(lambda: any("can't be found out" in note for note in shown.notes))
        with (first / "journal").open("a") as journal:
            journal.write(f"{entry('two')}\n")
        wait_until(lambda: len(shown.texts(FIRST)) == 2)

    notes = run(module, world, during).notes
    assert sum("can't be found out" in note for note in notes) == 1


def test_an_api_that_does_not_answer_in_the_beginning(module: ModuleType, world: World) -> None:
    def fail() -> dict[str, str]:
        raise module.BotoCoreError

    world.instances = fail  # type: ignore[method-assign]
    with pytest.raises(module.LogsError, match="can't be looked for"):
        run(module, world)


# -- the program -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture
def program(endpoint: str, world: World, tmp_path: Path) -> Iterator[list[str]]:
    """The command, with moto for AWS: one instance of the group runs, and the migration host is stopped."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    session = boto3.session.Session(region_name="us-east-1", **keys)
    session.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
    ec2 = session.client("ec2", endpoint_url=endpoint)

    def launch(key: str, value: str) -> str:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value}]}]
        launched = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=tags)
        return str(launched["Instances"][0]["InstanceId"])

    def state() -> str:
        (found,) = ec2.describe_instances(InstanceIds=[gateway])["Reservations"]
        return str(found["Instances"][0]["State"]["Name"])

    group = tmp_path.name
    gateway, stranger = launch("Role", "migration"), launch("aws:autoscaling:groupName", "another")
    serving, stopped = (launch("aws:autoscaling:groupName", group) for _ in range(2))
    ec2.stop_instances(InstanceIds=[gateway, stopped])
    for name in (serving, stopped, stranger):
        world.add(name, entry(f"line of {name} \ud800"))
    (world.root / gateway).mkdir()
    settings = replace(
        world.settings, gateway=gateway, autoscaling_group=group, variables={"AWS_ENDPOINT_URL": endpoint}
    )
    (tmp_path / "logs.json").write_text(json.dumps(asdict(settings)))
    assert state() == "stopped"
    yield [sys.executable, str(PROGRAM), str(tmp_path / "logs.json"), serving]
    wait_until(lambda: state() == "stopped")
    assert world.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_program_ends_well_when_it_is_told_to(program: list[str], number: signal.Signals) -> None:
    """And shows the group's instance that runs, and no other."""
    environment = {**os.environ, **AWS, **MEASURED}
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert f"line of {program[-1]}" in process.stdout.readline()
        process.send_signal(number)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60 * PATIENCE)
    assert (process.returncode, rest) == (0, ""), errors
    assert "Traceback" not in errors


def test_the_program_ends_well_when_nobody_reads_on(program: list[str], world: World) -> None:
    environment = {**os.environ, **AWS, **MEASURED}
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        with (world.root / program[-1] / "journal").open("a") as journal:
            journal.write(f"{entry('one more')}\n")
        assert process.wait(60 * PATIENCE) == 0
        assert process.stderr
        assert "Traceback" not in process.stderr.read()


def test_the_program_says_what_is_wrong(program: list[str], tmp_path: Path) -> None:
    settings = json.loads((tmp_path / "logs.json").read_text())
    (tmp_path / "logs.json").write_text(json.dumps(settings | {"instance": "i-0bad"}))
    done = subprocess.run(program, env={**os.environ, **AWS, **MEASURED}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR:   i-0bad is no running instance")
    assert done.stdout == ""


# -- make --------------------------------------------------------------------------------------------------------------


def test_ctrl_c_in_a_terminal_ends_the_logs_and_is_no_error_of_make(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "inventory/mine").mkdir(parents=True)
    follow = f"#!{sys.executable}\nimport signal, time\ntry:\n    print('followed', flush=True)\n    time.sleep(600)\n"
    follow += "except KeyboardInterrupt:\n    print('ended', flush=True)\n"
    stubs = {
        ".venv/bin/ansible-playbook": "#!/bin/sh\n",
        ".venv/bin/python": "#!/bin/sh\n",
        ".deploy/mine/logs": follow,
    }
    for name in ("requirements.txt", "requirements.yml", ".venv/.installed", ".collections/.installed"):
        stubs[name] = ""
    for name, text in stubs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execvpe("make", ["make", "logs", "ENV=mine"], {"PATH": os.environ["PATH"], "LC_ALL": "C"})
    said = b""
    while b"followed" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 1000):
            said += chunk
    except OSError:  # the other end is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, said.decode()
    assert b"ended" in said
    assert b"***" not in said
