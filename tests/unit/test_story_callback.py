"""What plugins/callback/story.py makes of a run's output."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = """
- name: First
  hosts: localhost
  tasks: &one_second
    - name: Something that takes time
      ansible.builtin.pause: {seconds: 1}
- name: Second
  hosts: localhost
  tasks: *one_second
- name: First, once more
  hosts: localhost
  tasks: *one_second
"""

ANNOUNCED = """
- name: Play
  hosts: localhost
  vars:
    story_announce: true
  tasks:
    - name: What takes long, without the variable
      ansible.builtin.set_fact: {one: 1}
    - name: What {{ 'does' }} have the variable
      ansible.builtin.set_fact: {one: 1}
      vars:
        story_announce: true
    - name: What takes long, and needn't be said
      ansible.builtin.set_fact: {one: 1}
      vars:
        story_announce: false
"""

WAITING = """
- name: Play
  hosts: localhost
  tasks:
    - name: All parts are there
      parts: {counted: "{{ playbook_dir }}/counted"}
      register: found
      until: found.there == 4
      retries: 9
      delay: 0
"""
PARTS = """
import pathlib
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"counted": {"type": "path"}})
counted = pathlib.Path(module.params["counted"])
there = len(counted.read_text()) + 1 if counted.exists() else 1
counted.write_text(there * ".")
module.exit_json(there=there, progress=f"{max(there, 2)} of 4 are there")
"""


def run(playbook: Path) -> list[str]:
    """The lines that a run of it writes."""
    command = [Path(sys.executable).parent / "ansible-playbook", playbook]
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()


def test_the_last_line_has_the_time_of_each_chapter(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    said = run(tmp_path / "play.yml")[-1]
    total, first, second = map(int, re.fullmatch(r"Took (\d+) s: First (\d+) s, Second (\d+) s", said).groups())
    assert first >= 2
    assert second >= 1
    assert total >= 3


def test_a_task_is_announced_that_has_the_variable_itself(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(ANNOUNCED)
    said = [line for line in run(tmp_path / "play.yml") if line.startswith("...")]
    assert said == ["...      What does have the variable"]


def test_how_far_it_is_is_said_when_that_changes(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(WAITING)
    (tmp_path / "library").mkdir()
    (tmp_path / "library/parts.py").write_text(PARTS)
    said = [line for line in run(tmp_path / "play.yml") if line.startswith("waiting: ")]
    first, second = said
    assert first == "waiting: [localhost] All parts are there: 2 of 4 are there"
    assert re.fullmatch(re.escape(first.replace("2 of", "3 of")) + r" \(\d+ s so far\)", second)
