"""Tasks of a project's own that a release needs before it is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests
from web_host import HOST, PROBE, Web

from benchmarks.lab import Lab, LabError

MADE = """
- name: A page is made of the application's files
  ansible.builtin.command:
    cmd: sh -c "echo SAID > static/made.txt"
    chdir: "{{ web2py_app_release_directory }}"
    creates: static/made.txt
  become: true
"""
# As long as nobody allows it.
FAILS = """
- name: The page grows
  ansible.builtin.shell: echo more >> {{ web2py_app_release_directory }}/static/made.txt
  changed_when: true
  become: true

- name: Assets are built
  ansible.builtin.command: sh -c 'echo no such compiler; test -e /tmp/allowed'
  changed_when: true
  no_log: HIDDEN
"""


def settings(directory: Path, *texts: str) -> dict[str, object]:
    directory.mkdir()
    files = []
    for number, text in enumerate(texts):
        files.append(directory / f"{number}.yml")
        files[-1].write_text(text)
    return {**PROBE, "web2py_app_release_tasks": [str(file) for file in files]}


def made(lab: Lab) -> str:
    answer = requests.get(f"{lab.url}/static/made.txt", timeout=30)
    assert answer.status_code == 200
    return answer.text.strip()


@pytest.fixture
def lab(host: Web, tmp_path: Path) -> Lab:
    return host.become(**settings(tmp_path / "first", MADE.replace("SAID", "first")))


def test_tasks_are_done_before_the_release_is_served(lab: Lab, host: Web, tmp_path: Path) -> None:
    assert made(lab) == "first"
    assert re.search(r"changed=0 ", lab.play(HOST, **host.variables))

    # Another version of the tasks is another release, though no file of the application is.
    before = lab.run("readlink", "/opt/web2py/applications/welcome")
    host.become(**settings(tmp_path / "second", MADE.replace("SAID", "second")))
    assert made(lab) == "second"
    assert lab.run("readlink", "/opt/web2py/applications/welcome") != before


@pytest.mark.parametrize("hidden", [False, True])
def test_a_version_whose_tasks_fail_is_not_served(lab: Lab, host: Web, tmp_path: Path, hidden: bool) -> None:
    before = lab.run("readlink", "/opt/web2py/applications/welcome")
    other = settings(tmp_path / "second", MADE.replace("SAID", "second"), FAILS.replace("HIDDEN", str(hidden)))
    lab.run("rm", "-f", "/tmp/allowed")
    with pytest.raises(LabError) as error:
        lab.play(HOST, **other)
    said = r"what it said is secret \(no_log\)" if hidden else "no such compiler"
    advice = rf'ERROR: .* could not do "Assets are built".*{said}\n.*Look at: .*1\.yml.*Type: +the same again'
    assert re.search(advice, str(error.value), re.DOTALL), str(error.value)
    assert ("no such compiler" in str(error.value)) != hidden
    assert made(lab) == "first"
    assert lab.run("readlink", "/opt/web2py/applications/welcome") == before

    # What they left half-done is not gone on with.
    lab.run("touch", "/tmp/allowed")
    host.become(**other)
    assert made(lab) == "second\nmore"
