"""An application that uses web2py as web2py's book shows it, with our changes to web2py and without them."""

import re

import pytest
import requests
from web_host import PROBE, Web

from benchmarks.lab import USER, Lab, wait_until

CHILD = """
CREATE TABLE IF NOT EXISTS probe ("id" SERIAL PRIMARY KEY, "name" VARCHAR(512));
CREATE TABLE IF NOT EXISTS probe_child ("probe" INTEGER REFERENCES probe DEFERRABLE INITIALLY DEFERRED);
"""


@pytest.fixture(autouse=True)
def tables(probe: Lab) -> None:
    probe.sql(CHILD)
    probe.sql("TRUNCATE probe, probe_child RESTART IDENTITY")


def get(lab: Lab, path: str, **options: object) -> requests.Response:
    return requests.get(lab.url + path, timeout=30, allow_redirects=False, **options)  # type: ignore[arg-type]


def test_models_controller_view_and_layout(probe: Lab) -> None:
    page = get(probe, "/default/index/you")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>Hello World</title>" in page.text
    assert "<h1>Hello, you</h1>" in page.text
    assert "<p>default &amp; <b>raw</b> &lt;escaped&gt;</p>" in page.text
    assert "<i>0</i><i>1</i><i>2</i>" in page.text
    assert get(probe, "/other/index").text == "other, and without the conditional model: True"


def test_request(probe: Lab) -> None:
    """Twice, with other values: the second time parts come from a cache."""
    for value in ("one", "two"):
        address = f"/welcome/default/echo.json/{value}/b?x={value}&y=1&y=2"
        answer = requests.post(
            probe.url + address, {"z": value}, headers={"X-Probe": value, "X-Forwarded-For": "127.0.0.1"}, timeout=30
        ).json()
        client = answer.pop("client")
        assert client not in ("127.0.0.1", "::1"), "the client's own claim is not believed"
        assert answer == {
            "application": "welcome",
            "controller": "default",
            "function": "echo",
            "extension": "json",
            "args": [value, "b"],
            "get": {"x": value, "y": ["1", "2"]},
            "post": {"z": value},
            "method": "POST",
            "header": value,
            "content_type": "application/x-www-form-urlencoded",
            "is_local": False,
            "is_https": False,
            "url": f"/index.json/{value}/b?x={value}&y=1&y=2",
            "original": address,
        }


def test_forged_headers(probe: Lab) -> None:
    forged = dict.fromkeys(("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Host"), "127.0.0.1")
    answer = get(probe, "/default/echo", headers={**forged, "X-Forwarded-Proto": "https"}).json()
    assert not answer["is_local"]
    assert not answer["is_https"]


def test_health_check_asks_for_no_strange_host(probe: Lab) -> None:
    """The load balancer asks by address, which an application that knows its names may refuse."""
    answer = get(probe, "/health", headers={"Host": "10.1.2.3"})
    assert (answer.status_code, answer.headers["X-Asked-As"]) == (200, "127.0.0.1")


def test_cached_address_takes_nothing_from_another_request(probe: Lab) -> None:
    paths = [
        "/default/echo/a",
        "/default/echo/b",
        "/default/echo",
        "/echo",
        "/default/echo/a?q=1",
        "/welcome/default/echo/a",
    ]
    answers = [[get(probe, path).json() for path in paths] for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert [answer["args"] for answer in answers[0]] == [["a"], ["b"], [], [], ["a"], ["a"]]
    assert [answer["original"] for answer in answers[0]] == paths


def test_content_types(probe: Lab) -> None:
    posted = requests.post(probe.url + "/default/echo", json={"number": 1}, timeout=30).json()
    assert (posted["post"], posted["content_type"]) == ({"number": 1}, "application/json")
    plain = get(probe, "/default/echo").json()
    assert plain["content_type"] == "text/plain"


def test_translation(probe: Lab) -> None:
    for _ in range(2):
        assert get(probe, "/default/translated").text == "Hello World"
        assert get(probe, "/default/translated", headers={"Accept-Language": "it"}).text == "Salve Mondo"
        assert get(probe, "/default/forced/it").text == "Salve Mondo"
        assert get(probe, "/default/translated").text == "Hello World", "forced for one request only"


def test_session(probe: Lab) -> None:
    with requests.Session() as visitor:
        assert [visitor.get(probe.url + "/default/visits", timeout=30).text for _ in range(3)] == ["1", "2", "3"]
    assert get(probe, "/default/visits").text == "1"


def test_redirect_and_status(probe: Lab) -> None:
    away = get(probe, "/default/away")
    assert (away.status_code, away.headers["Location"]) == (303, "/index/redirected")
    assert (get(probe, "/default/missing").status_code, get(probe, "/default/missing").text) == (404, "nothing here")
    accepted = get(probe, "/other/page")
    assert (accepted.status_code, accepted.headers["Content-Type"], accepted.text) == (
        202,
        "text/plain; charset=utf-8",
        "accepted",
    )


@pytest.mark.parametrize("path", ["/default/__private", "/default/with_argument", "/default/none", "/none/index"])
def test_no_action(probe: Lab, path: str) -> None:
    assert [get(probe, path).status_code for _ in range(2)] == [404, 404]


def test_static_file(probe: Lab) -> None:
    assert get(probe, "/welcome/static/file.txt").text == "static text\n"


def test_error_has_a_ticket(probe: Lab) -> None:
    answer = get(probe, "/default/fails")
    assert answer.status_code == 500
    assert re.search(r"welcome/[\w.-]+", answer.text), answer.text
    ticket = re.search(r"ticket/welcome/([\w.-]+)", answer.text)
    assert ticket, answer.text
    found = probe.run("find", "/var/lib/web2py", "-name", ticket[1])
    assert "ZeroDivisionError" in probe.run("cat", found.strip())


def test_transaction_is_committed_or_rolled_back(probe: Lab) -> None:
    assert get(probe, "/default/write/first").status_code == 200
    assert get(probe, "/default/write_and_fail").status_code == 500
    assert get(probe, "/default/names").json() == ["first"]


def test_failed_commit_is_no_success(probe: Lab) -> None:
    assert get(probe, "/default/commit_fails").status_code == 500
    assert probe.sql("SELECT count(*) FROM probe_child") == [(0,)]
    assert get(probe, "/default/write/after").status_code == 200


def test_connection_that_the_server_closed_is_replaced(probe: Lab) -> None:
    for _ in range(12):
        get(probe, "/default/names")
    theirs = f"FROM pg_stat_activity WHERE usename = '{USER}'"
    probe.sql(f"SELECT pg_terminate_backend(pid) {theirs}", user="postgres")
    wait_until(lambda: probe.sql(f"SELECT count(*) {theirs}", user="postgres") == [(0,)], "they are closed")
    assert {get(probe, "/default/names").status_code for _ in range(12)} == {200}


PATHS = """
/ /default/index /default/index/x /default/index.json /default/echo/1/2?a=b&a=c /echo /other /other/index /other/page
/default/away /default/missing /default/fails /default/__private /default/none /none /default/translated /default/names
/welcome/default/index /welcome /default/index/a%20b/%C3%A4 /default/index/ /default/index//x //default/index
/default/index/a:b /a.b.c /welcome/static/file.txt /robots.txt
"""
REQUESTS: list[tuple[str, dict[str, str]]] = [
    *[(path, {}) for path in PATHS.split()],
    ("/default/translated", {"Accept-Language": "it,en;q=0.5"}),
    ("/default/translated", {"Accept-Language": "it-CH"}),
    ("/default/translated", {"Accept-Language": "\u00fc;;;,"}),
    ("/default/echo", {"Content-Type": "text/html; charset=latin-1"}),
    ("/default/echo", {"Content-Type": "nonsense; ;="}),
    ("/default/echo", {"Host": "other.example:8080", "X-Probe": "x"}),
]
TICKET = r"welcome/[\d.]+-[\w.-]+"


def answers(lab: Lab) -> list[tuple[str, int, dict[str, str], str]]:
    """Each request three times, since every process has caches of its own; without what differs each time."""
    found = []
    for path, headers in REQUESTS:
        for _ in range(3):
            answer = get(lab, path, headers={name: value.encode("utf-8") for name, value in headers.items()})
            kept = {name: value for name, value in answer.headers.items() if name not in ("Date", "Expires")}
            kept["Set-Cookie"] = re.sub("=.*?;", "=;", kept.get("Set-Cookie", ""))
            kept["web2py_error"] = re.sub(TICKET, "ticket", kept.get("web2py_error", ""))
            found.append((f"{path} {headers}", answer.status_code, kept, re.sub(TICKET, "ticket", answer.text)))
    return found


def test_answers_are_web2pys_own(host: Web, probe: Lab) -> None:
    changed = answers(probe)
    assert {status for _, status, _, _ in changed} >= {200, 202, 303, 400, 404, 500}
    unchanged = host.become(**PROBE, uwsgi_web2py_patches=[], lab_roles=["uwsgi"])
    assert (
        unchanged.run("grep", "web2py_patches.apply", "/opt/web2py/uwsgi_handler.py").strip()
        == "web2py_patches.apply([])"
    )
    assert answers(unchanged) == changed
    # What test_failed_commit_is_no_success looks for is there when nothing is changed.
    assert get(unchanged, "/default/commit_fails").status_code == 200
    assert unchanged.sql("SELECT count(*) FROM probe_child") == [(0,)]
