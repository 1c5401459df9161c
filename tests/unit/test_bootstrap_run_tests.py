"""The wrapper around pytest: what it started is stopped, whatever ends the tests, and fixtures get to clean up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands in for bootstrap.run_tests with an engine that is "started" for the tests; says when it is stopped.
WRAPPER = """
import subprocess, sys
from bootstrap import docker_engine, run_tests
docker_engine.ensure = lambda: lambda: open("stopped", "w").close()
docker_engine.ensure_images_can_be_built = lambda: None
subprocess.run = lambda *_, **__: subprocess.CompletedProcess([], 0)
sys.exit(run_tests.main())
"""

TESTS = """
import pathlib, time, pytest

@pytest.fixture
def cloud():
    pathlib.Path("up").touch()
    yield
    time.sleep(0.5)
    pathlib.Path("down").touch()

def test_it(cloud):
    {body}
"""


def start(directory, body):
    (directory / "test_it.py").write_text(TESTS.format(body=body))
    return subprocess.Popen(
        [sys.executable, "-c", WRAPPER, "-q", "-p", "no:cacheprovider", "--rootdir", str(directory), "test_it.py"],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(("body", "code", "closing"), [("pass", 0, "1 passed"), ("assert False", 1, "1 failed")])
def test_code_and_closing_line_are_pytests(tmp_path, body, code, closing):
    process = start(tmp_path, body)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert closing in output.splitlines()[-1]
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill), (signal.SIGHUP, os.kill)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_the_tests_in_good_order(tmp_path, number, send):
    process = start(tmp_path, "time.sleep(60)")
    deadline = time.monotonic() + 30
    while not (tmp_path / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    send(process.pid, number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "no tests ran" in output.splitlines()[-2] or "KeyboardInterrupt" in output
    assert (tmp_path / "down").exists(), "the fixture did not get to clean up"
    assert (tmp_path / "stopped").exists(), "the engine goes on"
