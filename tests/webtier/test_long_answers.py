"""Answers and requests that are larger than the memory a host has to spare, and clients that take their time."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import socket
import time
import uuid

import pytest
import requests
from test_shared_uploads import PEAK, RESET
from test_web2py_processes import processes
from web_host import PROBE, Web

from benchmarks.lab import Lab, LabError, wait_until

MEBIBYTE = 1024 * 1024
STATE = "/var/lib/web2py/welcome/databases"
SETTINGS: dict[str, object] = {
    **PROBE,
    # So long an answer may take to be made, and written to a disk that others use as well.
    "uwsgi_harakiri": 120,
    "nginx_uwsgi_timeout": 125,
    "nginx_client_max_body_size": "10m",
}
ERRORS = ["find", "/var/lib/web2py/welcome/errors", "-type", "f"]
FEW = 8 * 1024  # KiB, of the 1 GiB that is sent


@pytest.fixture
def patient(host: Web) -> Lab:
    lab = host.become(**SETTINGS)
    lab.run("truncate", "--size=1G", f"{STATE}/large")
    return lab


def peaks(lab: Lab) -> dict[str, int]:
    """The largest that a process of each kind has been since the last reset, in KiB."""
    return {kind: int(lab.run("sh", "-c", PEAK.replace("uwsgi", kind))) for kind in ("uwsgi", "nginx")}


def reset(lab: Lab) -> dict[str, int]:
    for kind in ("uwsgi", "nginx"):
        lab.run("sh", "-c", RESET.replace("uwsgi", kind))
    return peaks(lab)


def grown(lab: Lab, before: dict[str, int]) -> dict[str, int]:
    return {kind: peak - before[kind] for kind, peak in peaks(lab).items() if peak - before[kind] >= FEW}


def ask(lab: Lab, path: str) -> requests.Response:
    """The beginning of an answer; the rest is not read."""
    return requests.get(lab.url + path, stream=True, timeout=120, headers={"Accept-Encoding": "identity"})


def read(answer: requests.Response) -> int:
    return sum(map(len, answer.iter_content(MEBIBYTE)))


def sent(lab: Lab, name: str) -> int:
    """How many MiB of an answer uWSGI has got rid of."""
    return int(lab.run("stat", "--format=%s", f"{STATE}/{name}.sent"))


def is_over(lab: Lab, name: str) -> bool:
    """Whether web2py's part of an answer is."""
    with contextlib.suppress(LabError):
        lab.run("test", "-e", f"{STATE}/{name}.over")
        return True
    return False


@pytest.mark.parametrize("action", ["stream", "generate/1024/all"])
def test_gibibyte_is_in_nobodys_memory(patient: Lab, action: str) -> None:
    assert read(ask(patient, "/long/generate/1/first")) == MEBIBYTE
    before = reset(patient)
    with ask(patient, f"/long/{action}") as answer:
        assert (answer.status_code, read(answer)) == (200, 1024 * MEBIBYTE)
    assert grown(patient, before) == {}


def test_slow_clients_hold_no_process(patient: Lab) -> None:
    """More of them than there are processes, and none reads before all answers are made."""
    workers = processes(patient)
    names = [uuid.uuid4().hex for _ in range(2 * len(workers))]
    before = reset(patient)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(ask(patient, f"/long/generate/32/{name}")) for name in names]
        wait_until(lambda: all(is_over(patient, name) for name in names), "all answers are made")
        assert requests.get(f"{patient.url}/default/index", timeout=30).status_code == 200
        assert [read(answer) for answer in slow] == [32 * MEBIBYTE] * len(names)
    assert grown(patient, before) == {}
    assert processes(patient).keys() == workers.keys()


@pytest.mark.parametrize("abrupt", [False, True])
def test_client_that_goes_away_frees_its_process(patient: Lab, abrupt: bool) -> None:
    """At once, when an answer is being made without an end, and without a trace."""
    workers, name = processes(patient), uuid.uuid4().hex
    tickets, began = patient.run(*ERRORS), patient.run("date", "+%s").strip()
    with socket.create_connection((patient.address, 80), timeout=60) as client:
        client.sendall(f"GET /long/generate/1000000/{name} HTTP/1.1\r\nHost: probe\r\n\r\n".encode())
        for _ in range(16):
            assert client.recv(MEBIBYTE)
        if abrupt:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
    wait_until(lambda: is_over(patient, name), "the answer is not made any further")
    assert sent(patient, name) < 1000000
    # Each process serves, and none was replaced.
    served = [requests.get(f"{patient.url}/default/index", timeout=30).status_code for _ in range(20)]
    assert set(served) == {200}
    assert processes(patient).keys() == workers.keys()
    assert patient.run(*ERRORS) == tickets
    journal = patient.run("journalctl", "--unit=uwsgi-web2py", f"--since=@{began}", "--output=cat")
    assert not {"Traceback", "write error", "HARAKIRI", "TIMEOUT"} & set(journal.replace(":", " ").split()), journal


def test_pause_of_a_client_cuts_nothing_off(host: Web) -> None:
    """Not of what is longer than may wait on the disk either."""
    small = {**SETTINGS, "nginx_uwsgi_max_temp_file_size": "16m"}
    lab = host.become(**SETTINGS)
    lab = host.become(**{**small, "lab_roles": ["nginx"]})
    name = uuid.uuid4().hex
    with ask(lab, f"/long/generate/64/{name}") as answer:
        wait_until(lambda: sent(lab, name) > 16, "as much waits as may")
        time.sleep(6)  # what uWSGI would not wait by itself is 4 s; nginx waits 10
        assert not is_over(lab, name)
        assert read(answer) == 64 * MEBIBYTE


BOUND = 10 * MEBIBYTE


@pytest.mark.parametrize("over", [1, 200 * MEBIBYTE])
@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_an_upload_gets_an_answer(patient: Lab, over: int, chunked: bool) -> None:
    """The client sees it though it sends all of its body first, as most do."""
    pieces = itertools.chain(itertools.repeat(bytes(MEBIBYTE), (BOUND + over) // MEBIBYTE), [bytes(over % MEBIBYTE)])
    body = (piece for piece in pieces if piece) if chunked else bytes(BOUND + over)
    answer = requests.post(f"{patient.url}/long/digest", data=body, timeout=120)
    assert answer.status_code == 413
    assert "413 Request Entity Too Large" in answer.text
    assert len(answer.content) < 1000


def test_client_that_asks_first_sends_nothing(patient: Lab) -> None:
    request = (
        "POST /long/digest HTTP/1.1\r\nHost: probe\r\nExpect: 100-continue\r\n"
        f"Content-Length: {BOUND + 1}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((patient.address, 80), timeout=30) as client:
        client.sendall(request.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 413 "), "and not 100 Continue"


def test_largest_upload_arrives(patient: Lab) -> None:
    body = os.urandom(BOUND)
    answer = requests.post(f"{patient.url}/long/digest", data=body, timeout=120)
    assert (answer.status_code, answer.text) == (200, hashlib.sha256(body).hexdigest())
