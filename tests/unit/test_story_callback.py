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


def test_the_last_line_has_the_time_of_each_chapter(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    command = [Path(sys.executable).parent / "ansible-playbook", tmp_path / "play.yml"]
    said = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
    total, first, second = map(int, re.fullmatch(r"Took (\d+) s: First (\d+) s, Second (\d+) s", said).groups())
    assert first >= 2
    assert second >= 1
    assert total >= 3
