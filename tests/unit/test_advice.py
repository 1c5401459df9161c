"""The message of three parts: the helpers for Python, shell and Ansible say the same, as do programs that run alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from programs import as_module

from bootstrap.report import AdvisedError, advice, fail
from conformance.errors import ConformanceError
from loadtest.errors import LoadtestError

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "what": "the port is in use:\nby {two},\n\n  and another",
    "look": "ss -ltnp 'sport = :80'",
    "type": 'make deploy   (or "sudo\nmake")',
}
MESSAGE = """\
ERROR:   the port is in use:
         by {two},

           and another
Look at: ss -ltnp 'sport = :80'
Type:    make deploy   (or "sudo
         make")"""


def python() -> dict[str, str]:
    return {"look": PARTS["look"], "type_this": PARTS["type"]}


def test_python() -> None:
    assert advice(PARTS["what"], **python()) == MESSAGE
    for error in (AdvisedError, ConformanceError, LoadtestError):
        assert str(error(PARTS["what"], **python())) == MESSAGE
    with pytest.raises(SystemExit) as ended:
        fail(PARTS["what"], **python())
    assert ended.value.code == f"\n{MESSAGE}"


def test_shell() -> None:
    script = 'source bootstrap/fail.sh; fail "$@"; echo "goes on"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *PARTS.values()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    # Spaces at the end of an empty line are nobody's business.
    assert "\n".join(line.rstrip() for line in done.stderr.splitlines()) == f"\n{MESSAGE}"


def test_program_that_follows_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    program = as_module(ROOT / "roles/fleet/files/fleet_logs.py", monkeypatch)
    said = program.LogsError(PARTS["what"], PARTS["look"], PARTS["type"]).message
    assert said == MESSAGE.replace("and another\n", "and another.\n")


def run(tmp_path: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A play with one task."""
    task = {"name": "It is as it should be", "fail_with_advice": options, "vars": {"two": "two", "many": [1, 2]}}
    play = {"name": "Play", "hosts": "localhost", "gather_facts": False, "tasks": [task]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local"]
    return subprocess.run(
        [*command, tmp_path / "play.yml"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_ansible(tmp_path: Path) -> None:
    done = run(tmp_path, **{**PARTS, "what": "the port is in use:\nby {{ '{' ~ two ~ '}' }},\n\n  and another"})
    assert done.returncode == 2
    assert f"\n{MESSAGE}\n\n" in done.stdout
    # Once, and without Ansible's own words.
    assert done.stdout.count("ERROR") == 1


@pytest.mark.parametrize(
    ("conditions", "fails"),
    [
        ("two == 'two'", False),
        (["two == 'two'", "many | length == 3"], True),
        (["two == 'two'", "many | length == 2"], False),
    ],
)
def test_ansible_unless_all_conditions_hold(tmp_path: Path, conditions: object, fails: bool) -> None:
    done = run(tmp_path, unless=conditions, **PARTS)
    assert done.returncode == (2 if fails else 0), done.stdout
    assert ("ERROR:   " in done.stdout) == fails


def test_ansible_says_several_problems_at_once(tmp_path: Path) -> None:
    done = run(
        tmp_path, problems=[{"what": "one", "type": "a"}, {"what": "two", "look": "there", "type": "b"}], look="here"
    )
    assert done.returncode == 2
    wanted = "ERROR:   one\nLook at: here\nType:    a\nERROR:   two\nLook at: there\nType:    b\n"
    assert wanted in done.stdout
    assert run(tmp_path, problems=[]).returncode == 0


def test_ansible_wants_all_three_parts(tmp_path: Path) -> None:
    done = run(tmp_path, what="one", look="here")
    assert done.returncode == 2
    assert "fail_with_advice needs type" in done.stdout
    assert "fail_with_advice has no option that" in run(tmp_path, **PARTS, that="two == 'two'").stdout
