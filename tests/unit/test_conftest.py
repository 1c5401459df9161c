"""What holds for all tests: tests/conftest.py."""

import signal
import subprocess
import sys
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
    pathlib.Path("down").touch()

def test_waits(cloud):
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_fixtures_clean_up_after_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "conftest.py").symlink_to(CONFTEST)
    (tmp_path / "test_one.py").write_text(TEST)
    with subprocess.Popen([sys.executable, "-m", "pytest", "--rootdir", tmp_path], cwd=tmp_path) as process:
        try:
            wait_until((tmp_path / "up").exists, what="the test has begun")
            process.send_signal(number)
            assert process.wait(60) == pytest.ExitCode.INTERRUPTED
        finally:
            process.kill()
    assert (tmp_path / "down").exists()
