"""What holds for all tests: tests/conftest.py."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import wait_until

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
TEST = """
import pathlib, time, pytest

@pytest.fixture(scope="session")
def cloud():
    pathlib.Path("up").touch()
    yield
    time.sleep(0.5)
    pathlib.Path("down").touch()

def test_waits(cloud):
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGTERM],
        [signal.SIGHUP],
        # `make test` passes on what the terminal, or `timeout`, sends to all.
        [signal.SIGTERM, signal.SIGINT],
        [signal.SIGINT, signal.SIGHUP],
    ],
)
def test_fixtures_clean_up_after_signals(tmp_path: Path, signals: list[signal.Signals]) -> None:
    (tmp_path / "conftest.py").symlink_to(CONFTEST)
    (tmp_path / "test_one.py").write_text(TEST)

    def as_in_a_terminal() -> None:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "--rootdir", tmp_path], cwd=tmp_path, preexec_fn=as_in_a_terminal
    ) as process:
        try:
            wait_until((tmp_path / "up").exists, what="the test has begun")
            for number in signals:
                process.send_signal(number)
                time.sleep(0.01)  # or the second would be seen first
            assert process.wait(60) == pytest.ExitCode.INTERRUPTED
        finally:
            process.kill()
    assert (tmp_path / "down").exists()
