"""The database is killed, stopped, frozen and full: nothing acknowledged is lost, and requests without it go on."""

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from web_host import Load

from benchmarks.lab import USER, Lab, wait_until

CLOSE_ALL_CONNECTIONS_FOR_SECONDS = f"""
DO $$
DECLARE
    over timestamptz := clock_timestamp() + interval '5 s';
BEGIN
    WHILE clock_timestamp() < over LOOP
        PERFORM pg_stat_clear_snapshot();
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}';
    END LOOP;
END
$$
"""
WITH_DATABASE = ("date_time", "latest_date_time")


def get(lab: Lab, endpoint: str) -> requests.Response:
    return requests.get(f"{lab.url}/{endpoint}", timeout=30)


def serves(lab: Lab) -> bool:
    """Whether every process has its connection again: all are busy with so many clients at once."""
    with ThreadPoolExecutor(16) as clients:
        answers = clients.map(lambda _: get(lab, "date_time").status_code, range(200))
        return set(answers) == {200}


@contextlib.contextmanager
def stopped(lab: Lab) -> Iterator[None]:
    lab.database.stop()
    try:
        yield
    finally:
        lab.database.start()


@contextlib.contextmanager
def frozen(lab: Lab) -> Iterator[None]:
    """It hangs, and its kernel still takes connections for it."""

    def signal_all(name: str) -> None:
        # The postmaster first, so that it starts no other meanwhile. It is the container's first process.
        lab.database.kill(name)
        assert lab.database.exec_run(["pkill", f"--signal={name}", "-u", "postgres"]).exit_code == 0

    signal_all("SIGSTOP")
    try:
        yield
    finally:
        signal_all("SIGCONT")


def test_endpoints_answer(web: Lab) -> None:
    for endpoint in ("health", "date_time_only", *WITH_DATABASE):
        # On a busy machine the first connection may take longer than the application waits for it.
        wait_until(lambda endpoint=endpoint: get(web, endpoint).status_code == 200, f"{endpoint} answers")
        assert get(web, endpoint).json()


def test_no_acknowledged_write_is_lost_when_postgresql_is_killed_twenty_times(web: Lab) -> None:
    with Load(f"{web.url}/date_time", clients=8) as load:
        for _ in range(20):
            noticed = load.answers[503]
            # The postmaster ends all others when one dies like this, and recovers from the write-ahead log.
            web.database.exec_run(["bash", "-c", "kill -9 $(pgrep -f '^postgres: web2py' | shuf -n 1)"])
            wait_until(lambda noticed=noticed: load.answers[503] > noticed, "it was noticed")
            before = len(load.bodies)
            wait_until(lambda before=before: len(load.bodies) > before + 20, "writes are accepted again")
    acknowledged = {json.loads(body)["id"] for body in load.bodies}
    assert len(acknowledged) == len(load.bodies) >= 400
    stored = {number for (number,) in web.sql('SELECT "id" FROM "date_time"')}
    assert acknowledged - stored == set()
    assert set(load.answers) == {200, 503}


@pytest.mark.parametrize("fault", [stopped, frozen])
def test_database_is_away(web: Lab, fault: contextlib.AbstractContextManager[None]) -> None:
    wait_until(lambda: serves(web), "the host serves")
    with Load(f"{web.url}/date_time_only", clients=2) as independent:
        with fault(web):
            # 503 comes while the database is still away, so no request waits for its return.
            for _round in range(3):
                for endpoint in WITH_DATABASE:
                    answer = get(web, endpoint)
                    assert (answer.status_code, "error" in answer.json()) == (503, True)
                    assert get(web, "health").status_code == 200
                time.sleep(1)
        wait_until(lambda: serves(web), "the host serves again")
    assert set(independent.answers) == {200}
    assert independent.answers[200] > 10


def test_connection_limit_is_reached(web: Lab) -> None:
    wait_until(lambda: serves(web), "the host serves")
    web.sql(f"ALTER ROLE {USER} CONNECTION LIMIT 1", user="postgres")
    try:
        web.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'", user="postgres")
        with Load(f"{web.url}/date_time_only", clients=2) as independent:
            answers = [get(web, endpoint).status_code for _ in range(10) for endpoint in WITH_DATABASE]
        assert set(answers) == {200, 503}, "one process has the connection, the others say so"
        assert set(independent.answers) == {200}
    finally:
        web.sql(f"ALTER ROLE {USER} CONNECTION LIMIT -1", user="postgres")
    wait_until(lambda: serves(web), "all processes are connected")
    connections = web.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{USER}'", user="postgres")
    assert connections[0][0] > 1


def test_connections_are_closed_while_they_are_made(web: Lab) -> None:
    """As a server does that is told to stop, or a proxy before it: after the login, before the first answer."""
    wait_until(lambda: serves(web), "the host serves")
    with Load(f"{web.url}/date_time", clients=8) as load:
        noticed = load.answers[503]
        web.sql(CLOSE_ALL_CONNECTIONS_FOR_SECONDS, user="postgres")
        assert load.answers[503] > noticed
    wait_until(lambda: serves(web), "all processes are connected")


def test_no_connection_is_shared_between_processes(web: Lab) -> None:
    """Each answer is the one to its own request: the row that was written."""
    with Load(f"{web.url}/date_time", clients=8) as load:
        wait_until(lambda: len(load.bodies) > 300, "300 writes")
    written = {row["id"]: row["date_time"] for row in map(json.loads, load.bodies)}
    assert len(written) == len(load.bodies)
    stored = dict(web.sql('SELECT "id", to_char("date_time", \'YYYY-MM-DD"T"HH24:MI:SS"Z"\') FROM "date_time"'))
    assert {number: stored.get(number) for number in written} == written
