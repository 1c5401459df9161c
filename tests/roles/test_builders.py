"""The builder hosts are not started for a machine that they wouldn't let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import AWS

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = "- hosts: localhost\n  tasks: [{ansible.builtin.include_role: {name: builders, tasks_from: reach}}]\n"
NOBODY = "http://127.0.0.1:9"  # who asks AWS gets no answer
SETTINGS: dict[str, Any] = {
    "ansible_python_interpreter": sys.executable,
    "builders_instance_ids": ["i-1"],
    "builders_project": "web2py",
    "builders_environment": "test",
    "builders_region": "us-east-1",
    "builders_connection": {},
    "builders_address": "public_ip_address",
    "builders_project_root": str(ROOT),
    "builders_cloud": "local",
    "builders_inventory": "inventory/local",
    "builders_vpc_cidr": "10.0.0.0/16",
}


@pytest.mark.parametrize(
    ("known", "wanted", "refused"),
    [
        ("203.0.113.7/32", "", True),  # locally, a machine is the VPC's gateway
        ("10.0.0.1/32", "", False),
        ("203.0.113.7/32", "203.0.113.0/24", True),
        ("203.0.113.0/24", "203.0.113.0/24", False),
    ],
)
def test_a_machine_that_is_not_let_in(tmp_path: Path, known: str, wanted: str, refused: bool) -> None:
    given = {"builders_directory": str(tmp_path), "builders_known_ssh_cidr": known, "builders_ssh_cidr_wanted": wanted}
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAYBOOK)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", playbook,
         "-e", json.dumps(SETTINGS | given)],
        cwd=ROOT, env={**os.environ, **AWS, "AWS_ENDPOINT_URL": NOBODY, "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode != 0
    assert (f"the builder hosts let in {known}" in done.stdout) is refused, done.stdout
    assert ("Builder hosts are not just being stopped" in done.stdout) is not refused
