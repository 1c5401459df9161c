"""Short real runs of each tool against a server that answers late and wrongly: all of it must be found, exactly.

No test here asserts how fast anything is: a late answer is one that the server held back for much longer than any
scheduling delay of a loaded machine would explain away, and it is found by its count.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from loadtest import measurements, open_loop

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def load(tmp_path, server):
    """Run a scenario against the server; returns exit code and result."""

    def run(name, scenario, *paths):
        file = tmp_path / f"{name}.yml"
        file.write_text(yaml.safe_dump({"description": "A test", "slo": {"success_percent": 99}} | scenario))
        done = subprocess.run(command(file, paths), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode != 2, done.stderr
        (directory,) = (tmp_path / "results").glob(f"*-{name}")
        assert (directory / "report.html").stat().st_size > 10_000
        return done.returncode, json.loads((directory / "result.json").read_text()), directory

    def command(file, paths):
        asked = [word for path in paths for word in ("--path", path)]
        results = ["--results", str(tmp_path / "results")]
        words = ["-m", "loadtest", "run", str(file), "--url", server.url, "--outside-environment", *asked, *results]
        return [sys.executable, *words]

    run.command = command
    return run


def due(tool, rate, seconds):
    """When requests are, in s: k6 begins with a pause."""
    first = 1 if tool == "k6" else 0
    return [round((number + first) / rate, 6) for number in range(rate * seconds)]


def test_every_error_and_every_late_answer_is_found(server, load, at_a_rate):
    server.behave["/ok"] = lambda _: (0, 200)
    server.behave["/sometimes"] = lambda number: (0, 500) if number % 10 == 3 else (0, 200)
    server.behave["/late"] = lambda number: (3, 200) if number < 5 else (0, 200)
    scenario = {"tool": at_a_rate, "rate": 100, "duration": "6s", "timeout": "60s"}
    code, result, directory = load("open", scenario, "/ok", "/sometimes", "/late")
    figures = {part["name"]: part for part in result["parts"]}
    assert dict(server.asked) == {"/ok": 200, "/sometimes": 200, "/late": 200}
    assert {name: part["requests"] for name, part in figures.items()} == dict(server.asked)
    assert figures["/ok"]["failures"] == {}
    assert figures["/sometimes"]["failures"] == {"500": 20}
    assert figures["/late"]["failures"] == {}
    assert code == 1
    assert result["total"]["succeeded"] == 580
    answers = measurements.read_answers(directory / "requests.csv")
    assert len(answers) == 600
    assert sum(answer.latency >= 3000 for answer in answers if answer.path == "/late") >= 5
    # Requests were due every 10 ms, whatever the answers did.
    assert [answer.due for answer in answers] == due(at_a_rate, 100, 6)


def test_a_stall_makes_all_late_that_were_due_meanwhile(server, load, at_a_rate):
    """Coordinated omission: a closed loop would have sent one request, and seen one late answer."""
    begun = []

    def stall(number):
        begun.append(time.monotonic()) if not begun else None
        since = time.monotonic() - begun[0]
        return (max(0.0, 4 - since), 200) if since >= 1 else (0, 200)

    server.behave["/"] = stall
    code, result, directory = load("stall", {"tool": at_a_rate, "rate": 50, "duration": "3s", "timeout": "60s"}, "/")
    answers = measurements.read_answers(directory / "requests.csv")
    # Sent from the first second on, answered in the fourth: 2 s of requests wait at least 1 s each.
    assert sum(answer.latency >= 900 for answer in answers) >= 90
    assert result["total"]["max_ms"] >= 2900
    assert result["total"]["requests"] == server.asked["/"] == 150
    assert code == 0


def test_timeouts_and_closed_connections_are_found(server, load, at_a_rate):
    server.behave["/never"] = lambda number: (60, 200) if number % 10 == 0 else (0, 200)
    # A retry is on a new connection, and the server closes that one, too.
    server.behave["/closed"] = lambda _: (0, None)
    scenario = {"tool": at_a_rate, "rate": 20, "duration": "4s", "timeout": "10s"}
    code, result, _ = load("fail", scenario, "/never", "/closed")
    figures = {part["name"]: part for part in result["parts"]}
    assert figures["/never"]["failures"] == {"timeout": 4}
    assert figures["/never"]["max_ms"] >= 10_000
    assert figures["/closed"]["requests"] == 40
    assert sum(figures["/closed"]["failures"].values()) == 40
    assert figures["/closed"]["failures"].keys() <= {"connection closed", "connection reset", "no connection"}
    assert code == 1
    assert sum(row["failed"] for row in result["outages"]) == 44


def test_nothing_listens(load, server, at_a_rate):
    with socket.socket() as held:
        # Bound, so that nobody else listens there, and not listening.
        held.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{held.getsockname()[1]}"
        code, result, _ = load("nobody", {"tool": at_a_rate, "rate": 50, "duration": "1s"}, "/")
    assert code == 1
    assert result["total"]["failures"] == {"connection refused": 50}


def test_ctrl_c_keeps_what_was_measured(server, load, tmp_path, at_a_rate):
    file = tmp_path / "long.yml"
    file.write_text(f"description: Long\ntool: {at_a_rate}\nrate: 50\nduration: 1h\nslo: {{success_percent: 99}}\n")
    process = subprocess.Popen(
        load.command(file, ["/"]), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while server.asked["/"] < 100:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, progress = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "long (interrupted):" in said
    assert "answers/s, mean" in progress
    (directory,) = (tmp_path / "results").glob("*-long")
    result = json.loads((directory / "result.json").read_text())
    assert result["interrupted"]
    assert result["total"]["requests"] == server.asked["/"]
    assert "interrupted" in (directory / "report.html").read_text()


def test_ab_finds_every_error_and_every_late_answer(server, load, ab):
    server.behave["/sometimes"] = lambda number: (0, 503) if number % 20 == 7 else (0, 200)
    server.behave["/late"] = lambda number: (3, 200) if number < 4 else (0, 200)
    steps = [{"requests": 200, "concurrency": 5}, {"requests": 100, "concurrency": 20}]
    code, result, directory = load(
        "ladder", {"tool": "ab", "steps": steps, "slo": {"success_percent": 99}, "paths": ["/sometimes", "/late"]}
    )
    failures = [(part["name"], part["requests"], part["failures"]) for part in result["parts"]]
    assert failures == [
        ("/sometimes -n 200 -c 5", 200, {"not 2xx": 10}),
        ("/sometimes -n 100 -c 20", 100, {"not 2xx": 5}),
        ("/late -n 200 -c 5", 200, {}),
        ("/late -n 100 -c 20", 100, {}),
    ]
    assert code == 1
    assert result["parts"][2]["max_ms"] >= 3000
    with (directory / "ab-03.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 200
    assert sum(float(row["ttime"]) >= 3000 for row in rows) >= 4
    assert result["total"]["requests"] == 600


def test_a_second_run_is_compared_with_the_first(server, load, tmp_path):
    load("twice", {"rate": 50, "duration": "1s"}, "/")
    (first,) = (tmp_path / "results").glob("*-twice")
    file = tmp_path / "twice.yml"
    # Names of results have seconds in them.
    time.sleep(1.1)
    subprocess.run(load.command(file, ["/"]), cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    second = sorted((tmp_path / "results").glob("*-twice"))[-1]
    assert second != first
    assert "Compared with the run before" in (second / "report.html").read_text()
    assert "Compared with the run before" not in (first / "report.html").read_text()


def login(head, body):
    """A form with a key, which is taken once; then a session in a cookie."""
    if head.startswith("GET"):
        return 200, ["Set-Cookie: form=open; Path=/"], '<input name="_formkey" value="k-1" />'
    right = body.startswith("_formkey=k-1&name=user") and "Cookie: form=open\r\n" in head
    return (303, ["Set-Cookie: session=yes", "Set-Cookie: form=; Max-Age=0"], "") if right else (200, [], "again")


def inside(head, _body):
    return (200, [], "in") if "\r\nCookie: session=yes\r\n" in head else (403, [], "out")


def test_visitors_log_in_and_look_around(server, load):
    server.pages |= {"/login": login, "/inside": inside}
    key = {"keep": {"key": '_formkey" value="([^"]+)"'}}
    form = {"_formkey": "{key}", "name": "user{visit}"}
    visit = [{"path": "/login", **key}, {"path": "/login", "form": form, "expect": 303}, "/inside"]
    visit += [{"path": "/inside", "think": "300ms"}]
    code, result, directory = load("visit", {"rate": 20, "duration": "2s", "visit": visit})
    figures = {part["name"]: part for part in result["parts"]}
    assert {name: part["requests"] for name, part in figures.items()} == {
        "/login": 40,
        "POST /login": 40,
        "/inside": 80,
    }
    assert result["total"]["failures"] == {}
    assert code == 0
    answers = measurements.read_answers(directory / "requests.csv")
    assert len(answers) == 160
    # Nobody asks again before he has thought: the last who came was due after 1.95 s.
    assert answers[-1].due >= 2.25


def test_a_visit_ends_where_its_answer_is_wrong(server, load):
    server.pages |= {"/login": login, "/inside": inside}
    visit = [{"path": "/login", "form": {"name": "{visit}"}, "expect": 303}, "/inside"]
    code, result, _ = load("visit", {"rate": 20, "duration": "1s", "visit": visit})
    assert result["total"]["failures"] == {"200 unexpected": 20}
    assert server.asked["/inside"] == 0
    assert code == 1
    visit = [{"path": "/inside", "expect": 403}, {"path": "/login", "keep": {"key": "nothing(.)"}}, "/inside"]
    code, result, _ = load("keep", {"rate": 20, "duration": "1s", "visit": visit})
    assert result["total"]["failures"] == {"200 without key": 20}
    assert server.asked["/inside"] == 20


def test_k6_at_a_rate_that_grows(server, load, k6):
    code, result, directory = load("grow", {"tool": "k6", "rate": {"from": 20, "to": 60}, "duration": "5s"}, "/")
    answers = measurements.read_answers(directory / "requests.csv")
    assert server.asked["/"] == result["total"]["succeeded"] == len(answers) == 200
    assert max(answer.sent_late for answer in answers) < 2000  # it is the same schedule
    assert code == 0


def test_requests_of_each_kind(server, load, at_a_rate):
    seen = []
    server.pages["/thing"] = lambda head, body: seen.append((head, body)) or (201, [], "")
    requests = [
        {"path": "/thing", "method": "PUT", "body": '{"a": 1}', "headers": {"Content-Type": "application/json"}},
        {"path": "/thing", "method": "DELETE"},
    ]
    scenario = {"tool": at_a_rate, "rate": 20, "duration": "1s", "requests": requests}
    code, result, _ = load("kinds", scenario | ({"arrivals": "poisson"} if at_a_rate == "open_loop" else {}))
    assert code == 0
    assert {part["name"] for part in result["parts"]} == {"PUT /thing", "DELETE /thing"}
    assert {(head.split()[0], body) for head, body in seen} == {("PUT", '{"a": 1}'), ("DELETE", "")}
    assert all("\r\nContent-Type: application/json\r\n" in head for head, body in seen if body)


def test_several_processes_send_one_schedule(server, load):
    server.behave["/sometimes"] = lambda number: (0, 500) if number % 10 == 3 else (0, 200)
    code, result, directory = load(
        "several", {"rate": {"from": 20, "to": 60}, "duration": "5s", "processes": 2}, "/ok", "/sometimes"
    )
    assert dict(server.asked) == {"/ok": 100, "/sometimes": 100}
    assert result["total"]["failures"] == {"500": 10}
    assert code == 1
    answers = measurements.read_answers(directory / "requests.csv")
    due = list(open_loop.schedule([open_loop.Phase(20, 60, 5)], "constant"))
    assert [answer.due for answer in answers] == pytest.approx(due, abs=0.001)
    assert not list(directory.glob("requests.csv.*"))


def test_the_environments_own_address_is_the_only_one_without_asking(server, tmp_path):
    environment = os.environ | {"NO_COLOR": "1"}
    words = ["-m", "loadtest", "run", "burst", "--environment", "nowhere", "--url", server.url]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "nothing is deployed in `nowhere`" in done.stderr
    assert server.connections == 0
