"""Two hosts of one fleet, and an application whose scheduler is to have one worker."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from web_host import MIGRATED, PROBE, Web, answers

from benchmarks.lab import Lab, wait_until

UNIT = "web2py-scheduler"
STATE = ("systemctl", "show", "--property=ActiveState", "--value", UNIT)
NEWEST = "SELECT id, host FROM tick ORDER BY id DESC LIMIT 3"
# Those that hold the lock: SCHEDULING in roles/web2py_app/files/web2py_scheduler.py, whose halves these are.
TURNS = f"""
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND (classid, objid) = ({0x776562}, {0x3270797A})
"""


@pytest.fixture(scope="module")
def fleet(host: Web) -> list[Lab]:
    source = str(Path(__file__).parent / "tasks_app")
    names = {"host": {"names": ["*.example.com", "shop.example.com"]}}
    own = {"web2py_app_source": source, "web2py_app_smoke_paths": [], "web2py_app_config": names}
    first = host.become(**{**PROBE, **MIGRATED, **own})
    hosts = [first, first.beside()]
    for each in hosts:
        wait_until(lambda each=each: answers(each, "/"), "the host serves")
        each.run("systemctl", "restart", UNIT)
    answer = requests.get(f"{first.url}/queue", timeout=30)
    assert answer.status_code == 200, answer.text
    return hosts


def newest(fleet: list[Lab]) -> tuple[int, str]:
    """Number of the newest run of the task, and its host's address; 0 when there was none."""
    rows = fleet[0].sql(NEWEST)
    return rows[0] if rows else (0, "")


def runs_on(fleet: list[Lab], host: str) -> bool:
    """Whether the last three runs were there."""
    return [row[1] for row in fleet[0].sql(NEWEST)] == [host] * 3


def wait_for_run(fleet: list[Lab]) -> str:
    """Its host, when the task has been run once more."""
    before = newest(fleet)[0]
    wait_until(lambda: newest(fleet)[0] > before, "the task is run")
    return newest(fleet)[1]


def test_another_host_takes_over(fleet: list[Lab]) -> None:
    first = wait_for_run(fleet)
    names = {each.address: each for each in fleet}
    assert first in names
    (second,) = names.keys() - {first}
    assert fleet[0].sql(TURNS) == [(1,)]

    names[first].run("systemctl", "stop", UNIT)
    wait_until(lambda: runs_on(fleet, second), "the other host runs the task")
    assert names[first].run(*STATE).strip() == "inactive"

    # Back again, it waits for its turn.
    names[first].run("systemctl", "start", UNIT)
    for _ in range(3):
        assert wait_for_run(fleet) == second
    assert fleet[0].sql(TURNS) == [(1,)]
    assert names[first].run(*STATE).strip() == "active"


def test_task_knows_the_name_of_its_application(fleet: list[Lab]) -> None:
    """For the links in its mails: nobody has asked it."""
    wait_for_run(fleet)
    assert fleet[0].sql("SELECT asked_as FROM tick ORDER BY id DESC LIMIT 1") == [("shop.example.com",)]


@pytest.mark.parametrize("whom", ["main", "all"])
def test_killed_scheduler_leaves_no_second_worker(fleet: list[Lab], whom: str) -> None:
    names = {each.address: each for each in fleet}
    victim = names[wait_for_run(fleet)]
    victim.run("systemctl", "kill", "--signal=KILL", f"--kill-whom={whom}", UNIT)
    wait_for_run(fleet)
    wait_until(lambda: fleet[0].sql(TURNS) == [(1,)], "one host has the turn")
    workers = [each.run("sh", "-c", "pgrep --count --full '[-]-work' || true").strip() for each in fleet]
    assert sorted(int(count) > 0 for count in workers) == [False, True]


def test_lost_database_is_waited_for(fleet: list[Lab]) -> None:
    wait_for_run(fleet)
    fleet[0].sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()", user="postgres"
    )
    wait_for_run(fleet)
    wait_until(lambda: fleet[0].sql(TURNS) == [(1,)], "one host has the turn")


def test_builder_runs_nothing(fleet: list[Lab]) -> None:
    """An image of a builder's disk is another host."""
    host = fleet[0]
    for identity, state in (("i-1", "inactive"), ("i-2", "active")):
        host.run("sh", "-c", f"mkdir -p /var/lib/cloud/data && echo {identity} > /var/lib/cloud/data/instance-id")
        host.run("sh", "-c", "echo i-1 > /etc/web2py-builder")
        host.run("systemctl", "restart", UNIT)
        wait_until(lambda state=state: host.run(*STATE).strip() == state, f"the scheduler is {state}")
        assert host.run("systemctl", "show", "--property=NRestarts", "--value", UNIT).strip() == "0"
