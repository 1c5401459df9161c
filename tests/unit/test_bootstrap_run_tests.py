"""The wrapper around pytest: what it started is stopped, whatever ends the tests, and fixtures get to clean up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bootstrap import run_tests

ROOT = Path(__file__).resolve().parents[2]

# Stands in for bootstrap.run_tests with an engine that is "started" for the tests; says when it is stopped.
WRAPPER = """
import pathlib, subprocess, sys
from bootstrap import docker_engine, run_tests
docker_engine.ensure = lambda: lambda: open("stopped", "w").close()
docker_engine.ensure_images_can_be_built = lambda: None
run_tests.install_programs = lambda: None
run_tests.essential = lambda: {steps}
run_tests.SLOTS = {slots}
run_tests.TESTS = pathlib.Path("tests").absolute()
run_tests.COVERAGE = pathlib.Path("coverage").absolute()
run = subprocess.run
subprocess.run = lambda words, **how: run(words, **how) if "coverage" in words else subprocess.CompletedProcess([], 0)
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

@pytest.mark.essential
def test_it(cloud):
    {body}
"""


def start(directory, body):
    (directory / "test_it.py").write_text(TESTS.format(body=body))
    return start_steps(directory, [[["test_it.py"]]])


def start_steps(directory, steps, slots=({}, {})):
    wrapper = WRAPPER.format(steps=steps, slots=slots)
    return subprocess.Popen(
        [sys.executable, "-c", wrapper, "-q", "-p", "no:cacheprovider", "--rootdir", str(directory)],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they take seconds to load
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


def write_tests(directory, **bodies):
    for name, body in bodies.items():
        (directory / f"test_{name}.py").write_text(
            f"import os, pathlib, time, pytest\n\n@pytest.mark.essential\ndef test_{name}():\n    {body}\n"
        )


def test_a_step_that_fails_is_the_last(tmp_path):
    write_tests(tmp_path, first="assert False", second="pathlib.Path('ran').touch()")
    process = start_steps(tmp_path, [[["test_first.py"]], [["test_second.py"]]])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 failed" in output.splitlines()[-1]
    assert not (tmp_path / "ran").exists()


def test_an_interrupt_ends_the_run_though_no_test_fails(tmp_path):
    write_tests(tmp_path, first="pathlib.Path('began').touch(); time.sleep(3)", second="pathlib.Path('ran').touch()")
    process = start_steps(tmp_path, [[["test_first.py"]], [["test_second.py"]]])
    while not (tmp_path / "began").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert not (tmp_path / "ran").exists()


MEETING = """pathlib.Path(os.environ["ME"]).touch()
    while not (pathlib.Path("a").exists() and pathlib.Path("b").exists()): time.sleep(0.05)
    print("I am", os.environ["ME"])
    assert os.environ["ME"] != os.environ.get("FAILS")"""


@pytest.mark.parametrize(
    ("fails", "code", "closing", "said"),
    [("", 0, "1 passed", []), ("a", 1, "1 failed", ["I am a"]), ("b", 1, "1 failed", ["I am b"])],
)
def test_groups_of_one_step_are_run_at_the_same_time(tmp_path, monkeypatch, fails, code, closing, said):
    write_tests(tmp_path, it=MEETING)
    monkeypatch.setenv("FAILS", fails)
    process = start_steps(tmp_path, [[["test_it.py"], ["test_it.py"]]], slots=[{"ME": "a"}, {"ME": "b"}])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert closing in output.splitlines()[-1]
    assert [line for line in output.splitlines() if line.startswith("I am")] == said


def test_groups_that_find_no_slot_are_run_later_whatever_fails(tmp_path):
    write_tests(tmp_path, first="assert False", second="pathlib.Path('ran').touch()", third="pass")
    files = [[f"test_{name}.py"] for name in ("first", "second", "third")]
    process = start_steps(tmp_path, [files, [["test_third.py"]]], slots=[{}])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 failed" in output.splitlines()[-1]
    assert output.count("1 passed") == 2, "the second and the third, and nothing after this step"
    assert (tmp_path / "ran").exists()


def test_coverage_of_both_steps_is_reported_before_the_closing_line(tmp_path):
    """Each has executed half of the file."""
    (tmp_path / "measured.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    write_tests(tmp_path, one="import measured; measured.one()", two="import measured; measured.two()")
    (tmp_path / "pyproject.toml").write_text("[tool.coverage.run]\nsource = ['.']\nomit = ['test_*']\n")
    measured = [[f"test_{name}.py", "-p", "pytest_cov", "--cov", "--cov-report="] for name in ("one", "two")]
    process = start_steps(tmp_path, [measured[:1], [measured[1], ["test_one.py"]]])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    reported = [line.split() for line in output.splitlines() if line.startswith("measured.py")]
    assert reported == [["measured.py", "4", "0", "100%"]]
    assert "1 passed" in output.splitlines()[-1]
    assert not (tmp_path / "coverage").exists()


def test_no_test_chosen_fails_nothing_but_all_of_it(tmp_path):
    write_tests(tmp_path, it="pass")
    (tmp_path / "test_empty.py").touch()
    empty, full = ["test_empty.py"], ["test_it.py"]
    for steps, code in (([[full], [empty]], 0), ([[empty, full]], 0), ([[empty]], 5)):
        process = start_steps(tmp_path, steps)
        process.communicate(timeout=60)
        assert process.returncode == code


def files(steps):
    chosen = [word for step in steps for group in step for word in group if isinstance(word, Path)]
    return sorted(file for path in chosen for file in ([path] if path.is_file() else path.rglob("test_*.py")))


def test_each_file_of_tests_is_run_once():
    # What may need more than is here: make test-applications.
    elsewhere = set((ROOT / "tests/applications").rglob("test_*.py"))
    assert files(run_tests.everything()) == sorted(set((ROOT / "tests").rglob("test_*.py")) - elsewhere)


def test_each_file_with_an_essential_test_is_run():
    marked = {file for file in (ROOT / "tests").rglob("test_*.py") if "mark.essential" in file.read_text()}
    assert marked - {Path(__file__)} <= set(files(run_tests.essential()))
