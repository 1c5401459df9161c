"""Websockets of a server on the host, through nginx."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from browser_socket import Socket
from web_host import PROBE, Web, answers

from benchmarks.lab import Lab, wait_until

SETTINGS: dict[str, object] = {
    **PROBE,
    "web2py_app_source": str(Path(__file__).parent / "realtime_app"),
    "web2py_app_smoke_paths": ["/"],
    "nginx_websocket_locations": {"/realtime/": "127.0.0.1:8888", "/headers/": "127.0.0.1:8889"},
    "web2py_app_services": {
        # web2py's own. Started as a file it would import what lies beside it.
        "realtime": "-m gluon.contrib.websocket_messaging -l 127.0.0.1 -p 8888",
        "headers": "applications/welcome/modules/header_server.py 8889",
    },
}
PYTHON = "/opt/web2py-venv/bin/python"
# As an action of the application does it; web2py's own websocket_send can't, with Python 3.
POST = """
from urllib.parse import urlencode
from urllib.request import urlopen
urlopen("http://127.0.0.1:8888", urlencode({"message": %r, "group": %r}).encode(), timeout=30)
"""
SERVICE = "web2py-service-realtime"


def ready(host: Lab) -> Lab:
    for port in (8888, 8889):
        wait_until(lambda port=port: listens(host, port), f"port {port} listens")
    return host


def listens(host: Lab, port: int) -> bool:
    knock = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=30)"
    code, _ = host.host.exec_run([PYTHON, "-c", knock])
    return bool(code == 0)


@pytest.fixture
def realtime(host: Web) -> Lab:
    return ready(host.become(**SETTINGS))


def test_message_of_the_host_reaches_its_group(realtime: Lab) -> None:
    """web2py's own server."""
    with Socket(realtime.address, "/realtime/news") as one, Socket(realtime.address, "/realtime/others") as other:
        assert (one.status, one.headers["sec-websocket-accept"]) == (101, one.accepted)
        realtime.run(PYTHON, "-c", POST % ("Grüße", "news"))
        realtime.run(PYTHON, "-c", POST % ("only here", "others"))
        assert (one.receive(), other.receive()) == ("Grüße", "only here")


def test_visitors_can_not_post_to_the_server(realtime: Lab) -> None:
    """Its address for that is no websocket's, and nginx passes on what is below the path only."""
    with Socket(realtime.address, "/realtime/news") as one:
        for path in ("/", "/realtime/", "/realtime/../", "/realtime/%2e%2e/"):
            requests.post(realtime.url + path, {"message": "forged", "group": "news"}, timeout=30)
        realtime.run(PYTHON, "-c", POST % ("true", "news"))
        assert one.receive() == "true"


def test_it_goes_both_ways_and_stays_open(realtime: Lab) -> None:
    with Socket(realtime.address, "/headers/") as one:
        for number in range(3):
            one.send(f"message {number}")
            assert json.loads(one.receive())["message"] == f"message {number}"
        # Sockets outlive a change of nginx's configuration.
        realtime.run("systemctl", "reload", "nginx")
        one.send("after the reload")
        assert json.loads(one.receive())["message"] == "after the reload"


@pytest.mark.parametrize("path", ["/", "/default/index", "/realtime", "/static/none", "/health"])
def test_other_paths_stay_http(realtime: Lab, path: str) -> None:
    with Socket(realtime.address, path) as one:
        assert one.status != 101
        assert "upgrade" not in one.headers


def test_request_that_is_no_websocket(realtime: Lab) -> None:
    answer = requests.get(f"{realtime.url}/headers/", timeout=30)
    assert (answer.status_code, answer.text) == (400, 'Can "Upgrade" only to "WebSocket".')


def test_server_that_is_down_takes_nothing_else_with_it(realtime: Lab) -> None:
    realtime.run("systemctl", "stop", SERVICE)
    try:
        assert requests.get(f"{realtime.url}/realtime/news", timeout=30).status_code == 502
        assert answers(realtime, "/")
        with Socket(realtime.address, "/headers/") as one:
            assert one.status == 101
    finally:
        realtime.run("systemctl", "start", SERVICE)


def test_server_that_dies_comes_back(realtime: Lab) -> None:
    before = realtime.run("systemctl", "show", "--property=MainPID", "--value", SERVICE)
    realtime.run("systemctl", "kill", "--signal=KILL", SERVICE)
    ready(realtime)
    assert realtime.run("systemctl", "show", "--property=MainPID", "--value", SERVICE) != before


def test_host_that_images_are_made_of_runs_no_service(realtime: Lab) -> None:
    """But its image does: there the instance's id is another one."""
    identity = "/var/lib/cloud/data/instance-id"
    mark = "mkdir -p $(dirname $1); echo i-builder | tee $1 > /etc/web2py-builder"
    try:
        realtime.run("sh", "-c", mark, "mark", identity)
        realtime.run("systemctl", "restart", SERVICE)
        assert realtime.run("systemctl", "show", "--property=ActiveState", "--value", SERVICE) == "inactive\n"
        realtime.run("sh", "-c", "echo i-instance > $1", "mark", identity)
        realtime.run("systemctl", "restart", SERVICE)
        ready(realtime)
    finally:
        realtime.run("rm", "-f", identity, "/etc/web2py-builder")


FORGED = dict.fromkeys(
    ("X_Forwarded_For", "X_Real_IP", "X_Forwarded_Host", "X_Forwarded_Port", "Forwarded", "X_Scheme"), "127.0.0.1"
)


@pytest.mark.parametrize("from_load_balancer", [False, True])
def test_who_the_visitor_is(host: Web, from_load_balancer: bool) -> None:
    """The peer, or whom the load balancer appended to what the visitor claimed."""
    networks = ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"] if from_load_balancer else ["192.0.2.0/24"]
    lab = host.become(**SETTINGS)
    if from_load_balancer:
        lab = host.become(**{**SETTINGS, "lab_roles": ["nginx"], "nginx_trusted_proxies": networks})
    ready(lab)
    claims = {**FORGED, "X_Forwarded_For": "127.0.0.1, 203.0.113.9", "X_Forwarded_Proto": "https"}
    with Socket(lab.address, "/headers/", **claims) as one:
        one.send("who am I")
        seen = json.loads(one.receive())
    if from_load_balancer:
        visitor, scheme = "203.0.113.9", "https"
    else:
        visitor, scheme = str(gateway(lab)), "http"
    assert (seen["X-Forwarded-For"], seen["X-Real-Ip"]) == (visitor, visitor)
    assert (seen["X-Forwarded-Proto"], seen["X-Scheme"]) == (scheme, scheme)
    assert seen["Host"] == "realtime.example"
    assert not {"Forwarded", "X-Forwarded-Host", "X-Forwarded-Port"} & seen.keys()


def gateway(lab: Lab) -> str:
    """The address that the tests come from."""
    lab.host.reload()
    return str(lab.host.attrs["NetworkSettings"]["Networks"][lab.name]["Gateway"])


def test_service_goes_with_its_setting(host: Web) -> None:
    host.become(**SETTINGS)
    services = {"headers": SETTINGS["web2py_app_services"]["headers"]}  # type: ignore[index]
    lab = host.become(**{**SETTINGS, "lab_roles": ["web2py_app"], "web2py_app_services": services})
    wait_until(lambda: listens(lab, 8889), "the one that stays listens")
    assert not listens(lab, 8888)
    assert "realtime" not in lab.run("systemctl", "list-unit-files", "web2py-service-*")
