"""Requests as the internet sends them: too many, too slow, too long, forged and broken."""

import re
import socket
import subprocess

import pytest
import requests
from web_host import Load

from benchmarks.lab import Lab, wait_until
from bootstrap import load_tools


@pytest.mark.parametrize("clients", [200, 1000])
@pytest.mark.parametrize("endpoint", ["date_time_only", "date_time", "latest_date_time"])
def test_many_connections_at_once(web: Lab, endpoint: str, clients: int) -> None:
    load_tools.main()
    command = ["ab", "-q", "-l", "-c", str(clients), "-n", "3000", "-s", "120", f"{web.url}/{endpoint}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^Complete requests:\s+3000$", output, re.MULTILINE), output
    assert re.search(r"^Failed requests:\s+0$", output, re.MULTILINE), output
    assert "Non-2xx" not in output


def test_slow_clients_stop_nobody(web: Lab) -> None:
    slow = []
    try:
        for number in range(1600):
            client = socket.create_connection((web.address, 80), timeout=30)
            client.sendall(b"GET /date_time_only HTTP/1.1\r\nHost: slow\r\nX-Number: %d" % number)
            slow.append(client)
        with Load(f"{web.url}/date_time_only", clients=2) as load:
            wait_until(lambda: load.answers[200] > 10, "others are served")
        assert set(load.answers) == {200}
    finally:
        for client in slow:
            client.close()


def test_long_query_and_long_cookie(web: Lab) -> None:
    answer = requests.get(
        f"{web.url}/date_time_only?q={'x' * 8192}", headers={"Cookie": f"c={'y' * 16384}"}, timeout=30
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("query", "cookie", "status"), [(40000, 0, 414), (0, 40000, 400), (19000, 19000, 200), (19000, 30000, 400)]
)
def test_too_long_is_refused_by_nginx(web: Lab, query: int, cookie: int, status: int) -> None:
    """Not by uWSGI, which would make it a 502."""
    url = f"{web.url}/date_time_only" + (f"?q={'x' * query}" if query else "")
    answer = requests.get(url, headers={"Cookie": f"c={'y' * cookie}"} if cookie else {}, timeout=30)
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_known_method(web: Lab, method: str) -> None:
    assert requests.request(method, f"{web.url}/date_time_only", timeout=30).status_code == 200


@pytest.mark.parametrize("method", ["FROBNICATE", "PROPFIND", "TRACE", "BREW"])
def test_unknown_method(web: Lab, method: str) -> None:
    assert requests.request(method, f"{web.url}/date_time", timeout=30).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/admin/default/index",
        "/admin",
        "/examples/default/index",
        "/welcome/appadmin/index",
        "/appadmin/index",
        "/welcome/static/../private/appconfig.ini",
        "/static/../private/appconfig.ini",
        "/static/%2e%2e/private/appconfig.ini",
        "/static/..%2fprivate%2fappconfig.ini",
        "/welcome/static/_1.2.3/../private/appconfig.ini",
        "/private/appconfig.ini",
        "/welcome/private/appconfig.ini",
        "/../../etc/passwd",
        "/static/\\..\\private\\appconfig.ini",
        "/%00",
        "/date_time_only%00.html",
        "/static/robots.txt%00.html",
        "/default/_answer",
        "/default/nothing",
    ],
)
def test_not_reachable(web: Lab, path: str) -> None:
    status, body = raw(web, f"GET {path} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")
    assert 400 <= status < 500, body
    assert "postgres" not in body
    assert "root:" not in body


def test_redirect_to_a_directory_keeps_https(web: Lab) -> None:
    web.run("mkdir", "--parents", "/opt/web2py/applications/welcome/static/pages")
    answer = requests.get(
        f"{web.url}/static/pages", headers={"X-Forwarded-Proto": "https"}, timeout=30, allow_redirects=False
    )
    assert (answer.status_code, answer.headers["Location"]) == (301, "/static/pages/")


@pytest.mark.parametrize("name", ["", "a b", "x" * 4000, "evil.example", "127.0.0.1", "[::1]", "..", "host:99999"])
def test_odd_host(web: Lab, name: str) -> None:
    """Served or refused, and no error either way."""
    status, body = raw(web, f"GET /date_time_only HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
    assert status in (200, 400), body


def test_broken_request(web: Lab) -> None:
    assert raw(web, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")[0] == 400
    start = "POST /date_time_only HTTP/1.1\r\nHost: host\r\nConnection: close\r\n"
    assert raw(web, start + "Content-Length: -5\r\n\r\n")[0] == 400
    assert raw(web, start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")[0] == 400


def raw(lab: Lab, request: str) -> tuple[int, str]:
    """Status and body of the answer to exactly these bytes."""
    with socket.create_connection((lab.address, 80), timeout=30) as client:
        client.sendall(request.encode("latin-1"))
        received = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = received.decode("latin-1").partition("\r\n\r\n")
    return int(head.split()[1]), body
