"""The roles from an installed collection, on a host, by the playbook that roles/README.md shows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from collection import Installed, build

from benchmarks.lab import PASSWORD, Lab

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab(f"collection-test-{os.getpid()}")
    try:
        lab.make()
        yield lab
    finally:
        lab.remove()


def test_a_host_is_made_with_the_collection_alone(lab: Lab, tmp_path: Path) -> None:
    installed = Installed(tmp_path, build(ROOT, tmp_path))
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "roles/README.md").read_text(), re.DOTALL)
    (installed.elsewhere / "host.yml").write_text(example)
    variables = {
        "web2py_app_source": str(installed.path / "files/web2py_app"),
        "web2py_app_db_host": "database",
        "web2py_app_db_user": "shop",
        "vault_app_password": "of-the-application",
        "vault_master_password": PASSWORD,
        # uWSGI is compiled once on a machine.
        "uwsgi_cache_dir": str(ROOT / ".cache"),
        "web2py_cache_dir": str(ROOT / ".cache"),
    }
    command = [
        "ansible-playbook",
        "-i",
        f"{lab.host.name},",
        "--connection",
        "community.docker.docker",
        "--user",
        "root",
    ]
    said = installed.run(*command, "host.yml", "-e", json.dumps(variables))
    assert said.returncode == 0, said.stdout[-8000:]
    lab.run("systemctl", "restart", "web2py-ready")  # as at a boot
    answer = requests.get(lab.url, timeout=30)
    assert answer.status_code == 200, answer.text
    assert lab.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'date_time'", "postgres") == [("shop",)]
