"""The collections of requirements.yml: from git, else from Galaxy, else done without."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def install(tmp_path):
    """Run bootstrap/collections.sh where `git`, `python` and `ansible-galaxy` are stubs, with these exit codes."""
    programs, venv = tmp_path / "programs", tmp_path / "project/.venv/bin"
    for directory in (programs, venv, tmp_path / "project/bootstrap"):
        directory.mkdir(parents=True)
    for script in ("collections.sh", "fail.sh"):
        shutil.copy(ROOT / "bootstrap" / script, tmp_path / "project/bootstrap")
    shutil.copy(ROOT / "requirements.yml", tmp_path / "project")

    def run(git, galaxy_answers, installs):
        for file, code in (
            (programs / "git", git),
            (venv / "python", galaxy_answers),
            (venv / "ansible-galaxy", installs),
        ):
            file.write_text(f'#!/bin/sh\necho "{file.name} $*" >> {tmp_path}/calls\nexit {code}\n')
            file.chmod(0o755)
        done = subprocess.run(
            [tmp_path / "project/bootstrap/collections.sh"],
            env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stderr, (tmp_path / "calls").read_text()

    return run


def test_git_is_used_where_it_answers(install):
    code, _, calls = install(git=0, galaxy_answers=0, installs=0)
    assert code == 0
    assert "--requirements-file requirements.yml" in calls
    assert "python" not in calls, "Galaxy is not asked"


def test_what_goes_wrong_after_git_has_answered_is_an_error(install):
    code, said, _ = install(git=0, galaxy_answers=0, installs=1)
    assert code == 1
    for part in ("ERROR: ", "Look at: ", "Type:    "):
        assert part in said


def test_galaxy_is_used_where_git_does_not_answer(install):
    code, said, calls = install(git=128, galaxy_answers=0, installs=0)
    assert code == 0
    assert "--collections-path .collections cloud.terraform:4.0.0" in calls
    assert "comes from galaxy.ansible.com" in said


@pytest.mark.parametrize(("galaxy_answers", "installs"), [(1, 0), (0, 1)])
def test_neither_is_no_error_and_said(install, galaxy_answers, installs):
    code, said, _ = install(git=128, galaxy_answers=galaxy_answers, installs=installs)
    assert code == 0
    assert "community.general's module stands in" in said
    assert "rm -r .collections && make tools" in said
