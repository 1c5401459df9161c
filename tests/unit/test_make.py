"""The Makefile: help, clear errors, and the pinned files that it installs from."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments, **environment):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_target_with_a_sentence():
    phony = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = set(" ".join(phony).split()) - {"known-env"}
    listed = re.findall(r"^  make (\S+) +\S", make().stdout, re.MULTILINE)
    assert set(listed) == targets


def test_an_unknown_environment_is_refused_before_anything_is_done():
    done = make("deploy", "ENV=moon")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "there is no environment `moon`" in done.stderr
    assert "Type:" in done.stderr


def test_url_alone_and_what_to_type_where_there_is_none():
    done = make("-s", "url")
    if done.returncode == 0:
        assert re.fullmatch(r"http://\S+\n?", done.stdout)
    else:
        assert "make deploy" in done.stderr


def test_aws_needs_no_docker():
    assert "docker" in make("-n", "deploy").stdout
    assert "docker" not in make("-n", "deploy", "ENV=aws").stdout


def test_ci_runs_make_test_and_returns_its_code(tmp_path):
    stub = tmp_path / "make"
    stub.write_text('#!/bin/sh\necho "make $*"\nexit 7\n')
    stub.chmod(0o755)
    clone = tmp_path / "clone" / ".ci"
    clone.mkdir(parents=True)
    (clone / "run").write_text((ROOT / ".ci/run").read_text())
    (clone / "run").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([clone / "run"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "make test\n")


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-checkov.txt", "requirements-k6.txt"]
)
def test_every_requirement_is_pinned(name):
    for line in (ROOT / name).read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.+!]+( ; .+)?", line), line


def test_both_files_pin_the_same_versions():
    def pins(name):
        return dict(line.split(" ;")[0].split("==") for line in (ROOT / name).read_text().splitlines())

    runtime, development = pins("requirements.txt"), pins("requirements-dev.txt")
    assert all(runtime[name] == development[name] for name in runtime.keys() & development.keys())


def test_venv_script_says_what_to_type_without_a_new_python(tmp_path):
    clone = tmp_path / "bootstrap"
    clone.mkdir()
    for name in ("venv.sh", "fail.sh"):
        (clone / name).write_text((ROOT / "bootstrap" / name).read_text())
    (tmp_path / "bin").mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", str(clone / "venv.sh"), ".venv", "requirements.txt"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no Python 3.11 or newer" in done.stderr
    assert "apt-get install python3.11" in done.stderr


def test_tests_run_in_order_and_a_failed_lint_ends_the_run(tmp_path):
    tests = tmp_path / "tests"
    for part, body in {"e2e": "pass", "lint": "assert False", "unit": "pass"}.items():
        (tests / part).mkdir(parents=True)
        (tests / part / f"test_{part}.py").write_text(f"def test_one(): {body}\ndef test_two(): pass\n")
    (tests / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())

    def pytest_here(*arguments):
        command = ["python", "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *arguments]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they take seconds to load
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done, re.findall(r"tests/(\w+)/\S+::(\w+) (\w+)", done.stdout)

    done, ran = pytest_here("tests")
    assert ran == [("lint", "test_one", "FAILED"), ("lint", "test_two", "PASSED")]
    assert done.returncode == 1
    assert "lint failed" in done.stdout
    assert "1 failed, 1 passed" in done.stdout.splitlines()[-1]

    (tests / "lint/test_lint.py").write_text("def test_one(): pass\n")
    done, ran = pytest_here("tests")
    assert [part for part, _, _ in ran] == ["lint", "unit", "unit", "e2e", "e2e"]
    assert done.returncode == 0
