"""A wrong value of a role's variable is refused before the host is even asked for something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.essential

NOWHERE = "192.0.2.1"  # a host that nobody has

# (Whatever is given for a string can be made one, and the role web2py has nothing else.)
WRONG = [
    ("uwsgi", "uwsgi_processes_per_core", "two", "int"),
    ("uwsgi", "uwsgi_web2py_patches", '["faster"]', "commit_errors"),
    ("nginx", "nginx_port", "many", "int"),
    ("nginx", "nginx_access_log", "perhaps", "bool"),
    ("nginx", "nginx_websocket_locations", '{"/a/": "127.0.0.1:1; include x"}', "Use a path that begins with"),
    ("web2py_app", "web2py_app_db_port", "postgres", "int"),
    ("web2py_app", "web2py_app_smoke_paths", "{}", "list"),
    ("migration", "migration_lock_timeout", "long", "int"),
]


@pytest.mark.parametrize(("role", "variable", "value", "wanted"), WRONG)
def test_wrong_value_is_refused(tmp_path: Path, role: str, variable: str, value: str, wanted: str) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        f"- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.include_role: {{name: {role}}}\n"
        f"  vars:\n    {variable}: {value}\n    migration_master_user: postgres\n    migration_master_password: x\n"
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", f"{NOWHERE},", playbook],
        cwd=ROOT, env={**os.environ, "ANSIBLE_TIMEOUT": "5"}, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "changed=0" in said
    assert "unreachable=0" in said, said
    assert variable in said
    assert wanted in said, said
