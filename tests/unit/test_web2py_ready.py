"""The program that asks for the smoke paths, at boot and in the playbooks, against a real web server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug import Request, Response
from werkzeug.serving import make_server

PROGRAM = Path(__file__).resolve().parents[2] / "roles/web2py_app/files/web2py_ready.py"


class Application:
    """Answers each path with the next of its statuses, 200 where it has none; `asked` is what it was asked for."""

    def __init__(self) -> None:
        self.statuses: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.url = ""

    @Request.application
    def serve(self, request: Request) -> Response:
        self.asked.append(request.path)
        statuses = self.statuses.get(request.path, [200])
        return Response(status=statuses.pop(0) if len(statuses) > 1 else statuses[0])


@pytest.fixture
def application() -> Iterator[Application]:
    served = Application()
    server = make_server("127.0.0.1", 0, served.serve)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def verify(url: str, *paths: str, within: float = 0.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, "--within", str(within), url, *paths]
    return subprocess.run(command, text=True, capture_output=True, check=False, timeout=60)


def test_all_paths_are_answered(application: Application) -> None:
    run = verify(application.url, "/health", "/page")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert application.asked == ["/health", "/page"]


def test_every_path_that_fails_is_named(application: Application) -> None:
    application.statuses = {"/broken": [500], "/gone": [404], "/away": [503]}
    run = verify(application.url, "/health", "/broken", "/gone", "/away")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "/broken: 500 INTERNAL SERVER ERROR",
        "/gone: 404 NOT FOUND",
        "/away: 503 SERVICE UNAVAILABLE",
    ]


def test_answer_that_comes_in_time_is_waited_for(application: Application) -> None:
    application.statuses = {"/health": [500, 503, 200]}
    assert verify(application.url, "/health", "/page", within=30).returncode == 0
    assert application.asked == ["/health", "/health", "/health", "/page"]


def test_answer_of_the_last_moment_counts(application: Application) -> None:
    application.statuses = {"/health": [500, 200]}
    run = verify(application.url, "/health", "/page", within=0)
    assert (run.returncode, run.stderr) == (0, "")


def test_nobody_answers() -> None:
    run = verify("http://127.0.0.1:9", "/health")
    assert run.returncode == 1
    assert run.stderr.startswith("/health: no answer (")


def test_boot_waits_until_all_is_well(application: Application, tmp_path: Path) -> None:
    """The unit runs the program without arguments; only its settings are elsewhere here."""
    ready = tmp_path / "ready"
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"url": application.url, "paths": ["/health", "/page"], "ready_file": str(ready)}))
    program = tmp_path / "web2py-ready"
    program.write_text(PROGRAM.read_text().replace("/etc/web2py-ready.json", str(settings)))
    # What is broken is asked for again, what is away for lack of a database is too, for a while.
    application.statuses = {"/health": [500, 500, 200], "/page": [503, 200]}
    run = subprocess.run([sys.executable, program], text=True, capture_output=True, check=True, timeout=60)
    assert run.stdout.splitlines() == [
        "not ready: /health: 500 INTERNAL SERVER ERROR",
        "not ready: /page: 503 SERVICE UNAVAILABLE",
        "ready",
    ]
    assert ready.exists()
