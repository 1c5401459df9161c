"""web2py's stand-in from PyPI: what a host is made of where web2py's repository can't be reached."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest
import requests
from web_host import HOST, PROBE

from benchmarks.lab import PASSWORD, Lab, LabError

UNREACHABLE = "https://unreachable.invalid/web2py.git"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A host and an empty database. What is played on it finds no web2py in the cache."""
    lab = Lab(f"stand-in-test-{os.getpid()}")
    cache = tmp_path_factory.mktemp("cache")
    play = lab.play
    lab.play = lambda playbook, **variables: play(  # type: ignore[method-assign]
        playbook, **{"web2py_repository": UNREACHABLE, "web2py_cache_dir": str(cache), **variables}
    )
    try:
        lab.make()
        yield lab
    finally:
        lab.remove()


def get(lab: Lab, path: str) -> requests.Response:
    return requests.get(lab.url + path, timeout=30)


def test_without_leave_there_is_none(lab: Lab) -> None:
    began = time.monotonic()
    with pytest.raises(LabError) as refused:
        lab.play(HOST)
    assert time.monotonic() - began < 30
    for part in ("ERROR", UNREACHABLE, "Look at", "web2py_source", "web2py_stand_in=true"):
        assert part in str(refused.value)


def test_application_and_its_migration(lab: Lab) -> None:
    lab.play(
        HOST,
        web2py_stand_in=True,
        lab_roles=["web2py", "uwsgi", "nginx", "web2py_app", "migration"],
        migration_master_user="postgres",
        migration_master_password=PASSWORD,
        web2py_app_smoke_paths=["/health", "/date_time_only", "/date_time", "/latest_date_time"],
    )
    page = get(lab, "/").text
    assert "2.26.1" in page
    assert "for trying out only" in page
    assert get(lab, "/date_time_only").json().keys() == {"date_time"}
    row = get(lab, "/date_time").json()
    assert get(lab, "/latest_date_time").json() == row
    assert lab.sql("SELECT count(*) FROM web2py_filesystem") > [(0,)], "the schema's history is in the database"
    assert get(lab, "/robots.txt").text.startswith("User-agent")


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    release = lab.run("stat", "--format=%y", "/opt/web2py/.release")
    started = lab.run("systemctl", "show", "--property=ExecMainStartTimestamp", "uwsgi-web2py")
    lab.play(HOST, web2py_stand_in=True)
    assert lab.run("stat", "--format=%y", "/opt/web2py/.release") == release
    assert lab.run("systemctl", "show", "--property=ExecMainStartTimestamp", "uwsgi-web2py") == started


def test_what_applications_use(lab: Lab) -> None:
    lab.sql('CREATE TABLE probe ("id" SERIAL PRIMARY KEY, "name" VARCHAR(512))')
    lab.play(HOST, **{**PROBE, "web2py_stand_in": True})
    assert "<h1>Hello, you</h1>" in get(lab, "/default/index/you").text
    assert get(lab, "/welcome/static/file.txt").text == "static text\n"
    with requests.Session() as visitor:
        assert [visitor.get(lab.url + "/default/visits", timeout=30).text for _ in range(3)] == ["1", "2", "3"]
    assert requests.post(lab.url + "/default/echo", {"z": "1"}, timeout=30).json()["post"] == {"z": "1"}
    get(lab, "/default/write/first")
    assert get(lab, "/default/names").json() == ["first"]
    error = get(lab, "/default/fails")
    ticket = re.search(r"ticket/welcome/([\w.-]+)", error.text)
    assert (error.status_code, bool(ticket)) == (500, True)
    assert ticket
    found = lab.run("find", "/var/lib/web2py", "-name", ticket[1]).strip()
    assert "ZeroDivisionError" in lab.run("cat", found)


def test_auth(lab: Lab) -> None:
    program = "\n".join(
        (
            "from gluon.settings import global_settings",
            "global_settings.web2py_runtime_handler = True",
            "import gluon.main, gluon.shell, gluon.tools",
            "gluon.shell.env('welcome', import_models=False)",
            "auth = gluon.tools.Auth(gluon.DAL('sqlite:memory'))",
            "auth.define_tables()",
            "print(auth.register())",
        )
    )
    form = lab.run("sh", "-c", f'cd /opt/web2py && /opt/web2py-venv/bin/python -B -c "{program}"')
    assert 'name="password_two"' in form
