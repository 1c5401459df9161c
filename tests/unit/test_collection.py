"""The project as a collection (galaxy.yml): what is in it, and that what is in it is found from elsewhere."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from collection import NAME, Installed, build
from project_copy import Project

ROOT = Path(__file__).resolve().parents[2]
# What git has of these is in it, but for what tests a role or a stage.
IN_IT = (
    "LICENSE", "README.md", "docs", "files", "group_vars", "meta", "playbooks", "plugins", "roles", "site.yml",
    "teardown.yml", "terraform",
)  # fmt: skip
TESTS = re.compile(r"roles/\w+/molecule/|terraform/\w+/tests/")
# What a deployment and the tools leave in a clone.
LEFTOVERS = (
    ".deploy/local/id_ed25519", ".localcloud/state.json", ".localcloud-staging/log", ".ansible/tmp", ".env",
    "inventory/local/web2py.aws_ec2.yml", "localhost.pem", "crash.log", "web2py-cloud-0.9.0.tar.gz",
    "terraform/network/.terraform/terraform.tfstate", "terraform/network/.terraform.lock.hcl",
    "terraform/network/saved.tfplan", "terraform/network/terraform.tfstate",
    "terraform/network/terraform.tfstate.backup", "roles/nginx/.ansible/tmp",
    "roles/web2py/files/__pycache__/web2py_shared.cpython-311.pyc", "plugins/modules/__pycache__/x.pyc",
    "management/provided/terraform", "web2py_cloud.egg-info/PKG-INFO", "site.retry", "group_vars/.all.yml.swp",
)  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a clone in which somebody has worked."""
    clone = tmp_path_factory.mktemp("clone")
    Project.copy_to(clone, port=0, cidr="")
    for name in LEFTOVERS:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("secret")
    return build(clone, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), archive)


def test_the_archive_holds_what_git_has_of_it_and_nothing_else(archive: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *IN_IT],
        cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE,
    ).stdout.split("\n")  # fmt: skip
    wanted = {name for name in listed if name and (ROOT / name).exists() and not TESTS.match(name)}
    with tarfile.open(archive) as tar:
        held = {member.name for member in tar if not member.isdir()}
    assert held == wanted | {"MANIFEST.json", "FILES.json"}
    assert archive.stat().st_size < 2_000_000


def test_what_the_roles_of_a_host_use_of_other_collections_is_a_dependency() -> None:
    roles = re.findall(rf"- {re.escape(NAME)}\.(\w+)", (ROOT / "roles/README.md").read_text())
    assert len(roles) == 5
    used = {
        collection
        for role in [*roles, "debian_packages"]
        for file in (ROOT / "roles" / role).glob("*/*.yml")
        for collection in re.findall(r"\b((?:amazon|ansible|cloud|community)\.\w+)\.\w+", file.read_text())
    }
    assert used - {"ansible.builtin"} == set(yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"])


def test_every_role_and_plugin_is_found_by_its_full_name(installed: Installed) -> None:
    roles = sorted(path.parents[1].name for path in ROOT.glob("roles/*/tasks/main.yml"))
    play = {"hosts": "localhost", "gather_facts": False, "roles": [f"{NAME}.{role}" for role in roles]}
    (installed.elsewhere / "roles.yml").write_text(yaml.safe_dump([play]))
    said = installed.run("ansible-playbook", "--list-tasks", "roles.yml")
    assert said.returncode == 0, said.stdout
    for role in roles:
        assert f"{NAME}.{role} : " in said.stdout
    # An action's documentation is a module's.
    for file in [file for file in ROOT.glob("plugins/*/*") if file.parent.name != "action" and file.is_file()]:
        said = installed.run("ansible-doc", "--type", file.parent.name.rstrip("s"), f"{NAME}.{file.stem}")
        assert f"{NAME}.{file.stem}" in said.stdout, said.stdout
        assert said.returncode == 0


# Some of all, as each takes two seconds.
@pytest.mark.parametrize("playbook", ["site", "teardown", "deploy", "status"])
def test_playbooks_need_a_clone_and_say_so(installed: Installed, playbook: str) -> None:
    said = installed.run("ansible-playbook", f"{NAME}.{playbook}")
    assert said.returncode != 0
    assert "changed=0" in said.stdout
    assert "the playbooks of an installed collection deploy nothing" in said.stdout
    assert "Type:    make deploy" in said.stdout
