"""Errors of an application on two hosts: their tickets are in the database."""

from __future__ import annotations

import re

import pytest
import requests
from test_database_faults import stopped
from test_web2py_semantics import CHILD
from web_host import MIGRATED, PROBE, Web, answers

from benchmarks.lab import Lab, wait_until

TICKETS = "SELECT ticket_id FROM web2py_ticket_welcome ORDER BY id"
READ = ["runuser", "--user=www-data", "--", "/opt/web2py-venv/bin/python", "/usr/local/sbin/web2py-tickets"]
FILES = ["find", "/var/lib/web2py/welcome/errors", "-type", "f"]


@pytest.fixture(scope="module")
def fleet(host: Web) -> list[Lab]:
    first = host.become(**{**PROBE, **MIGRATED, "web2py_app_tickets": "database"})
    first.sql(CHILD)
    return [first, first.beside()]


@pytest.fixture
def hosts(fleet: list[Lab]) -> list[Lab]:
    """With new processes, that have kept no ticket yet."""
    fleet[0].sql("TRUNCATE web2py_ticket_welcome")
    for host in fleet:
        host.run("sh", "-c", "rm -f /var/lib/web2py/welcome/errors/*; systemctl restart uwsgi-web2py")
        wait_until(lambda host=host: answers(host, "/kept/nothing"), "the host serves")
    return fleet


def fail(host: Lab) -> str:
    """The ticket that a visitor is shown."""
    answer = requests.get(f"{host.url}/default/fails?who=%00\u00e4", timeout=30)
    assert answer.status_code == 500
    found = re.search(r"ticket/welcome/([\w.-]+)", answer.text)
    assert found, answer.text
    return found[1]


def read(host: Lab, *options: str) -> str:
    return host.run(*READ, "--web2py=/opt/web2py", *options)


def test_tickets_of_every_host_are_read_on_any(hosts: list[Lab]) -> None:
    tickets = [fail(host) for host in hosts]
    assert [number for (number,) in hosts[0].sql(TICKETS)] == tickets
    for host in hosts:
        listed = read(host)
        assert all(ticket in listed for ticket in tickets)
        assert listed.count("ZeroDivisionError: division by zero") == 2
        assert tickets[0] not in read(host, "--last=1")
        shown = read(host, f"--ticket=welcome/{tickets[0]}")
        assert "GET /default/fails?who=%00%C3%A4" in shown
        assert "return 1 / 0" in shown
        assert host.run(*FILES) == ""
    assert "There is no ticket none" in read(hosts[0], "--ticket=none")


def test_most_errors_of_many_are_files(hosts: list[Lab]) -> None:
    host = hosts[0]
    for _ in range(100):
        fail(host)
    processes = 2 * int(host.run("nproc"))
    kept = len(host.sql(TICKETS))
    assert 10 <= kept <= 10 * processes
    assert len(host.run(*FILES).splitlines()) == 100 - kept


def test_database_is_away(hosts: list[Lab]) -> None:
    with stopped(hosts[0]):
        answer = requests.get(f"{hosts[0].url}/kept/fails", timeout=30)
        assert answer.status_code == 500
        assert len(hosts[0].run(*FILES).splitlines()) == 1
    wait_until(lambda: answers(hosts[0], "/default/index"), "the host serves")


def test_old_tickets_are_removed_and_the_newest_ten_thousand_stay(hosts: list[Lab]) -> None:
    row = "INSERT INTO web2py_ticket_welcome (ticket_id, ticket_data, created_datetime) SELECT"
    hosts[0].sql(f"{row} 'old', '{{}}', localtimestamp - interval '8 days' FROM generate_series(1, 20)")
    hosts[0].sql(f"{row} 'new', '{{}}', localtimestamp FROM generate_series(1, 10005)")
    hosts[0].run("systemctl", "stop", "uwsgi-web2py")
    hosts[1].run("systemctl", "stop", "uwsgi-web2py")
    code = "import web2py_shared; print(web2py_shared.Shared().clean_up())"
    python = f"cd /opt/web2py && runuser --user=www-data -- /opt/web2py-venv/bin/python -c '{code}'"
    assert hosts[0].run("sh", "-c", python).strip() == "25"
    assert hosts[0].sql("SELECT ticket_id, count(*) FROM web2py_ticket_welcome GROUP BY 1") == [("new", 10000)]
