"""uWSGI's processes hang, leak and are reloaded, and the visitors of the others don't notice."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest
import requests
from web_host import Load

from benchmarks.lab import Lab, wait_until
from loadtest.measurements import read_answers


def processes(lab: Lab) -> dict[int, int]:
    """Process id -> resident memory in MiB of uWSGI's processes without the master."""
    master = lab.run("systemctl", "show", "--property=MainPID", "--value", "uwsgi-web2py").strip()
    lines = lab.run("ps", "-o", "pid=,rss=", "--ppid", master).splitlines()
    return {int(pid): int(rss) // 1024 for pid, rss in (line.split() for line in lines)}


def largest(lab: Lab) -> int:
    """MiB that a process may have."""
    return int(lab.run("cat", "/run/uwsgi/size").strip().removeprefix("PROCESS_MIB="))


def test_sized_by_the_host(probe: Lab) -> None:
    cores = int(probe.run("nproc"))
    assert len(processes(probe)) == 2 * cores
    memory = int(probe.run("sed", "-n", r"s/^MemTotal: *\([0-9]*\) kB/\1/p", "/proc/meminfo")) // 1024
    bound = largest(probe)
    assert bound == pytest.approx(memory / 10 / (2 * cores), abs=1)


def test_each_request_can_be_logged(probe: Lab) -> None:
    trace = f'Root=1-"odd"-{time.time()}'
    requests.get(f"{probe.url}/default/missing", params={"a": '"\\'}, headers={"X-Amzn-Trace-Id": trace}, timeout=30)

    def lines() -> list[dict[str, object]]:
        log = probe.run("cat", "/var/log/nginx/access.log").splitlines()
        return [line for line in map(json.loads, log) if line["trace_id"] == trace]

    wait_until(lines, "the request is in the log")
    (line,) = lines()
    assert (line["method"], line["uri"], line["status"]) == ("GET", "/default/missing?a=%22%5C", 404)
    # nginx takes the two from two clocks, in whole milliseconds.
    assert 0 < float(str(line["uwsgi_seconds"])) <= float(str(line["seconds"])) + 0.005


def test_health_check_does_not_queue_behind_visitors(probe: Lab) -> None:
    """Or the autoscaling group would replace a host that is only busy."""
    visitors = 10 * len(processes(probe))
    overtaken = []
    with Load(f"{probe.url}/default/slow", clients=visitors) as load:
        wait_until(lambda: load.answers[200] > visitors, "there is a queue")
        for _ in range(10):
            before = load.answers.total()
            assert requests.get(f"{probe.url}/health", timeout=60).status_code == 200
            overtaken.append(load.answers.total() - before)
    assert set(load.answers) == {200}
    assert mean(overtaken) < visitors / 3, "visitors who were answered while a health check waited"


def test_requests_of_visitors_who_went_away_are_left_alone(probe: Lab) -> None:
    visitors = []
    for _ in range(200):
        visitor = socket.create_connection((probe.address, 80), timeout=30)
        visitor.sendall(b"GET /default/visit HTTP/1.1\r\nHost: probe\r\n\r\n")
        visitors.append(visitor)
    assert visitors[0].recv(1), "the first is served"
    for visitor in visitors:
        visitor.close()
    # This one is queued behind them.
    assert requests.get(f"{probe.url}/default/visit", timeout=60).status_code == 200
    assert visits(probe) < 100


SECONDS = 20  # of overload


def test_overload_takes_nothing_from_those_who_can_be_served(probe: Lab, tmp_path: Path) -> None:
    """Four times as many requests as it can serve, from visitors who don't wait for each other."""
    path = "/default/slow"
    with Load(f"{probe.url}{path}", clients=2 * len(processes(probe))) as load:
        before, began = load.answers[200], time.monotonic()
        wait_until(lambda: load.answers[200] > before + 200, "so many are served")
        capacity = (load.answers[200] - before) / (time.monotonic() - began)
    file = tmp_path / "answers.csv"
    command = [sys.executable, "-m", "loadtest.open_loop", probe.url, "--path", path, "--output", str(file)]
    subprocess.run([*command, "--phase", f"{4 * capacity:.0f}:{SECONDS}"], check=True, stdout=subprocess.DEVNULL)
    answers = read_answers(file)
    served = [answer for answer in answers if answer.outcome == "200"]
    assert {answer.outcome for answer in answers} == {"200", "503"}
    # Those who are served wait as long as anybody may, and a bit longer where the machine is busy.
    in_time = [answer for answer in served if answer.latency < 2500]
    assert len(in_time) > 0.8 * capacity * SECONDS
    # The others know at once: nobody waits in a queue that is too long, once it is known what a request takes.
    in_vain = [answer for answer in answers if answer.outcome == "503" and answer.latency > 1900]
    assert len([answer for answer in in_vain if answer.due > SECONDS / 2]) < 0.1 * len(served)
    # At once, when it is over: the process is free again, and nothing is left in the queue.
    assert requests.get(f"{probe.url}{path}", timeout=30).status_code == 200


def test_full_queue_is_told_from_a_process_that_dies(probe: Lab) -> None:
    """Who was not let in may come again; who was may have written something."""
    master = probe.run("systemctl", "show", "--property=MainPID", "--value", "uwsgi-web2py").strip()
    visitors = []
    before = processes(probe)
    stopped = [master, *map(str, before)]
    try:
        probe.run("kill", "-STOP", *stopped)
        for _ in range(2 * 256):
            visitor = socket.create_connection((probe.address, 80), timeout=30)
            visitor.sendall(b"GET /default/index HTTP/1.1\r\nHost: probe\r\n\r\n")
            visitors.append(visitor)
        answer = requests.get(f"{probe.url}/default/index", timeout=30)
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1")
    finally:
        probe.run("kill", "-CONT", *stopped)
        for visitor in visitors:
            visitor.close()
    answer = requests.get(f"{probe.url}/default/hang", timeout=60)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (502, None)
    wait_until(lambda: len(set(processes(probe)) - set(before)) == 1, "the process was replaced")


def visits(lab: Lab) -> int:
    """How many visits were worked on; asked past nginx, which would queue the question behind them."""
    return len(lab.run("sh", "-c", "cat /var/lib/web2py/*/databases/visits 2>/dev/null || true"))


def test_hanging_process_is_replaced(probe: Lab) -> None:
    before = processes(probe)
    with Load(f"{probe.url}/default/index", clients=2) as others:
        hanging = requests.get(f"{probe.url}/default/hang", timeout=60)
        wait_until(lambda: len(set(processes(probe)) - set(before)) == 1, "the process was replaced")
    assert hanging.status_code in (502, 504)
    assert set(others.answers) == {200}


def test_leaking_process_is_replaced(probe: Lab) -> None:
    bound = largest(probe)
    before = processes(probe)
    assert max(before.values()) < bound
    with Load(f"{probe.url}/default/index", clients=2) as others:
        assert requests.get(f"{probe.url}/default/leak/{bound}", timeout=60).text == "leaked"
        wait_until(lambda: len(set(processes(probe)) - set(before)) == 1, "the process was replaced")
    assert max(processes(probe).values()) < bound
    assert set(others.answers) == {200}


def test_process_that_was_large_for_a_moment_stays(probe: Lab) -> None:
    bound = largest(probe)
    before = processes(probe)
    # All at once, or one process might get each of them. Who waits for too long may be refused: it is much work.
    with Load(f"{probe.url}/default/swell/{bound}", clients=len(before)) as load:
        wait_until(lambda: load.answers[200] > 10 * len(before), "each has been large")
    assert set(load.answers) <= {200, 503}
    assert set(processes(probe)) == set(before)


DROP_IN = "/etc/systemd/system/uwsgi-web2py.service.d/small.conf"


@pytest.fixture
def too_small(probe: Lab) -> Iterator[Lab]:
    """A host on which the application alone is larger than a process may be."""
    restart = "systemctl daemon-reload && systemctl restart uwsgi-web2py"
    small = "[Service]\nEnvironmentFile=\nEnvironment=PROCESS_MIB=1\n"
    probe.run("sh", "-c", f"mkdir -p {Path(DROP_IN).parent} && printf '{small}' > {DROP_IN} && {restart}")
    try:
        yield probe
    finally:
        probe.run("sh", "-c", f"rm {DROP_IN} && {restart}")


def test_too_small_a_bound_stops_nobody(too_small: Lab) -> None:
    """Each process would end after each request, and uWSGI takes a second or two for a new one."""
    answers = [requests.get(f"{too_small.url}/default/process", timeout=60) for _ in range(200)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) < 100
    before = processes(too_small)
    with Load(f"{too_small.url}/default/process", clients=2) as load:
        wait_until(lambda: not set(processes(too_small)) & set(before), "all have been replaced")
    assert set(load.answers) == {200}


@pytest.mark.parametrize("service", ["uwsgi-web2py", "nginx"])
def test_reload_fails_no_request(probe: Lab, service: str) -> None:
    # nginx closes idle connections when it is reloaded; whoever is about to use one opens another.
    with Load(f"{probe.url}/default/index", clients=4, keep_alive=False) as load:
        for _ in range(5):
            before = load.answers[200]
            probe.run("systemctl", "reload", service)
            wait_until(lambda before=before: load.answers[200] > before + 50, "requests are answered")
            time.sleep(0.5)
    assert set(load.answers) == {200}
