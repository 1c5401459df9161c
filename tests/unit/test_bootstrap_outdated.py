"""What is pinned is found in the files that pin it, and what is newer in the places that it comes from."""

import subprocess

import pytest

from bootstrap import outdated
from bootstrap.outdated import Pin, newest, pins, report


def test_every_kind_of_pin_is_found_where_it_is_written():
    found = {pin.name: pin for pin in pins()}
    for name, file in {
        "ansible": "requirements.in",
        "moto": "requirements.in",
        "pytest": "requirements-dev.in",
        "pydal": "roles/web2py/defaults/main.yml",
        "psycopg2-binary": "roles/web2py/defaults/main.yml",
        "uwsgi": "roles/uwsgi/defaults/main.yml",
        "cloud.terraform": "requirements.yml",
        "web2py": "group_vars/all.yml, with web2py_commit",
        "terraform": "bootstrap/terraform.py",
        "hashicorp/aws": "terraform/*/versions.tf",
    }.items():
        assert found[name].file == file
        assert found[name].version


def test_every_requirement_is_there():
    lines = (outdated.PROJECT_ROOT / "requirements.in").read_text().splitlines()
    asked = {line.split("[")[0].split("==")[0].strip() for line in lines if line and line[0] not in "#-"}
    assert asked <= {pin.name for pin in pins()}


@pytest.mark.parametrize(
    ("versions", "found"),
    [(["1.9", "1.10", "1.2"], "1.10"), (["v3.3.3", "R-2.1"], "3.3.3"), (["2.0rc1", "1.0"], "1.0")],
)
def test_newest_is_the_newest_release(versions, found):
    assert newest(versions) == found


def test_tags_of_a_repository(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    git("commit", "--allow-empty", "--message", "x")
    for tag in ("v1.9", "v1.10", "R-1.11"):
        git("tag", tag)
    (row,) = report([outdated._tagged(str(tmp_path), "1.9", "a file")])
    assert row == (tmp_path.name, "1.9", "1.10", "a file")


def test_a_source_that_is_away_hides_no_other():
    def away():
        raise OSError

    rows = report([Pin("a", "1", "f", away), Pin("b", "1", "f", lambda: ["2"])])
    assert rows == [("a", "1", "unknown (OSError)", "f"), ("b", "1", "2", "f")]
