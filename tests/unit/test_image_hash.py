"""A setting that goes into the image makes a new one, and no other does: the hash of playbooks/tasks/content.yml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("web2py", "uwsgi", "nginx", "web2py_app")
# Of these roles, but not in the image: where something is got from, where it is kept here, what the database says of
# itself (it is in the image, and in the content's hash), what one playbook tells another, and what is for messages.
NOT_IN_IT = {
    "web2py_repository", "web2py_stand_in", "web2py_cache_dir", "uwsgi_cache_dir", "web2py_app_cache_dir",
    "web2py_app_source", "web2py_app_version", "web2py_app_release_only", "web2py_app_inventory",
    "web2py_app_internet_access", "web2py_app_db_host", "web2py_app_db_port", "web2py_app_db_name",
    "web2py_app_db_user", "web2py_app_db_password",
    # In the content's hash: the load balancer's name, and domain_name.
    "web2py_app_host_names",
    # In the content's hash: with the application's archive, and as the hash of what is in the parameter store.
    "web2py_app_config", "web2py_app_release_tasks", "web2py_app_secrets", "web2py_app_secret_values",
}  # fmt: skip
# Not of a role, and in it.
ELSEWHERE = {"vpc_cidr", "health_check_path", "packages_as_of"}


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Variables that change the hash. Each is another one on a host of its own, so that one run tries all."""
    directory = tmp_path_factory.mktemp("hash")
    settings = {name for role in ROLES for name in load(f"roles/{role}/defaults/main.yml")}
    deployed = load("group_vars/all.yml")
    names = settings | deployed.keys() | load("inventory/local/group_vars/all.yml").keys()
    given = {
        "web2py_stand_in_archive": "",
        "terraform_stage_outputs": {"hosts": {"base_ami_id": "ami-1"}},
        # Facts of a later moment of the same run.
        "web2py_app_archive": {"path": "x"},
    }
    # Two hosts where nothing is different.
    hosts = {name: {name: "something else"} for name in names} | {"first": {}, "second": {}}
    inventory = {"all": {"hosts": hosts, "vars": deployed | given | {"project_root": str(ROOT)}}}
    (task,) = [
        task for task in load("playbooks/tasks/content.yml") if "ami_base_hash_variables" in task.get("vars", {})
    ]
    play = {
        "name": "Hash",
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars": task["vars"],
        "tasks": [{"name": "Say it", "ansible.builtin.debug": {"msg": "{{ ami_base_hash_variables | to_json }}"}}],
    }
    (directory / "inventory.yml").write_text(yaml.safe_dump(inventory))
    (directory / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", directory / "inventory.yml", directory / "play.yml"],
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl", "ANSIBLE_FORKS": "4"},
        cwd=ROOT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said: dict[str, str] = {}
    for line in done.stdout.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("_event") == "v2_runner_on_ok":
            said |= {host: result["msg"] for host, result in event["hosts"].items()}
    assert said.keys() == hosts.keys()
    assert said["first"] == said["second"]
    return {name for name in names if said[name] != said["first"]}


@pytest.mark.parametrize("role", ROLES)
def test_each_setting_of_a_role_that_is_in_the_image_makes_a_new_one(changing: set[str], role: str) -> None:
    assert load(f"roles/{role}/defaults/main.yml").keys() - NOT_IN_IT - changing == set()


def test_nothing_else_makes_a_new_one(changing: set[str]) -> None:
    in_the_image = {name for role in ROLES for name in load(f"roles/{role}/defaults/main.yml")} - NOT_IN_IT
    # web2py_source is known by its path only.
    assert changing - in_the_image - ELSEWHERE == set()
    assert changing >= ELSEWHERE
