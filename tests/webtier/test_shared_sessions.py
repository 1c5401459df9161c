"""Two hosts of one fleet, and visitors whose requests go to either: what an application keeps for them is on both."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest
from test_database_faults import frozen, stopped
from test_web2py_semantics import CHILD
from web_host import MIGRATED, PROBE, Visitor, Web, answers

from benchmarks.lab import Lab, wait_until

COOKIE = "session_id_welcome"
ROWS = "SELECT id, xmin::text, ctid::text FROM web2py_session_welcome ORDER BY id"
CLEAN_UP = """
import sys, time, web2py_shared
shared = web2py_shared.Shared()
time.sleep(max(0, float(sys.argv[1]) - time.time()))
print(shared.clean_up())
time.sleep(2)
"""


@pytest.fixture(scope="module")
def fleet(host: Web) -> list[Lab]:
    first = host.become(**{**PROBE, **MIGRATED, "web2py_app_sessions": "database", "web2py_app_cleanup_minutes": 1})
    first.sql(CHILD)
    return [first, first.beside()]


@pytest.fixture
def visitor(fleet: list[Lab]) -> Visitor:
    for host in fleet:
        wait_until(lambda host=host: answers(host, "/kept/nothing"), "the host serves")
    return Visitor(fleet)


def test_visitor_is_known_on_every_host(visitor: Visitor) -> None:
    assert [visitor.ask("/default/visits").text for _ in range(6)] == ["1", "2", "3", "4", "5", "6"]
    assert visitor.keep("it") == visitor.kept == visitor.kept == "it"


def test_who_keeps_nothing_gets_no_row_and_no_cookie(fleet: list[Lab], visitor: Visitor) -> None:
    before = fleet[0].sql(ROWS)
    for path in ("/kept/nothing", "/kept/index", "/default/index", "/kept/forget", "/default/fails", "/default/away"):
        assert "Set-Cookie" not in visitor.ask(path).headers
    assert fleet[0].sql(ROWS) == before


def test_request_that_changes_nothing_writes_nothing(fleet: list[Lab], visitor: Visitor) -> None:
    visitor.keep("it")
    before = fleet[0].sql(ROWS)
    for _ in range(4):
        assert visitor.kept == "it"
        assert visitor.keep("it") == "it"
        assert visitor.ask("/kept/forget").status_code == 200
    assert fleet[0].sql(ROWS) == before
    visitor.keep("other")
    assert len(fleet[0].sql(ROWS)) == len(before)
    assert fleet[0].sql(ROWS) != before


@pytest.mark.parametrize(
    "path", ["/kept/keep_and_fail/new", "/default/keep_and_commit_fails/new", "/kept/renew_and_fail"]
)
def test_request_that_fails_leaves_the_session_as_it_was(visitor: Visitor, path: str) -> None:
    visitor.keep("old")
    assert visitor.ask(path).status_code == 500
    assert visitor.kept == visitor.kept == "old"


def test_renewed_session_has_another_cookie(fleet: list[Lab], visitor: Visitor) -> None:
    visitor.keep("it")
    stolen = visitor.cookies[COOKIE]
    assert visitor.ask("/kept/renew").text == "it"
    assert visitor.cookies[COOKIE] != stolen
    assert visitor.kept == visitor.kept == "it"
    thief = Visitor(fleet)
    thief.cookies[COOKIE] = stolen
    assert thief.kept == "None"


def test_cleared_session_is_gone(fleet: list[Lab], visitor: Visitor) -> None:
    before = fleet[0].sql(ROWS)
    visitor.keep("it")
    assert visitor.ask("/kept/renew_and_clear").text == "None"
    assert visitor.kept == "None"
    assert fleet[0].sql(ROWS) == before


@pytest.mark.parametrize(
    "value",
    [
        "1:x",
        "0:x",
        "-1:x",
        "99999999999:x",
        "x:x",
        ":",
        "",
        "1",
        "1:1:1",
        r'"1:\000"',
        r'"1:\377"',
        "10.0.0.1-a-b",
        "True",
    ],
)
def test_made_up_cookie_is_nobodys(visitor: Visitor, value: str) -> None:
    visitor.cookies[COOKIE] = value
    answer = visitor.ask("/kept/index")
    assert (answer.status_code, answer.text) == (200, "None")


def test_what_is_no_session_is_nobodys(fleet: list[Lab], visitor: Visitor) -> None:
    visitor.keep("it")
    number = visitor.cookies[COOKIE].strip('"').split(":")[0]
    # The last one is what a class of an older version is: something that can't be made any more (a TypeError).
    for data in ("'!'", "''", "NULL", "'AAAA'", "'Y2J1aWx0aW5zCmxlbgoodFIu'"):
        fleet[0].sql(f"UPDATE web2py_session_welcome SET session_data = {data} WHERE id = {number}")
        assert visitor.kept == "None"
    assert visitor.keep("new") == visitor.kept == "new"


@pytest.mark.parametrize(("other", "left"), [("logout", 0), ("login", 1)])
def test_a_late_request_undoes_no_logout_and_no_login(
    fleet: list[Lab], visitor: Visitor, other: str, left: int
) -> None:
    visitor.keep("it")
    number = visitor.cookies[COOKIE].strip('"').split(":")[0]
    data = f"SELECT session_data FROM web2py_session_welcome WHERE id = {number}"
    before = fleet[0].sql(data)
    newest = fleet[0].sql("SELECT max(id) FROM web2py_session_welcome")
    assert visitor.ask(f"/default/keep_too_late/{other}/{number}").status_code == 200
    assert fleet[0].sql(data) == before[:left]
    assert fleet[0].sql(f"SELECT id FROM web2py_session_welcome WHERE id > {newest[0][0]}") == []
    assert visitor.kept == "None"


def test_large_session(visitor: Visitor) -> None:
    assert visitor.ask("/kept/keep_much/50000").text == "50000"
    assert len(visitor.kept) == 50000


@pytest.mark.parametrize("fault", [stopped, frozen])
def test_database_is_away(fleet: list[Lab], visitor: Visitor, fault: contextlib.AbstractContextManager[None]) -> None:
    visitor.keep("it")
    with fault(fleet[0]):
        for _ in range(8):
            assert Visitor(fleet).ask("/kept/nothing").status_code == 200
            answer = visitor.ask("/kept/index")
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1")
        assert Visitor(fleet).ask("/kept/keep/lost").status_code == 500

    def knows() -> bool:
        return visitor.ask("/kept/index").text == "it"

    wait_until(knows, "the visitor is known again")
    wait_until(lambda: {visitor.kept for _ in range(16)} == {"it"}, "all processes are connected")


def test_connections_that_the_server_closed_are_replaced(fleet: list[Lab], visitor: Visitor) -> None:
    # A process that has just met a database that was away doesn't ask it again for a second.
    wait_until(lambda: visitor.keep("it") == "it", "what the visitor keeps is written")
    assert {visitor.kept for _ in range(16)} == {"it"}
    fleet[0].sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web2py'", user="postgres")
    assert {visitor.kept for _ in range(16)} == {"it"}


def expire(lab: Lab, how_many: int) -> None:
    lab.sql(
        "INSERT INTO web2py_session_welcome (unique_key, modified_datetime)"
        f" SELECT 'expired', localtimestamp - interval '31 days' FROM generate_series(1, {how_many})"
    )


def expired(lab: Lab) -> int:
    ((count,),) = lab.sql("SELECT count(*) FROM web2py_session_welcome WHERE unique_key = 'expired'")
    return int(count)


def test_expired_sessions_are_removed_once_per_fleet(fleet: list[Lab], visitor: Visitor) -> None:
    """The processes that serve are stopped meanwhile: one of them would be who does it."""
    visitor.keep("it")
    for host in fleet:
        host.run("systemctl", "stop", "uwsgi-web2py")
    try:
        expire(fleet[0], 2500)
        now = float(fleet[0].run("date", "+%s"))
        command = ["docker", "exec", "--user", "www-data", "--workdir", "/opt/web2py"]
        runs = [
            subprocess.Popen(
                [*command, host.host.name, "/opt/web2py-venv/bin/python", "-c", CLEAN_UP, str(now + 5)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for host in fleet
            for _ in range(2)
        ]
        said = [run.communicate()[0].strip() for run in runs]
        assert sorted(said) == ["2500", "None", "None", "None"]
        assert expired(fleet[0]) == 0
    finally:
        for host in fleet:
            host.run("systemctl", "start", "uwsgi-web2py")
    assert visitor.kept == visitor.kept == "it"


def test_expired_sessions_are_removed_by_those_who_serve(fleet: list[Lab], visitor: Visitor) -> None:
    visitor.keep("it")
    expire(fleet[0], 10)
    wait_until(lambda: expired(fleet[0]) == 0, "they are gone")
    assert visitor.kept == visitor.kept == "it"


@contextlib.contextmanager
def model(fleet: list[Lab], code: str) -> Iterator[None]:
    """The application has this model, too."""
    path = "/opt/web2py/applications/welcome/models/own_store.py"
    try:
        for host in fleet:
            host.run("sh", "-c", f"echo {code!r} > {path}; systemctl reload uwsgi-web2py")
            wait_until(lambda host=host: answers(host, "/kept/nothing"), "the host serves")
        yield
    finally:
        for host in fleet:
            host.run("sh", "-c", f"rm {path}; systemctl reload uwsgi-web2py")


def test_application_that_names_a_store_keeps_it(fleet: list[Lab], visitor: Visitor) -> None:
    own = (
        "db = DAL(AppConfig().get('db.uri'), pool_size=1, migrate_enabled=False);"
        "session.connect(request, response, db, tablename='own')"
    )
    fleet[0].sql("CREATE TABLE IF NOT EXISTS own_welcome (LIKE web2py_session_welcome INCLUDING ALL)")
    visitor.keep("it")
    before = fleet[0].sql(ROWS)
    with model(fleet, "from gluon.contrib.appconfig import AppConfig;" + own):
        for _ in range(8):
            newcomer = Visitor(fleet)
            assert newcomer.kept == "None"
            assert newcomer.keep("own") == newcomer.kept == newcomer.kept == "own"
        assert fleet[0].sql(ROWS) == before
        assert fleet[0].sql("SELECT count(*) FROM own_welcome") >= [(8,)]
    # As in web2py's own application `examples`: a key that each process makes.
    made = "cache.ram('cookie_key', lambda: __import__('uuid').uuid4().hex, None)"
    for key in ("'own'", made):
        with model(fleet, f"session.connect(request, response, cookie_key={key})"):
            for _ in range(8):
                newcomer = Visitor(fleet)
                assert newcomer.keep("own") == newcomer.kept == newcomer.kept == "own"
                assert "session_data_welcome" in newcomer.cookies
            assert fleet[0].sql(ROWS) == before


def test_sessions_in_cookies(host: Web, fleet: list[Lab]) -> None:
    first = host.become(**{**PROBE, "web2py_app_sessions": "cookie"})
    hosts = [first, first.beside()]
    wait_until(lambda: answers(hosts[1], "/kept/nothing"), "the second host serves")
    before = first.sql(ROWS)
    visitor = Visitor(hosts)
    assert "Set-Cookie" not in visitor.ask("/kept/nothing").headers
    kept = visitor.ask("/kept/keep/it")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(kept.headers["Set-Cookie"].split("; "))
    assert list(visitor.cookies) == ["session_data_welcome"]
    assert visitor.kept == visitor.kept == "it"
    assert "Set-Cookie" not in visitor.ask("/kept/index").headers
    assert visitor.ask("/kept/keep_and_fail/new").status_code == 500
    assert visitor.kept == visitor.kept == "it"
    # Larger than a browser keeps.
    assert visitor.ask("/kept/keep_much/10000").status_code == 500
    assert visitor.kept == visitor.kept == "it"
    forger = Visitor(hosts)
    forger.cookies["session_data_welcome"] = visitor.cookies["session_data_welcome"][:-8] + "AAAAAAA="
    assert forger.kept == "None"
    assert first.sql(ROWS) == before
