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
FAILS = """
- name: Assets are built
  ansible.builtin.command: sh -c 'echo no such compiler >&2; exit 1'
  changed_when: true
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


def test_a_version_whose_tasks_fail_is_not_served(lab: Lab, tmp_path: Path) -> None:
    before = lab.run("readlink", "/opt/web2py/applications/welcome")
    with pytest.raises(LabError) as error:
        lab.play(HOST, **settings(tmp_path / "second", MADE.replace("SAID", "second"), FAILS))
    advice = r'ERROR: .* could not do "Assets are built".*no such compiler.*Look at: .*1\.yml.*Type: +the same again'
    assert re.search(advice, str(error.value), re.DOTALL), str(error.value)
    assert made(lab) == "first"
    assert lab.run("readlink", "/opt/web2py/applications/welcome") == before
